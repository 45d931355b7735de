"""Generators as C are those of torch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from helpers import FourNumbers, JetFile, jet_batch, needs_compiler
from partigan import generate, load, train
from partigan.commands import generate as command
from partigan.compiling import kept
from partigan.data.batch import Batch
from partigan.data.jets import read_jets
from partigan.data.transforms.gaps import JetGaps
from partigan.data.transforms.quantiles import Quantiles
from partigan.errors import PartiganError
from partigan.models.native import NativeGenerator
from partigan.models.native.network import source
from partigan.models.native.physical import PhysicalGenerator
from partigan.models.native.sizes import Size
from partigan.nets.calorimeters import VoxelGenerator
from partigan.nets.clouds.epic import EPiCGenerator
from partigan.nets.clouds.gaps import JetFirst
from partigan.nets.clouds.gapt import GAPTGenerator
from partigan.nets.clouds.graphcnn import GraphCNNGenerator
from partigan.nets.clouds.hits import HitGenerator
from partigan.nets.clouds.mdma import MDMAGenerator
from partigan.nets.clouds.mpgan import MPGenerator
from partigan.nets.clouds.rgan import RGANGenerator
from partigan.nets.clouds.turning import TurningGenerator
from partigan.nets.contracts import Generator
from partigan.nets.images.dcgan import DCGANGenerator
from partigan.nets.mixtures import MixtureGenerator
from partigan.nets.tables import TableGenerator

PARTICLES = 7
KNOTS = torch.tensor([0.0, 1.0, 1.0, 2.0])
CLOUDS: dict[str, Callable[[], Generator]] = {
    "mdma, turning": lambda: TurningGenerator(MDMAGenerator(particles=PARTICLES, blocks=1)),
    "epic": partial(EPiCGenerator, particles=PARTICLES, layers=1, hidden=20),
    "gapt": partial(GAPTGenerator, particles=PARTICLES, blocks=1),
    "mpgan": partial(MPGenerator, particles=PARTICLES, edge=(8, 6), node=(8,)),
}
OTHERS: dict[str, tuple[Callable[[], Generator], int]] = {
    "rgan": (partial(RGANGenerator, particles=PARTICLES), 0),
    "table": (partial(TableGenerator, batch_norm=True, conditions=2), 2),
    "classes": (partial(TableGenerator, classes=3), 0),
    "voxels": (partial(VoxelGenerator, factor=1), 1),
    "hits": (partial(HitGenerator, latent=8, hidden=8, heads=2, blocks=1), 1),
}


class Everything(FourNumbers):
    """All operations that have a form in C, each a column of the sample."""

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        assert mask is not None
        real = mask[..., None].float()
        x, positive = noise[..., 0].contiguous(), noise[..., 1].abs() + 1e-3
        columns = [
            *(f(x) for f in (torch.exp, torch.erf, torch.tanh, torch.sigmoid, torch.sin, torch.cos, torch.asinh)),
            *(
                f(x)
                for f in (torch.floor, torch.sign, torch.abs, torch.neg, torch.expm1, functional.gelu, functional.silu)
            ),
            *(f(x) for f in (functional.relu, functional.leaky_relu, functional.elu, functional.softplus)),
            *(f(positive) for f in (torch.log, torch.sqrt, torch.rsqrt, torch.log1p, torch.reciprocal)),
            *(positive**power for power in (2, 3, 0.5, -1, 1.7)),
            torch.atan2(x, noise[..., 1]),
            torch.maximum(x, noise[..., 1]) - torch.minimum(x, noise[..., 2]),
            x.clamp(-1, 2) + x.clamp_min(0.5) * x.clamp_max(0.1),
            torch.where((x > 0) & (noise[..., 1] <= 1) | ~(noise[..., 2] != 0), x, 1 - x),
            x.masked_fill(x < 0, 7.0).sub(noise[..., 3], alpha=2),
            *(torch.searchsorted(KNOTS, x.clamp(1, 2).round(), right=right) for right in (False, True)),
            KNOTS.expand(*x.shape[:2], 4).gather(2, torch.searchsorted(KNOTS, x).clamp_max(3)[..., None])[..., 0],
        ]
        made = torch.stack(columns, dim=-1) / 100
        real_x = (noise * real).flatten(0, 1).view_as(noise)
        top = noise.masked_fill(~mask[..., None], -torch.inf).amax(1, keepdim=True)
        pooled = (real_x.sum(1, keepdim=True), noise.mean(2, keepdim=True) + noise.amin((2,), True), top)
        shares = x.masked_fill(~mask, -torch.inf).softmax(1)[..., None]
        normal = functional.layer_norm(noise, (4,), torch.arange(4.0), torch.ones(4))
        products = noise @ noise.transpose(1, 2) @ real_x / 100
        everywhere = [each.expand(-1, noise.shape[1], -1) for each in pooled]
        return torch.cat((made, shares, normal, products, *everywhere), dim=-1) * real


@pytest.fixture(autouse=True, scope="module")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def numbers(size: int) -> Tensor:
    """Masks of all numbers of particles."""
    return torch.arange(PARTICLES) < torch.randint(1, PARTICLES + 1, (size, 1), generator=rng())


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(1)


@needs_compiler
@pytest.mark.parametrize("name", CLOUDS)
def test_clouds_are_those_of_torch(name: str) -> None:
    torch.manual_seed(3)
    plain = CLOUDS[name]().deployed()
    native = NativeGenerator(plain, None, numbers(8))
    mask = numbers(203)
    with torch.inference_mode():
        for given in (mask, torch.ones_like(mask), mask[:1]):
            noise = plain.noise(len(given), given, rng())
            wanted, found = plain(noise, None, given), native(noise, None, given)
            torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
            assert (found[~given] == 0).all()
        trimmed = mask[:, :3]
        noise = plain.noise(len(mask), trimmed, rng())
        torch.testing.assert_close(native(noise, None, trimmed), plain(noise, None, trimmed), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(native(noise), plain(noise), rtol=1e-5, atol=1e-5)


@needs_compiler
@pytest.mark.parametrize("name", OTHERS)
def test_other_samples_are_those_of_torch(name: str) -> None:
    torch.manual_seed(3)
    make, conditions = OTHERS[name]
    plain = make().deployed()
    condition = 100 * torch.rand(50, conditions, generator=rng()) + 1 if conditions else None
    condition = torch.randint(3, (50,), generator=rng()) if name == "classes" else condition
    native = NativeGenerator(plain, condition, None)
    noise = plain.noise(50, None, rng())
    with torch.inference_mode():
        torch.testing.assert_close(native(noise, condition), plain(noise, condition), rtol=1e-5, atol=1e-5)


@needs_compiler
def test_every_operation_is_that_of_torch() -> None:
    plain, mask = Everything(), numbers(400)
    native = NativeGenerator(plain, None, mask)
    noise = plain.noise(400, mask, rng())
    torch.testing.assert_close(native(noise, None, mask), plain(noise, None, mask), rtol=3e-6, atol=1e-6)


@needs_compiler
def test_samples_do_not_depend_on_threads_or_neighbours() -> None:
    plain, mask = MDMAGenerator(particles=PARTICLES, blocks=1).deployed(), numbers(300)
    native = NativeGenerator(plain, None, mask)
    noise = plain.noise(300, mask, rng())
    whole = native(noise, None, mask)
    torch.set_num_threads(3)
    try:
        assert torch.equal(native(noise, None, mask), whole)
    finally:
        torch.set_num_threads(1)
    assert torch.equal(native(noise[17:40], None, mask[17:40]), whole[17:40])


def test_code_depends_on_the_architecture_alone() -> None:
    made = [source(MDMAGenerator(particles=5, blocks=1).deployed(), None, torch.ones(1, 5)) for _ in "ab"]
    assert made[0].code == made[1].code
    assert not torch.equal(made[0].weights, made[1].weights)


class Deciding(Everything):
    """Does something else for some samples, which is no sum of operations."""

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        return noise * 2 if float(noise.sum()) > 0 else noise


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (GraphCNNGenerator, "no form in C"),
        (partial(DCGANGenerator, height=8, width=8, filters=4), "no form in C"),
        (Deciding, "decides by the values"),
        (partial(MPGenerator, particles=80), "needs .* MB for a sample"),
    ],
)
def test_what_has_no_native_form_says_why(make: Callable[[], Generator], reason: str) -> None:
    plain = make().deployed()
    with pytest.raises(PartiganError, match=f"{type(plain).__name__} has no native form, since it .*{reason}"):
        NativeGenerator(
            plain, None, torch.ones(2, getattr(plain, "particles", 5), dtype=torch.bool) if plain.masked else None
        )


@needs_compiler
def test_a_native_form_that_is_wrong_is_refused() -> None:
    """Planted: what is recorded holds for clouds with padding only."""

    class Wrong(Everything):
        def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
            assert mask is not None
            return noise * mask[..., None] * (2 if len(noise) > 1 else 1)

    with pytest.raises(PartiganError, match=r"its samples differ from torch's by 0\.5"):
        NativeGenerator(Wrong(), None, numbers(4))


def test_without_a_compiler_that_works(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plain = RGANGenerator(particles=3).deployed()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'error: no vectors' >&2\nexit 3\n", encoding="utf-8")
    broken.chmod(0o755)
    monkeypatch.setenv("CC", str(broken))
    with pytest.raises(PartiganError, match=r"broken fails: error: no vectors; the code is in .*\.c; set CC"):
        NativeGenerator(plain, None, None)
    assert len([*kept().glob("*.c")]) == 1
    assert not [*kept().glob("*.so")]
    monkeypatch.setenv("XDG_CACHE_HOME", str(broken))
    with pytest.raises(PartiganError, match="set XDG_CACHE_HOME"):
        NativeGenerator(plain, None, None)
    monkeypatch.delenv("CC")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(PartiganError, match="there is no C compiler"):
        NativeGenerator(plain, None, None)


@needs_compiler
def test_generated_files_are_those_of_torch(
    jet_file: JetFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"trainer.max_steps": 2, "trainer.batch_size": 32, "trainer.validations": 1}
    run = train("mdma", jet_file(), tmp_path / "run", 1, 1, overrides={**options, "system.generator.blocks": 1})
    engines = ("torch", "native", "auto")
    tables = {
        engine: read_jets(generate(run.path, 300, tmp_path / f"{engine}.h5", engine=engine, threads=1))  # type: ignore[arg-type]
        for engine in engines
    }
    assert [table.attributes["engine"] for table in tables.values()] == ["torch", "native", "torch"]
    assert abs(tables["torch"].particles - tables["native"].particles).max() < 1e-5
    assert (tables["torch"].particles == tables["auto"].particles).all()  # too few to compile for
    monkeypatch.setattr(command, "MANY", 10)
    monkeypatch.setattr(command, "step_seconds", lambda step: 1.0 if "Native" in repr(step.__self__) else 3.0)
    chosen = read_jets(generate(run.path, 300, tmp_path / "chosen.h5", threads=1))
    assert "engine: native (measured: 3 times as fast as torch)" in capsys.readouterr().err
    assert (chosen.particles == tables["native"].particles).all()
    model = load(run.path)
    torch.testing.assert_close(model.native().sample(20, 1).x, model.sample(20, 1).x, rtol=1e-5, atol=1e-5)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    again = read_jets(generate(run.path, 300, tmp_path / "plain.h5", threads=1))
    assert "engine: torch (native is often faster, and needs a C compiler" in capsys.readouterr().err
    assert (again.particles == tables["torch"].particles).all()


def test_sizes() -> None:
    for size in (Size(3), Size(2, 5), Size(1, -2, 4)):
        assert Size.through((3, 5, 9), [size.at(n) for n in (3, 5, 9)]) == size
    assert Size(1, 2).times(Size(3, 4)) == Size(3, 10, 8)
    assert Size(0, 1).times(Size(0, 0, 1)) is None
    assert Size(0, 16, 0).text() == "16 * n"
    with pytest.raises(PartiganError, match="no polynomial"):
        Size.through((1, 2, 4), (0, 1, 2))


@needs_compiler
def test_physical_units_are_those_of_torch() -> None:
    """Transforms with tables, compiled with the network."""
    jets, conditions = jet_batch(300, PARTICLES), numbers(300).float() + torch.rand(300, PARTICLES, generator=rng())
    rows = Batch(torch.randn(300, 2, generator=rng()).exp(), condition=conditions)
    torch.manual_seed(4)
    mdma = MDMAGenerator(particles=PARTICLES, blocks=1, conditions=4)
    clouds = TurningGenerator(JetFirst(mdma, MixtureGenerator(4, conditions=1)), vectors=2).deployed()
    table = TableGenerator(conditions=PARTICLES).deployed()
    for transform, sample, plain in ((JetGaps(9), jets, clouds), (Quantiles(), rows, table)):
        transform.fit(sample)
        physical = PhysicalGenerator(plain, transform)
        native = NativeGenerator(physical, sample.condition, sample.mask)
        noise = physical.noise(300, sample.mask, rng())
        wanted, found = (each(noise, sample.condition, sample.mask) for each in (physical, native))
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
