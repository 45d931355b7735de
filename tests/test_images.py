"""One contract for every network of images, and what single families promise."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations
from torch.nn.utils.parametrize import is_parametrized

from partigan.errors import PartiganError
from partigan.nets.contracts import Critic, CriticOutput, Generator
from partigan.nets.images.biggan import (
    BigGANCritic,
    BigGANDeepCritic,
    BigGANDeepGenerator,
    BigGANGenerator,
    DeepDownBlock,
    DeepUpBlock,
)
from partigan.nets.images.dcgan import DCGANCritic, DCGANGenerator
from partigan.nets.images.heads import Head
from partigan.nets.images.hitmap import HitmapCritic, HitmapGenerator, hit
from partigan.nets.images.layers import (
    Blur,
    Condition,
    ConditionalBatchNorm,
    MinibatchDeviation,
    MinibatchDiscrimination,
    PixelNorm,
    SelfAttention,
    enlarged,
    equalised,
    maker,
    reduced,
)
from partigan.nets.images.pegan import PEGANCritic, PEGANGenerator
from partigan.nets.images.progressive import ProgressiveCritic, ProgressiveGenerator
from partigan.nets.images.quantisation import FeatureQuantisation
from partigan.nets.images.residual import Extras, ResidualCritic, ResidualGenerator
from partigan.nets.images.sagan import SAGANCritic, SAGANGenerator
from partigan.nets.images.sizes import Sizes
from partigan.nets.images.stylegan import StyleGANGenerator


@dataclass(frozen=True)
class Case:
    """A network: small for the contract, and as published with its number of parameters."""

    make: Callable[..., Any]
    small: dict[str, Any]
    published: dict[str, Any]
    parameters: int
    figure: float | None = None  # as published
    idle: tuple[str, ...] = field(default=())  # parts of names of parameters that cannot matter


IMAGENET = {"classes": 1000}
CIFAR = {"height": 32, "width": 32, "multipliers": [1, 1, 1, 1]}
PXD = {"classes": 40}
PRIOR = {"prior": [0.01, 0.03, 0.02]}
CASES = {
    # the figures of DCGAN are those of PyTorch's example, whose networks have 64 filters
    "dcgan generator": Case(DCGANGenerator, {"latent": 5, "filters": 4}, {"filters": 64}, 3_576_707, 3_576_704),
    "dcgan critic": Case(DCGANCritic, {"filters": 4, "kernels": 3}, {"filters": 64}, 2_765_633, 2_765_568),
    "residual generator": Case(ResidualGenerator, {"latent": 5, "filters": 4}, {"filters": 256, **CIFAR}, 4_276_739),
    "residual critic": Case(
        ResidualCritic, {"filters": 4}, {"filters": 128, "factors": [(2, 2), (2, 2)], **CIFAR}, 1_053_825
    ),
    "wgan-gp critic": Case(ResidualCritic, {"filters": 4, "spectral": False, "norm": "layer"}, {}, 29_017_857),
    "sagan generator": Case(SAGANGenerator, {"latent": 5, "filters": 4, "attention": 1}, IMAGENET, 42_078_852),
    "sagan critic": Case(SAGANCritic, {"filters": 4, "attention": 1}, IMAGENET, 39_463_618),
    # arXiv:1809.11096, appendix B.2
    "biggan generator": Case(BigGANGenerator, {"chunk": 3, "shared": 4, "filters": 4}, IMAGENET, 70_433_988, 70.4e6),
    "biggan critic": Case(BigGANCritic, {"filters": 4}, IMAGENET, 87_982_370, 88.0e6),
    "biggan-deep generator": Case(
        BigGANDeepGenerator, {"latent": 5, "shared": 4, "filters": 4}, IMAGENET, 50_244_484, 50.4e6
    ),
    "biggan-deep critic": Case(BigGANDeepCritic, {"filters": 4}, IMAGENET, 34_590_210, 34.6e6),
    # arXiv:1710.10196, table 2
    "progressive generator": Case(ProgressiveGenerator, {"latent": 5, "filters": 4}, {}, 23_079_115, 23.1e6),
    "progressive critic": Case(ProgressiveCritic, {"filters": 4}, {}, 23_087_249, 23.1e6),
    # arXiv:1812.04948, section 2
    "stylegan generator": Case(StyleGANGenerator, {"style": 6, "depth": 2, "filters": 4}, {}, 26_219_627, 26.2e6),
    "stylegan critic": Case(ProgressiveCritic, {"filters": 4, "blur": True}, {"blur": True}, 23_087_249),
    # PE-GAN's section 3.1 and Table 1
    "pe-gan generator": Case(
        PEGANGenerator, {"latent": 5, "shared": 4, "filters": 4, "attention": 1, **PRIOR}, PXD, 11_630_242, 11.6e6
    ),
    "pe-gan critic": Case(PEGANCritic, {"filters": 4, "dimension": 8, **PRIOR}, PXD, 3_308_737),
    # ours
    "hitmap generator": Case(
        HitmapGenerator,
        {"widths": (6, 5, 4, 3), "marks": (2, 2), "rate": 100.0},
        {"conditions": 43, "whole": (250, 768)},
        47_329,
    ),
    "hitmap critic": Case(HitmapCritic, {"widths": (3, 4, 5, 6), "hidden": 4}, {"conditions": 43}, 140_849),
}
SIZES = [(1, 8, 8), (3, 32, 32), (1, 64, 96), (2, 9, 9), (1, 3, 96)]
CONDITIONS: dict[str, tuple[dict[str, int], Tensor | None]] = {
    "unconditional": ({}, None),
    "classes": ({"classes": 3}, torch.tensor([0, 2, 1, 2])),
    "features": ({"conditions": 2}, torch.linspace(-1, 1, 8).view(4, 2)),
    "both": (
        {"classes": 3, "conditions": 2},
        torch.cat((torch.eye(3)[[0, 2, 1, 2]], torch.linspace(-1, 1, 8).view(4, 2)), dim=1),
    ),
}
GROWING = [name for name in CASES if "progressive" in name or "stylegan" in name]
every = pytest.mark.parametrize("name", CASES)


def _made(name: str, size: tuple[int, int, int] = (1, 8, 8), condition: str = "classes", **more: Any) -> Any:
    """A small network in double precision, away from the symmetries of a fresh initialisation."""
    torch.manual_seed(1)
    shape = dict(zip(("channels", "height", "width"), size, strict=True))
    network = CASES[name].make(**shape, **CONDITIONS[condition][0], **CASES[name].small, **more).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network


def _input(network: nn.Module, size: tuple[int, int, int] = (1, 8, 8)) -> Tensor:
    """Four samples of what the network is called with."""
    rng = torch.Generator().manual_seed(2)
    if isinstance(network, Generator):
        return network.noise(4, None, rng).double()
    return torch.randn(4, *size, generator=rng, dtype=torch.float64)


def _condition(condition: str) -> Tensor | None:
    value = CONDITIONS[condition][1]
    return value.double() if value is not None and value.is_floating_point() else value


def _values(output: Tensor | CriticOutput) -> Tensor:
    parts = [output] if isinstance(output, Tensor) else [part for part in output if part is not None]
    return torch.cat([part.flatten(1) for part in parts], 1)


@every
def test_parameters_are_counted_and_as_published(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parametrizations._SpectralNorm, "_power_method", lambda *_: None)  # slow, and of no use here
    case = CASES[name]
    with torch.device("meta"):
        network = case.make(**case.published)
    assert sum(p.numel() for p in network.parameters()) == case.parameters
    if case.figure is not None:
        assert case.parameters == pytest.approx(case.figure, rel=0.004)


def test_pe_gan_has_the_shapes_of_table_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """Feature maps and sizes from 4 x 12 to 256 x 768 and back, layer by layer."""
    monkeypatch.setattr(parametrizations._SpectralNorm, "_power_method", lambda *_: None)
    seen: list[tuple[int, ...]] = []
    with torch.device("meta"):
        generator, critic = PEGANGenerator(**PXD), PEGANCritic(**PXD)
        for network, blocks in ((generator, DeepUpBlock), (critic, DeepDownBlock)):
            for block in network.modules():
                if isinstance(block, blocks | SelfAttention):
                    block.register_forward_hook(lambda _, __, output: seen.append(tuple(output.shape[1:])))
        assert generator.start.parametrizations.weight.original.shape == (512 * 4 * 12, 128 + 128)
        images = generator(torch.randn(40, 128), torch.arange(40))
        made, seen = seen[:], []
        output = critic(images, torch.arange(40))
    assert images.shape == (40, 1, 256, 768)
    up = [16, 16, 16, 8, 8, 8, 8, 4, 4, 4, 2, 2, 1]  # the non-local block is the first of 64 x 192
    height = [4, 8, 8, 16, 16, 32, 32, 64, 64, 64, 128, 128, 256]
    assert made == [(32 * n, h, 3 * h) for n, h in zip(up, height, strict=True)]
    down = [2, 2, 4, 4, 8, 8, 8, 8, 16, 16, 16, 16]
    height = [128, 128, 64, 64, 32, 32, 16, 16, 8, 8, 4, 4]
    assert seen == [(32 * n, h, 3 * h) for n, h in zip(down, height, strict=True)]
    assert output.score.shape == (40, 1)
    assert output.features.shape == (40, 512)
    assert output.embedding.shape == output.proxy.shape == (40, 1024)


def test_pe_gan_relates_classes_by_their_prior() -> None:
    """A is section 3.1's; proxies differ, move with the prior and with the place of a crop, and the score does not."""
    torch.manual_seed(1)
    prior = torch.linspace(0.5, 2, 40).tolist()
    one, other = (PEGANCritic(1, 8, 8, 40, prior=p, filters=4, dimension=256).eval() for p in (prior, prior[::-1]))
    other.load_state_dict(one.state_dict())
    described = one.head.describe
    scaled = (torch.tensor(prior) - 1.25) / torch.tensor(prior).std(unbiased=False)
    query = one.head.token(torch.cat((described.embed.weight.T, described.project(scaled[:, None])), dim=1))
    attended = functional.softmax(query @ query.T / 256**0.5, dim=1) @ query
    x, sensors = torch.randn(40, 1, 8, 8), torch.arange(40)
    output = one(x, sensors)
    torch.testing.assert_close(output.proxy, functional.normalize(attended))
    assert (output.proxy @ output.proxy.T).detach().fill_diagonal_(0).max() < 0.98
    normalised = copy.deepcopy(one.head)  # what spectral normalisation of the embeddings would do
    for layer in (normalised.describe.embed, normalised.describe.project):
        layer.weight.data /= torch.linalg.matrix_norm(layer.weight.data, 2)
    proxies = functional.normalize(normalised.proxies())
    assert (proxies[1:18] * proxies[:17]).sum(1).min() > 0.99  # classes of similar priors would be one
    torch.testing.assert_close(output.embedding.norm(dim=1), torch.ones(40))
    assert not torch.allclose(other(x, sensors).proxy, output.proxy, atol=1e-3)
    torch.testing.assert_close(other(x, sensors).score, output.score)

    crops = PEGANCritic(1, 8, 8, 40, 2, prior, filters=4, dimension=256).eval()
    condition = torch.cat((torch.eye(40), torch.zeros(40, 2)), dim=1)
    moved = torch.cat((torch.eye(40), torch.ones(40, 2)), dim=1)
    torch.testing.assert_close(crops(x, condition).proxy, functional.normalize(crops.head.proxies()))
    assert not torch.allclose(crops(x, moved).proxy, crops(x, condition).proxy, atol=1e-3)

    generators = [PEGANGenerator(1, 8, 8, 40, prior=p, filters=4, attention=1).eval() for p in (prior, prior[::-1])]
    generators[1].load_state_dict(generators[0].state_dict())
    noise = torch.randn(40, 128)
    assert not torch.allclose(generators[0](noise, sensors), generators[1](noise, sensors), atol=1e-3)


@pytest.mark.parametrize("network", [PEGANGenerator, PEGANCritic])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prior": [0.01] * 2}, "prior has 2 values; 3 classes"),
        ({"prior": [0.01, 0.02, float("nan")]}, "negative or not finite"),
        ({"height": 250, "width": 768}, "do not factor.* or 256 x 768"),
        ({"multipliers": [4, 2]}, "need 3 multipliers, not 2"),
        ({"attention": 7}, "attention = 7; there are 2 stages"),
    ],
    ids=str,
)
def test_bad_arguments_of_pe_gan_are_refused(network: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(PartiganError, match=message):
        network(**{"height": 16, "width": 16, "classes": 3, "filters": 2, **arguments})


def test_classes_that_there_are_not_are_refused() -> None:
    critic = PEGANCritic(1, 8, 8, classes=3, filters=4, dimension=8)
    for label in (-1, 3):
        with pytest.raises(PartiganError, match="classes from 0 to 2"):
            critic(torch.randn(2, 1, 8, 8), torch.tensor([0, label]))


@every
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_shapes(name: str, size: tuple[int, int, int]) -> None:
    network = _made(name, size, "unconditional" if size[0] == 3 else "classes")
    output = network(_input(network, size), None if size[0] == 3 else _condition("classes"))
    if isinstance(network, Generator):
        assert output.shape == (4, *size)
    else:
        assert isinstance(network, Critic)
        assert output.score.shape == (4, 1)
        assert output.features.shape == (4, network.head.score.in_features)


@every
@pytest.mark.parametrize("condition", CONDITIONS)
def test_contract(name: str, condition: str) -> None:
    """Gradients reach every parameter and all noise; copies and float32 agree; the condition matters."""
    network = _made(name, condition=condition)
    x, given = _input(network).requires_grad_(), _condition(condition)
    assert torch.equal(x, _input(network))
    for done in (0.0, 0.4, 1.0) if name in GROWING else (1.0,):
        if name in GROWING:
            network.set_progress(done)
        output = _values(network(x, given))
        (output - 1).square().sum().backward()
    idle = {n for n, p in network.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-12}
    assert not idle
    assert x.grad is not None
    used = (x.grad.abs() > 0).all(0)
    if name == "stylegan generator":  # the second style is for training
        used = torch.cat((used[:6], used[14:]))
    assert used.all()

    other = _made(name, condition=condition)
    other.load_state_dict({key: torch.zeros_like(value) for key, value in network.state_dict().items()})
    other.load_state_dict(network.state_dict())
    torch.testing.assert_close(_values(other(x, given)), output, rtol=0, atol=0)
    single = _values(
        copy.deepcopy(network).float()(x.float(), given.float() if condition in ("features", "both") else given)  # type: ignore[union-attr]
    )
    torch.testing.assert_close(single.double(), output, rtol=1e-3, atol=1e-3)
    if given is not None:
        assert not torch.allclose(_values(network(x, given.flip(0))), output)
        with pytest.raises(PartiganError, match="condition of shape"):
            network(x, None)


@pytest.mark.parametrize("name", [name for name in CASES if "critic" in name])
def test_double_backward(name: str) -> None:
    """The gradient of a gradient penalty is that of finite differences."""
    network, given = _made(name), _condition("classes")
    if name in GROWING:
        network.set_progress(0.4)
    x = _input(network)

    def penalty() -> Tensor:
        point = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(network(point, given).score.sum(), point, create_graph=True)
        return slope.flatten(1).norm(dim=1).sub(1).square().sum()

    penalty().backward()
    parameters = [p for p in network.parameters() if p.grad is not None]
    along = [torch.randn_like(p) for p in parameters]
    slope = sum((p.grad * d).sum() for p, d in zip(parameters, along, strict=True))
    step, values = 1e-6, []
    with torch.no_grad():
        for sign in (1, -2):
            for p, d in zip(parameters, along, strict=True):
                p.add_(sign * step * d)
            with torch.enable_grad():
                values.append(penalty().detach())
    torch.testing.assert_close((values[0] - values[1]) / (2 * step), slope, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["sagan generator", "residual critic", "biggan generator", "biggan-deep critic"])
def test_spectral_norm_converges_to_1(name: str) -> None:
    network = _made(name).train()
    normalised = [m for m in network.modules() if is_parametrized(m, "weight")]
    assert normalised
    for module in normalised:
        for _ in range(500):
            weight = module.weight
        assert torch.linalg.matrix_norm(weight.detach().flatten(1), 2).item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("name", GROWING)
def test_fading_in_is_continuous(name: str) -> None:
    """Where a level begins and where it is complete; and something does change between."""
    size = (1, 16, 16)  # two stages, so complete at 1/8, fading to 1/4, complete to 3/8, fading to 1/2
    network = _made(name, size)
    x, given = _input(network, size), _condition("classes")

    def at(done: float) -> Tensor:
        network.set_progress(done)
        return _values(network(x, given)).detach()

    for border in (0.125, 0.25, 0.375, 0.5):
        torch.testing.assert_close(at(border - 1e-7), at(border + 1e-7), rtol=1e-4, atol=1e-4)
    assert torch.equal(at(0.0), at(0.12))
    assert torch.equal(at(0.5), at(1.0))
    assert not torch.allclose(at(0.15), at(0.2), rtol=1e-3)
    stored = copy.deepcopy(network)
    stored.set_progress(0.3)
    network.load_state_dict(stored.state_dict())
    torch.testing.assert_close(_values(network(x, given)), _values(stored(x, given)))


def test_critic_of_progressive_growing_compares_what_that_of_the_paper_does() -> None:
    """Generated images faded, real images blended, both at the size of the level: written out here as in figure 2."""
    size, factor, fade = (1, 16, 16), (2, 2), 0.25
    generator, critic = (
        _made("progressive generator", size, "unconditional"),
        _made("progressive critic", size, "unconditional"),
    )
    for network in (generator, critic):
        network.set_progress(0.125 + fade * 0.125)
    noise, real = _input(generator), _input(critic, size)

    def score(images: Tensor) -> Tensor:  # of images of 8 x 8 that are already blended
        high = reduced(critic.levels[0](critic.from_image[1](images)), factor)
        low = critic.from_image[0](reduced(images, factor))
        return critic.head(critic.last((1 - fade) * low + fade * high), None).score

    small = generator.first(noise[..., None, None])
    faded = (1 - fade) * enlarged(generator.to_image[0](small), factor)
    faded = faded + fade * generator.to_image[1](generator.levels[0](enlarged(small, factor)))
    torch.testing.assert_close(generator.eval()(noise), enlarged(faded, factor))
    torch.testing.assert_close(critic(generator.train()(noise)).score, score(faded))
    real8 = functional.avg_pool2d(real, 2)
    blended = (1 - fade) * enlarged(functional.avg_pool2d(real8, 2), factor) + fade * real8
    torch.testing.assert_close(critic(real).score, score(blended))


def test_stylegan_truncation_and_mixing() -> None:
    generator, size = _made("stylegan generator", (1, 16, 16), "unconditional", mixing=1.0), 6
    noise = _input(generator)
    noise[:, 2 * size :] = noise[0, 2 * size :]
    generator.mean.copy_(torch.linspace(-1, 1, size))
    generator.truncation = 0.0
    images = generator(noise)
    torch.testing.assert_close(images, images[:1].expand_as(images), rtol=0, atol=1e-12)
    generator.truncation = 0.5
    styles = generator.mapping(noise[:, :size])
    given = generator.styles(noise[:, :size], noise[:, size : 2 * size], noise[:, 12:14], noise[:, :0])
    torch.testing.assert_close(given, (0.5 * (styles + generator.mean))[:, None].expand_as(given))
    generator.truncation = 1.0
    swapped = noise.clone()
    swapped[:, size : 2 * size] += 1
    assert torch.equal(generator(noise), generator(swapped))

    generator.train()
    cut = torch.tensor([[0.0, 0.0]] * 4)  # in the middle: the third of six layers is the last of the first style
    given = generator.styles(noise[:, :size], noise[:, size : 2 * size], cut.double(), noise[:, :0])
    torch.testing.assert_close(given[:, :3], styles[:, None].expand(-1, 3, -1))
    torch.testing.assert_close(given[:, 3:], generator.mapping(noise[:, size : 2 * size])[:, None].expand(-1, 3, -1))
    expected = 0.995 * torch.linspace(-1, 1, size) + 0.005 * styles.mean(0)
    torch.testing.assert_close(generator.mean, expected)


def test_biggan_truncation() -> None:
    generator = _made("biggan generator", (1, 16, 16), "unconditional")
    whole = generator.noise(4000, None, torch.Generator().manual_seed(1))
    generator.truncation = 0.5
    noise = generator.noise(4000, None, torch.Generator().manual_seed(1))
    assert whole.abs().max() > 3
    assert 0.49 < noise.abs().max() <= 0.5
    inside = whole[whole.abs() < 0.5]
    assert noise.std().item() == pytest.approx(inside.std().item(), rel=0.02)


def test_heads() -> None:
    torch.manual_seed(3)
    features, given = torch.randn(4, 5), torch.tensor([0, 2, 1, 2])
    make = maker(nn.init.orthogonal_)
    made = {kind: Head(5, Condition(3), kind, make) for kind in ("projection", "auxiliary", "contrastive", "none")}  # type: ignore[arg-type]
    outputs = {kind: head(features, given) for kind, head in made.items()}
    for kind, head in made.items():
        score = head.score(features)
        if kind == "projection":
            score = score + (head.embed.weight.t()[given] * features).sum(1, keepdim=True)
        torch.testing.assert_close(outputs[kind].score, score)
    assert outputs["auxiliary"].logits.shape == (4, 3)
    contrastive = outputs["contrastive"]
    for part in (contrastive.embedding, contrastive.proxy):
        torch.testing.assert_close(part.norm(dim=1), torch.ones(4))
    assert torch.equal(contrastive.proxy[1], contrastive.proxy[3])
    plain = Head(5, Condition(), "contrastive", make)(features, None)
    assert plain.embedding is plain.proxy is plain.logits is None
    with pytest.raises(PartiganError, match="needs classes"):
        Head(5, Condition(conditions=2), "auxiliary", make)
    with pytest.raises(PartiganError, match="there is no conditioning 'acgan'"):
        Head(5, Condition(3), "acgan", make)  # type: ignore[arg-type]


def test_feature_quantisation_by_hand() -> None:
    torch.manual_seed(4)
    layer = FeatureQuantisation(2, codes=3, decay=0.75).double()
    layer.codes.copy_(torch.tensor([[0.0, 0.0], [4.0, 4.0], [100.0, 0.0]]))
    layer.total.copy_(layer.codes)
    x = torch.tensor([[1.0, 0.0], [5.0, 5.0], [4.0, 5.0], [0.0, 1.0]], dtype=torch.float64).T.reshape(1, 2, 2, 2)
    x.requires_grad_()
    before = layer.codes.clone()
    with torch.no_grad():
        assert torch.equal(layer.eval()(x)[0].flatten(2)[0].T, before[[0, 1, 1, 0]])
    assert torch.equal(layer.codes, before)
    layer.train()(x)
    expected = torch.stack(
        ((0.75 * before[0] + 0.25 * torch.ones(2)) / 1.25, (0.75 * before[1] + 0.25 * torch.tensor([9.0, 10.0])) / 1.25)
    )
    torch.testing.assert_close(layer.codes, torch.cat((expected, before[2:])))
    maps, distance = layer.eval()(x)
    rows = x.flatten(2)[0].T
    torch.testing.assert_close(distance, (rows - layer.codes[[0, 1, 1, 0]]).square().mean().view(1, 1))
    (slope,) = torch.autograd.grad((maps * torch.arange(8).view(1, 2, 2, 2)).sum(), x, retain_graph=True)
    assert torch.equal(slope, torch.arange(8.0).double().view(1, 2, 2, 2))  # straight through
    (slope,) = torch.autograd.grad(distance.sum(), x)
    torch.testing.assert_close(slope.flatten(2)[0].T, (rows - layer.codes[[0, 1, 1, 0]]) / 4)


@pytest.mark.parametrize("name", ["biggan critic", "biggan-deep critic", "pe-gan critic"])
def test_extras_stand_before_the_head(name: str) -> None:
    plain, rich = _made(name), _made(name, extras=Extras(codes=8, kernels=3, dropout=0.5))
    x, given = _input(plain), _condition("classes")
    assert plain(x, given).commitment is None
    output = rich(x, given)
    assert output.commitment.shape == (4, 1)
    assert output.features.shape[1] == plain(x, given).features.shape[1] + 3
    quantised = rich.quantise(rich.body(x))[0].sum((2, 3))
    torch.testing.assert_close(output.features, rich.pooled[0](quantised))
    features = rich.train()(x, given).features
    assert 0.2 < (features == 0).double().mean() < 0.8


def test_layers_against_their_formulae() -> None:
    torch.manual_seed(3)
    x = torch.randn(5, 6, 3, 4, dtype=torch.float64)
    torch.testing.assert_close(reduced(enlarged(x, (3, 2)), (3, 2)), x)
    torch.testing.assert_close(PixelNorm()(x).square().mean(1), torch.ones(5, 3, 4).double(), rtol=1e-6, atol=1e-6)
    deviation = x.std(0, unbiased=False).mean()
    torch.testing.assert_close(MinibatchDeviation()(x)[:, 6], deviation.expand(5, 3, 4), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(Blur()(torch.ones(1, 2, 3, 3))[:, :, 1, 1], torch.ones(1, 2))
    assert Blur()(torch.eye(3)[None, None])[0, 0, 1, 1] == pytest.approx((4 + 1 + 1) / 16)

    rows = x[:, :, 0, 0]
    neighbours = MinibatchDiscrimination(6, kernels=2, dimension=3).double()
    points = neighbours.project(rows).view(5, 2, 3)
    for i in range(5):
        close = sum(torch.exp(-(points[i] - points[j]).abs().sum(1)) for j in range(5) if j != i)
        torch.testing.assert_close(neighbours(rows)[i], torch.cat((rows[i], close)))

    layer = equalised(nn.Conv2d(6, 40, 3), rate=0.1).double()
    assert layer.parametrizations.weight.original.std().item() == pytest.approx(10, rel=0.1)
    assert layer.weight.std().item() == pytest.approx((2 / 54) ** 0.5, rel=0.1)

    attention = SelfAttention(6, maker(nn.init.xavier_uniform_)).double()
    assert torch.equal(attention(x), x)  # the gain starts at 0
    attention.gain.data.fill_(2.0)
    key, value = (functional.max_pool2d(part(x), 2, ceil_mode=True) for part in (attention.key, attention.value))
    weights = torch.einsum("nchw,ncij->nhwij", attention.query(x), key).flatten(3).softmax(3).view(5, 3, 4, 2, 2)
    attended = attention.out(torch.einsum("nhwij,ncij->nchw", weights, value))
    torch.testing.assert_close(attention(x), x + 2 * attended)

    norm = ConditionalBatchNorm(6, 2, maker(nn.init.ones_)).double()
    vector = torch.tensor([[1.0, 1.0]] * 5).double()
    torch.testing.assert_close(norm(x, vector), 3 * norm.norm(x) + 2)
    norm.eval()
    torch.testing.assert_close(norm(x, vector), 3 * norm.norm(x) + 2)


def test_sizes() -> None:
    """Base and factors of the sizes that the project knows, and what is said of others."""
    for size, base, factors in [
        ((8, 8), (4, 4), [(2, 2)]),
        ((28, 28), (7, 7), [(2, 2)] * 2),
        ((256, 768), (4, 12), [(2, 2)] * 6),
        ((9, 9), (3, 3), [(3, 3)]),
        ((3, 96), (3, 12), [(1, 2)] * 3),
        ((12, 6), (6, 3), [(2, 2)]),
        ((45, 16), (5, 4), [(3, 2)] * 2),
    ]:
        found = Sizes.of(*size)
        assert (found.base, list(found.factors)) == (base, factors)
        assert found.at(found.stages) == size
    assert Sizes.of(9, 9, [(3, 3), (3, 3)]).base == (1, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"height": 11, "width": 11}, "11 x 11 .* pad or crop to 10 x 10 or "),
        ({"height": 250, "width": 768}, " or 256 x 768"),
        ({"height": 8, "width": 8, "factors": [(3, 3)]}, "not a multiple of the factors"),
        ({"height": 8, "width": 8, "multipliers": [4, 2]}, "need 1 multipliers, not 2"),
        ({"height": 8, "width": 8, "norm": "spectral"}, "norm = 'spectral'"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(PartiganError, match=message):
        DCGANGenerator(**arguments)


def test_stages_without_attention_or_time_to_grow_are_refused() -> None:
    with pytest.raises(PartiganError, match="attention = 2; there are 1 stages"):
        SAGANGenerator(height=8, width=8, filters=2)
    with pytest.raises(PartiganError, match="grown = 0"):
        ProgressiveCritic(height=8, width=8, grown=0.0)


def _hitmaps(**more: Any) -> HitmapGenerator:
    torch.manual_seed(1)
    options = {"height": 16, "width": 24, "conditions": 5, "whole": (50, 72), "widths": (6, 5, 4, 3)} | more
    generator = HitmapGenerator(1, **options).double()
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return generator


def _placed(size: int, rate: float) -> Tensor:
    """Conditions of two classes, the first place, and a number of clusters in 1000 pixels."""
    given = torch.tensor([1.0, 0.0, -1.0, -1.0, math.log(rate)]).double().repeat(size, 1)
    given[1::2, :2] = torch.tensor([0.0, 1.0]).double()
    return given


def _inputs(generator: HitmapGenerator, noise: Tensor, given: Tensor, corner: Tensor) -> list[Tensor]:
    """What the levels of 8 and 2 pixels begin with, and the noise of pixels."""
    fixed = torch.cat((given[:, :2], torch.ones_like(given[:, :1])), dim=1)
    levels = generator.split(noise)
    return [*(generator.seeded(levels[n], n, fixed, corner, given[:, -1]) for n in (0, 2)), levels[3]]


def test_hitmaps_of_one_pass_are_those_of_overlapping_windows() -> None:
    generator, (height, width) = _hitmaps().eval(), (16, 24)
    given = _placed(2, 60.0)
    noise = generator.noise(2, None, torch.Generator().manual_seed(3)).double()
    whole = generator(noise, given)
    assert whole.shape == (2, 1, 50, 72)
    assert 0.01 < (whole > -1).double().mean() < 0.9
    inputs = _inputs(generator, noise, given, torch.zeros(2, 2).double())
    generator.train()  # images have the size of a crop
    shapes = [shape[1:] for shape in generator.shapes() if shape[0]]
    for u, v in ((0, 0), (8, 16), (16, 24), (32, 48), (24, 40)):
        parts = [
            x[:, :, u // cell : u // cell + rows, v // cell : v // cell + columns]
            for x, cell, (rows, columns) in zip(inputs, (8, 2, 2), shapes, strict=True)
        ]
        part = generator.render({0: parts[0], 2: parts[1]}, parts[2])
        torch.testing.assert_close(part, whole[:, :, u : u + height, v : v + width])
    assert not torch.allclose(part, whole[:, :, 16 : 16 + height, 40 : 40 + width])


def test_whole_hitmaps_have_as_many_seeds_as_expected_inside() -> None:
    generator = _hitmaps(long=0.2).eval()
    for linear in generator.fields.values():
        linear.weight.data.zero_()
    given = _placed(6, 20.0)
    noise = generator.noise(6, None, torch.Generator().manual_seed(3)).double()
    long, single, _ = _inputs(generator, noise, given, torch.zeros(6, 2).double())
    pixels = functional.pixel_shuffle(single[:, :4], 2)[:, 0]
    assert (pixels[:, 6:-6, 6:-6] > 0.5).sum((1, 2)).tolist() == [round(50 * 72 * 0.8 * 20 / 1000)] * 6
    assert (pixels > 0.5).sum() == (pixels[:, 6:-6, 6:-6] > 0.5).sum()  # none outside
    assert (single[:, 4:].abs().amax(1) > 0.1).sum() <= 4 * (pixels > 0.5).sum()  # marks are those of seeds
    assert (long[:, 0, :5] > 0.5).sum() == 0

    generator.train()
    given = _placed(3000, 20.0)
    given[:, 2:4] = 0.0
    noise = generator.noise(3000, None, torch.Generator().manual_seed(4)).double()
    long, single, _ = _inputs(generator, noise, given, torch.full((3000, 2), 20.0).double())
    assert (single[:, :4] > 0.5).double().mean().item() == pytest.approx(0.8 * 0.02, rel=0.02)
    inside = long[:, 0, 5:-5, 5:-5]
    assert (inside > 0.5).double().mean().item() == pytest.approx(0.2 * 64 * 0.02, rel=0.05)


def test_gate_is_hard_forwards_and_soft_backwards() -> None:
    logit = torch.tensor([-3.0, -0.1, 0.1, 3.0], requires_grad=True)
    gate = hit(logit)
    assert gate.tolist() == [0, 0, 1, 1]
    gate.sum().backward()
    soft = logit.detach().sigmoid()
    torch.testing.assert_close(logit.grad, soft * (1 - soft))
    x = _hitmaps().eval()(_hitmaps().eval().noise(2, None, torch.Generator().manual_seed(3)).double(), _placed(2, 30.0))
    assert not ((x > -1) & (x < 0)).any()  # the gap below the threshold
    assert (x == -1).any()
    assert (x >= 0).any()
    plain = _hitmaps(gate=False).eval()
    x = plain(plain.noise(2, None, torch.Generator().manual_seed(3)).double(), _placed(2, 30.0))
    assert ((x > -1) & (x < 0)).any()
    assert x.min() >= -1
    assert x.max() <= 1


def test_hitmaps_larger_than_the_map_are_refused() -> None:
    with pytest.raises(PartiganError, match=r"whole = \(10, 72\) with crops of 16 x 24"):
        _hitmaps(whole=(10, 72))
