from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from partigan.data.pxd import PIXELS
from partigan.simulate.pxd_parameters import Parameters
from partigan.simulate.pxd_silicon import Deposits, Tracks, collect, digitise, lose


def test_energy_loss_is_bichsels_and_charge_is_kept() -> None:
    rng, p = np.random.default_rng(0), replace(Parameters(), piece=1.0)
    n = 20_000
    middle = np.full(n, 6.0)
    tracks = Tracks(np.zeros(n, int), middle, middle, np.zeros(n), np.zeros(n), np.full(n, 0.075))
    loss = lose(tracks, p, rng).energy.reshape(n, p.steps).sum(1)
    density, edges = np.histogram(loss, np.arange(10, 40, 1.0))
    mode = edges[np.argmax(density)] + 0.5
    assert mode == pytest.approx(75 * (100.6 + 35.35 * np.log(75)) * 1e-3, abs=1.6)  # broadening moves it up a little
    assert (loss > 3 * mode).mean() > 2e-3  # a Landau tail
    deposits = Deposits(
        np.zeros(500, int), rng.uniform(0.1, 12.4, 500), rng.uniform(0.1, 44.7, 500), np.full(500, 20.0)
    )
    pixels, electrons = collect(deposits, p)
    assert electrons.sum() == pytest.approx(500 * 20e3 / 3.65)
    assert pixels.max() < PIXELS


def test_digitiser_clips_before_it_subtracts_the_pedestal() -> None:
    rng, p = np.random.default_rng(0), Parameters()
    pixels = np.arange(20_000)
    _, charge = digitise(pixels, np.full(len(pixels), 1e6), p, rng)
    assert charge.mean() == pytest.approx(155, abs=1)
    assert charge.std() == pytest.approx(30, abs=1)
    read, charge = digitise(pixels, np.full(len(pixels), 20 * p.gain), p, rng)
    assert len(read) == len(pixels)
    assert charge.std() == pytest.approx(np.hypot(p.noise / p.gain, 12**-0.5), rel=0.05)
    assert len(digitise(pixels, np.full(len(pixels), 4 * p.gain), p, rng)[0]) < 20
