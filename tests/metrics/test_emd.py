from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from helpers import toy_clouds
from partigan.errors import PartiganError
from partigan.metrics.clouds import Clouds
from partigan.metrics.emd import energy_movers_distance


def test_emd_of_the_oracle(oracle: dict[str, np.ndarray]) -> None:
    a, b = (oracle[name][:12].astype(float) for name in "ab")
    for row, jet in enumerate(a):
        found = energy_movers_distance(
            Clouds(*(np.repeat(part[None], 12, 0) for part in (jet, jet[:, 3:]))), Clouds(b, b[..., 3])
        )
        np.testing.assert_allclose(found, oracle["emd12"][row], rtol=1e-6)


@pytest.mark.parametrize("radius", [1.0, 0.5])
def test_emd_is_the_linear_program_of_its_definition(radius: float) -> None:
    """Without the fictitious particle: flows f_ij >= 0, at most pt_i leave and pt_j arrive, min(E, E') in all."""
    a, b = toy_clouds(6, 1, 5), toy_clouds(6, 2, 4)
    tensors = Clouds(torch.from_numpy(b.x), torch.from_numpy(b.mask)[..., None])
    found = energy_movers_distance(a, tensors, radius)
    for jet, other, real, also, value in zip(a.x, b.x, a.mask, b.mask, found, strict=True):
        (x, e), (y, f) = ((j[m][:, :2], j[m][:, 2]) for j, m in ((jet, real), (other, also)))
        theta = np.hypot(*(x[:, None] - y[None]).transpose(2, 0, 1))
        leave, arrive = np.kron(np.eye(len(x)), np.ones(len(y))), np.kron(np.ones(len(x)), np.eye(len(y)))
        least = linprog(
            theta.ravel(),
            A_ub=np.vstack([leave, arrive]),
            b_ub=np.concatenate([e, f]),
            A_eq=np.ones((1, theta.size)),
            b_eq=[min(e.sum(), f.sum())],
        )
        assert value == pytest.approx(least.fun + radius * abs(e.sum() - f.sum()), rel=1e-9)


def test_distances_of_single_particles() -> None:
    points = np.array([[[0.0, 0.0, 1.0]], [[0.3, 0.4, 1.0]], [[0.0, 0.0, 0.4]], [[0.0, 0.0, 0.0]]])
    np.testing.assert_allclose(energy_movers_distance(points[:1].repeat(4, 0), points), [0, 0.5, 0.6, 1])


def test_pairs_are_needed() -> None:
    with pytest.raises(PartiganError, match="pairs of jets"):
        energy_movers_distance(toy_clouds(4, 1), toy_clouds(3, 1))
