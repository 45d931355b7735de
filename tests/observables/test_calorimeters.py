from __future__ import annotations

import numpy as np
import pytest
import torch

from partigan.data.calorimeter import geometry
from partigan.observables.calorimeters import shower_features, whole_features


def test_features_are_those_of_the_challenge() -> None:
    """A few voxels by hand: energies in two rings at opposite angles."""
    known = geometry("ds1-photons")
    x = torch.zeros(2, 368)
    first = 8  # layer 1: 10 angles of 16 radii
    x[0, first + 0 * 16 + 2], x[0, first + 5 * 16 + 2], x[0, 0] = 30.0, 10.0, 0.5
    found = shower_features(x, known.cells, threshold=1.0)
    assert found["energy"][0].tolist() == [0.0, 40.0, 0.0, 0.0, 0.0]
    r, angle = 5.0, -np.pi + np.pi / 10
    eta = (30 * np.cos(angle) + 10 * np.cos(angle + np.pi)) / 40 * r
    assert found["ec_eta"][0, 1].item() == pytest.approx(eta, rel=1e-6)
    width = np.sqrt((r * np.cos(angle)) ** 2 - eta**2)
    assert found["width_eta"][0, 1].item() == pytest.approx(width, rel=1e-6)
    assert found["ec_r"][0, 1].item() == pytest.approx(5.0)
    assert found["width_r"][0, 1].item() == pytest.approx(0.0, abs=1e-5)
    assert found["sparsity"][0, 1].item() == pytest.approx(158 / 160)
    assert found["sparsity"][0, 0].item() == 1.0  # half an MeV is below the threshold
    assert all(part[1].abs().max() <= 1 for part in found.values())  # an empty shower


def test_whole_showers() -> None:
    known = geometry("ds2")
    x = torch.zeros(1, 6480)
    x[0, 10 * 144], x[0, 20 * 144 + 1] = 300.0, 100.0
    found = whole_features(shower_features(x, known.cells), known.cells, torch.tensor([500.0]))
    assert found["response"].item() == pytest.approx(0.8)
    assert found["depth"].item() == pytest.approx(12.5)
    assert found["depth_width"].item() == pytest.approx(np.sqrt(0.75 * 0.25) * 10)
    assert found["occupancy"].item() == pytest.approx(2 / 6480, rel=1e-4)
    assert found["radius"].item() == pytest.approx(np.sqrt(0.75 * 2.325**2 + 0.25 * 6.975**2), rel=1e-5)


def test_observables_are_differentiable() -> None:
    known = geometry("calogan")
    x = torch.rand(4, 504, dtype=torch.float64, requires_grad=True)
    whole = whole_features(shower_features(x, known.cells), known.cells, torch.ones(4, dtype=torch.float64))
    (slope,) = torch.autograd.grad(torch.stack(list(whole.values())).sum(), x)
    assert slope.isfinite().all()
    assert slope.any()
