from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from partigan.errors import PartiganError
from partigan.observables.jets import FPD_GRAPHS, W1_GRAPHS, Graph, efps, mass, moments, pt_sum, rotated


def _jets(size: int = 5, particles: int = 4, seed: int = 1) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    angles = 0.3 * torch.randn(size, particles, 2, generator=rng, dtype=torch.float64)
    pt = torch.rand(size, particles, 1, generator=rng, dtype=torch.float64)
    mask = torch.arange(particles) < torch.randint(1, particles + 1, (size, 1), generator=rng)
    return torch.cat((angles, pt), -1), mask


def _brute_force(x: Tensor, graph: Graph) -> float:
    """The definition (arXiv:1712.07124, eq. 1.1), a sum over all tuples of particles."""
    vertices = 1 + max((vertex for edge in graph for vertex in edge), default=0)
    theta = torch.cdist(x[:, :2], x[:, :2])
    total = 0.0
    for particles in itertools.product(range(len(x)), repeat=vertices):
        term = float(np.prod([x[i, 2].item() for i in particles]))
        for i, j in graph:
            term *= theta[particles[i], particles[j]].item()
        total += term
    return total


@pytest.mark.parametrize("graph", [*FPD_GRAPHS[:24], *W1_GRAPHS])
def test_efps_are_their_definition(graph: Graph) -> None:
    x, mask = _jets(3)
    found = efps(x, mask, [graph])[:, 0]
    expected = [_brute_force(jet[real], graph) for jet, real in zip(x, mask, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_disconnected_graphs_are_products() -> None:
    x, mask = _jets()
    line, double = efps(x, mask, [((0, 1),), ((0, 1), (0, 1))]).T
    torch.testing.assert_close(efps(x, mask, [((0, 1), (2, 3), (2, 3))])[:, 0], line * double)


def test_there_are_36_and_5_graphs() -> None:
    assert len(FPD_GRAPHS) == len(set(FPD_GRAPHS)) == 36
    assert len(W1_GRAPHS) == 5
    assert max(len(graph) for graph in FPD_GRAPHS) == 4
    assert all(len(graph) == 4 and max(map(max, graph)) == 3 for graph in W1_GRAPHS)


@pytest.mark.parametrize("sample", ["a", "b"])
def test_oracle(oracle: dict[str, np.ndarray], sample: str) -> None:
    """What jetnet 0.2.5 and energyflow 1.4.0 answer on the same jets."""
    jets = torch.from_numpy(oracle[sample])
    x, mask = jets[..., :3], jets[..., 3] > 0.5
    # the reference subtracts large float32 numbers, which costs it 5e-6; ours agrees with its own float64
    np.testing.assert_allclose(mass(x, mask), oracle[f"{sample}_mass"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(mass(x, mask), mass(x.double(), mask), rtol=1e-5)
    np.testing.assert_allclose(efps(x[:300], mask[:300], W1_GRAPHS), oracle[f"{sample}_efp5"], rtol=1e-5)
    np.testing.assert_allclose(efps(x, mask, FPD_GRAPHS), oracle[f"{sample}_fpd_features"], rtol=1e-5)


def test_oracle_of_150_particles(oracle: dict[str, np.ndarray]) -> None:
    jets = torch.from_numpy(oracle["a150"])
    np.testing.assert_allclose(efps(jets, jets[..., 3] > 0.5, FPD_GRAPHS), oracle["a150_efp36"], rtol=1e-5)


def test_the_minor_width_does_not_depend_on_the_orientation() -> None:
    x = torch.tensor([[[0.3, 0, 1], [-0.3, 0, 1], [0, 0.1, 1], [0, -0.1, 1]]], dtype=torch.float64)
    for angle in (0.0, 0.7, 2.0):
        turned = torch.cat((rotated(x[..., :2], torch.tensor([angle], dtype=torch.float64)), x[..., 2:]), dim=-1)
        assert moments(turned)[0, 7].item() == pytest.approx(0.005, rel=1e-8)


@pytest.mark.parametrize("observable", [mass, pt_sum, efps, moments])
def test_symmetries_and_padding(observable: object) -> None:
    assert callable(observable)
    x, mask = _jets(20, 12)
    plain = observable(x, mask)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(observable(x[:, order], mask[:, order]), plain)
    torch.testing.assert_close(observable(torch.where(mask[..., None], x, torch.nan), mask), plain)
    torch.testing.assert_close(observable(torch.cat((x, x), 1), torch.cat((mask, mask & False), 1)), plain)
    assert plain.dtype == torch.float64


def test_mass_of_two_particles() -> None:
    """m^2 = 2 pt1 pt2 (cosh d_eta - cos d_phi), and nothing for one particle or none."""
    x = torch.tensor([[[0.1, 0.2, 0.6], [-0.3, 0.1, 0.4]]], dtype=torch.float64)
    expected = np.sqrt(2 * 0.6 * 0.4 * (np.cosh(0.4) - np.cos(0.1)))
    assert mass(x).item() == pytest.approx(expected, rel=1e-12)
    assert mass(x, torch.tensor([[True, False]])).item() == 0
    assert mass(x, torch.tensor([[False, False]])).item() == 0
    assert pt_sum(x).item() == pytest.approx(1.0)


def test_moments_of_two_particles() -> None:
    x = torch.tensor([[[0.3, 0.0, 0.15], [-0.1, 0.0, 0.45]]], dtype=torch.float64)  # 0.3 and 0.1 from their axis
    expected = [0.6, 0.0, 0.0, 0.15, 0.03, 0.0021, 0.625, 0.0]
    np.testing.assert_allclose(moments(x)[0], expected, atol=1e-12)
    alone = moments(x, torch.tensor([[False, True]]))[0]
    np.testing.assert_allclose(alone, [0.45, -0.1, 0, 1e-6, 1e-12, 1e-12, 1, 1e-12], atol=1e-12)


@pytest.mark.parametrize("observable", [mass, pt_sum, efps, moments])
def test_gradients(observable: object) -> None:
    assert callable(observable)
    x, mask = _jets(3, 4)
    assert torch.autograd.gradcheck(lambda y: observable(y, mask), x.requires_grad_(), atol=1e-7)


def test_gradients_stay_finite_where_particles_coincide() -> None:
    x = torch.zeros(2, 3, 3)
    x[..., 2] = 0.3
    x.requires_grad_()
    mask = torch.tensor([[True, True, True], [True, False, False]])
    (mass(x, mask).sum() + efps(x, mask).sum() + moments(x, mask).sum()).backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


def test_bad_input() -> None:
    x, mask = _jets()
    with pytest.raises(PartiganError, match="jets must have the shape"):
        mass(x[0])
    with pytest.raises(PartiganError, match=r"mask must have the shape \(5, 4\)"):
        mass(x, mask[:, :2])
    with pytest.raises(PartiganError, match="loop"):
        efps(x, mask, [((0, 0),)])
