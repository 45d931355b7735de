from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from partigan.nets.clouds.mdma import MDMACritic, MDMAGenerator
from partigan.nets.contracts import CriticOutput
from unfolded_mdma import unfold

NETWORKS = {
    "generator-30": lambda: MDMAGenerator(particles=30),
    "generator-150": lambda: MDMAGenerator(particles=150),
    "critic-30": lambda: MDMACritic(particles=30),
    "critic-150": lambda: MDMACritic(particles=150),
}


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(1)
    made: nn.Module = NETWORKS[request.param]().double()
    with torch.no_grad():  # away from the symmetries of a fresh initialisation
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return made


def _input(network: nn.Module, jets: int = 6) -> tuple[Tensor, Tensor]:
    particles = network.body.particles
    mask = torch.arange(particles) < torch.tensor([1, 2, particles, particles // 2, 7, particles - 1])[:jets, None]
    x = torch.randn(jets, particles, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return x, mask


def _values(output: Tensor | CriticOutput) -> Tensor:
    return output if isinstance(output, Tensor) else torch.cat([part for part in output if part is not None], 1)


def test_parameter_counts_are_the_papers_within_5_percent() -> None:
    counts = [sum(p.numel() for p in made.parameters()) for made in (MDMAGenerator(), MDMACritic())]
    assert counts == [85_235, 42_418]
    assert counts[0] == pytest.approx(87_000, rel=0.05)
    assert counts[1] == pytest.approx(43_000, rel=0.05)


def test_shapes(network: nn.Module) -> None:
    x, mask = _input(network)
    output = network(x, mask=mask)
    if isinstance(output, Tensor):
        assert output.shape == x.shape
        assert (output[~mask] == 0).all()
    else:
        assert output.score.shape == (6, 1)
        assert output.features is not None
        assert output.features.shape == (6, 16)


def test_folded_and_unfolded_agree_in_value_and_gradient(network: nn.Module) -> None:
    x, mask = _input(network)
    twin = unfold(network)
    outputs, slopes = [], []
    for each in (network, twin):
        leaf = x.clone().requires_grad_()
        output = _values(each(leaf, mask=mask))
        weight = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)
        slopes.append(torch.autograd.grad((output * weight).sum(), [leaf, _input_weight(each)]))
        outputs.append(output)
    torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(slopes[0], slopes[1], rtol=1e-8, atol=1e-9)
    single = _values(network.float()(x.float(), mask=mask))
    torch.testing.assert_close(single.double(), outputs[0], rtol=1e-3, atol=1e-4)


def _input_weight(network: nn.Module) -> Tensor:
    """Everything that the blocks compute flows back into the bias of the embedding."""
    bias: Tensor = network.body.embed.bias
    return bias


def test_permutations_of_the_particles(network: nn.Module) -> None:
    x, mask = _input(network)
    order = torch.randperm(x.shape[1], generator=torch.Generator().manual_seed(3))
    plain, permuted = network(x, mask=mask), network(x[:, order], mask=mask[:, order])
    if isinstance(plain, Tensor):
        assert type(network).equivariant
        plain = plain[:, order]
    else:
        assert type(network).invariant
    torch.testing.assert_close(_values(permuted), _values(plain), rtol=1e-9, atol=1e-10)


def test_padding_has_no_influence(network: nn.Module) -> None:
    assert type(network).masked
    x, mask = _input(network)
    changed = torch.where(mask[..., None], x, 1e3 * torch.ones_like(x))
    torch.testing.assert_close(_values(network(changed, mask=mask)), _values(network(x, mask=mask)))
    for row, number in enumerate(mask.sum(1).tolist()):  # trimmed, and without a mask at all
        alone = network(x[row : row + 1, :number])
        full = network(x[row : row + 1], mask=mask[row : row + 1])
        expected = full[:, :number] if isinstance(full, Tensor) else _values(full)
        torch.testing.assert_close(_values(alone), expected, rtol=1e-9, atol=1e-10)


def test_every_parameter_gets_a_gradient(network: nn.Module) -> None:
    x, mask = _input(network)
    _values(network(x, mask=mask)).square().sum().backward()
    # the key's bias cancels in the softmax, and the generator's last mean field reaches the particles only
    idle = {name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()}
    assert idle <= {name for name, _ in network.named_parameters() if name.endswith("key.bias")} | {
        name
        for name, _ in network.named_parameters()
        if name.startswith("body.blocks.1.update") and isinstance(network, MDMACritic)
    }


def test_hidden_has_to_be_a_multiple_of_heads() -> None:
    with pytest.raises(ValueError, match="hidden = 50 must be a multiple of heads = 16"):
        MDMAGenerator(hidden=50)


def test_noise_is_reproducible_and_of_the_masks_width() -> None:
    generator = MDMAGenerator()
    mask = torch.ones(4, 12, dtype=torch.bool)
    draws = [generator.noise(4, mask, torch.Generator().manual_seed(5)) for _ in range(2)]
    assert draws[0].shape == (4, 12, 3)
    assert torch.equal(*draws)
