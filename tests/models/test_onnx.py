"""Generators as ONNX are those of torch, operation by operation; whole presets: tests/commands/test_train.py."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from helpers import FourNumbers
from partigan.data.calorimeter import geometry
from partigan.errors import PartiganError
from partigan.models.onnx.exporting import check, session, written
from partigan.models.onnx.par04 import Par04Generator
from partigan.models.onnx.tracing import Amount
from partigan.nets.clouds.mdma import MDMAGenerator
from partigan.nets.clouds.mpgan import MPGenerator, MPLFCGenerator
from partigan.nets.contracts import Generator

KNOTS = torch.tensor([0.0, 1.0, 1.0, 2.0])


class Everything(FourNumbers):
    """Operations that presets do not use, or only where their errors would not be seen."""

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        assert mask is not None
        x, y = noise[..., 0].contiguous(), noise[..., 1].contiguous()
        positive = y.abs() + 1e-3
        columns = [
            *(f(x) for f in (torch.asinh, torch.sin, torch.cos, torch.sign, torch.floor, torch.round, torch.erf)),
            *(f(x) for f in (functional.softplus, functional.silu, functional.elu, functional.leaky_relu)),
            *(f(1e-3 * x) for f in (torch.expm1, torch.log1p)),
            *(f(x / 3) for f in (torch.expm1, torch.sinh, torch.special.log_ndtr, torch.special.ndtr)),
            torch.special.ndtri(x.sigmoid()),
            *(f(positive) for f in (torch.log, torch.rsqrt, torch.reciprocal)),
            *(positive**power for power in (2, 0.5, -0.5, 1.7)),
            torch.atan2(x, y) + torch.atan2(torch.zeros_like(x), y),
            torch.maximum(x, y).lerp(torch.minimum(x, y), 0.3),
            torch.where((x > 0) & (y <= 1) | ~(y != 0), x, 1 - x),
            x.masked_fill(x < 0, 7.0).sub(y, alpha=2) + x.clamp(-1, 2) * y.clamp_max(0.1),
            *(torch.searchsorted(KNOTS, x.clamp(1, 2).round(), right=right) for right in (False, True)),
            KNOTS.expand(*x.shape, 4).gather(2, torch.searchsorted(KNOTS, x).clamp_max(3)[..., None])[..., 0],
            x.sort(dim=1, descending=True, stable=True).values + x.argsort(1) + x.cumsum(1),
            x.flip(1) + x.argmax(1, keepdim=True) + x.amax(1, keepdim=True) + torch.arange(x.shape[1]),
            torch.zeros_like(x).scatter(1, x.argmax(1, keepdim=True), 2.0),
            y.clone().scatter_add(1, torch.zeros_like(x, dtype=torch.int64), x),
        ]
        made = torch.stack([column.float() for column in columns], dim=-1)
        made[:, 1:, 0] = 5  # in place, in a part
        made.mul_(mask[..., None])
        pairs = torch.cdist(noise, noise)
        pairs.diagonal(dim1=1, dim2=2).copy_(x)
        everywhere = (pairs @ noise).mean(1, keepdim=True).expand(-1, x.shape[1], -1)
        normal = functional.layer_norm(noise, (4,), torch.arange(4.0), torch.ones(4))
        return torch.cat((made, everywhere, normal, noise.repeat(1, 1, 2)), dim=-1)


def masks(*sizes: int) -> Tensor:
    return torch.arange(max(sizes)) < torch.tensor(sizes)[:, None]


def of(generator: Generator, mask: Tensor) -> bytes:
    return written(generator, None, mask).SerializeToString()


def test_pairs_of_more_particles_than_a_piece_holds() -> None:
    plain, mask = MPGenerator(particles=70, latent=2, hidden=2, edge=(3, 2), node=(2,)).deployed(), masks(70, 65)
    noise = plain.noise(2, mask, torch.Generator().manual_seed(1))
    found = session(of(plain, mask)).run(None, {"noise": noise.numpy(), "mask": mask.numpy()})[0]
    torch.testing.assert_close(torch.from_numpy(found), plain(noise, None, mask), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["everything", "mdma", "mpgan-lfc"])
def test_batches_and_clouds_of_all_sizes(name: str) -> None:
    """Up to the largest cloud, one particle, one jet."""
    torch.manual_seed(3)
    plain = {
        "everything": Everything,
        "mdma": lambda: MDMAGenerator(particles=9, blocks=1),
        "mpgan-lfc": lambda: MPLFCGenerator(particles=9, noise_size=8, edge=(7, 6), node=(5,)),
    }[name]().deployed()
    opened = session(of(plain, masks(9)))
    for mask in (masks(9, 9, 9), masks(1), masks(*range(1, 9)), masks(3, 2)):
        noise = plain.noise(len(mask), mask, torch.Generator().manual_seed(1))
        with torch.inference_mode():
            wanted = plain(noise, None, mask)
        found = torch.from_numpy(opened.run(None, {"noise": noise.numpy(), "mask": mask.numpy()})[0])
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


class Named(Generator):
    """What a user's network might do."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        return torch.randn(size, 4, generator=rng)

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        if self.name == "values":
            return noise[:, : int(noise.abs().max()) + 1]
        if self.name == "batch":
            return noise.exp() if len(noise) == 2 else noise.sin()
        return torch.linalg.inv(noise[:, :, None] * noise[:, None] + torch.eye(4))[:, 0]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("values", "decides by the values"),
        ("batch", "does different things"),
        ("else", "uses linalg_inv_ex, which"),
    ],
)
def test_networks_without_this_form(name: str, said: str) -> None:
    with pytest.raises(PartiganError, match=said):
        written(Named(name), None, None)


class Numbered(Generator):
    """Showers whose voxels hold their number, times the energy and the first noise."""

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        return torch.randn(size, 10, generator=rng)

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        assert condition is not None
        return noise[:, :1] * condition * torch.arange(6480.0)


def test_par04_gets_shares_in_its_order() -> None:
    shape = geometry("ds2")
    generator = Par04Generator(Numbered(), shape, 10, (1e3, 1e6))
    noise = generator.noise(3, None, torch.Generator().manual_seed(1))
    assert noise.shape == (3, 14)
    data = written(generator, None, None).SerializeToString()
    shares = torch.from_numpy(session(data).run(None, {"noise": noise.numpy()})[0])
    radii, angles, layers = 9, 16, 45
    r, phi, z = 2, 5, 7
    place = (r * angles + phi) * layers + z
    torch.testing.assert_close(shares[:, place], noise[:, 0] * ((z * angles + phi) * radii + r), rtol=1e-5, atol=0)
    with pytest.raises(PartiganError, match="layers of different bins"):
        Par04Generator(Numbered(), geometry("ds1-photons"), 10, (1e3, 1e6))


def test_other_samples_are_refused() -> None:
    plain, mask = MDMAGenerator(particles=9, blocks=1).deployed(), masks(9, 4, 5)
    data = of(plain, mask)
    check(data, plain, None, mask)
    with torch.no_grad():
        plain.out.bias += 0.01
    with pytest.raises(PartiganError, match="its samples in ONNX differ from torch's in"):
        check(data, plain, None, mask)


def test_sizes_of_batch_and_particles() -> None:
    particles, values = (3, 5, 9), {(b, n): 4 + 2 * b * n for b in (2, 3) for n in (3, 5, 9)}
    found = Amount.through(particles, values)
    assert found.least.at(7) + 11 * found.each.at(7) == 4 + 2 * 7 * 11
    assert Amount.through((0, 0, 0), {(2, 0): 7, (3, 0): 7}).constant == 7
    with pytest.raises(PartiganError, match="no polynomial"):
        Amount.through(particles, {key: key[1] // 2 for key in values})
