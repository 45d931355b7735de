from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from partigan.data.batch import Batch
from partigan.data.loader import Loader
from partigan.data.transforms.hitmaps import EqualisedCharge, LogIntensity, padded, unpadded
from partigan.errors import PartiganError
from partigan.simulate.pxd import Parameters, Rates, simulate_event


@pytest.mark.parametrize("height", [250, 64])
def test_log_intensity_is_undone_exactly_and_cuts_below_threshold(height: int) -> None:
    x = torch.arange(256.0).repeat(height, 3)[None, None]
    transform = LogIntensity()
    sample = Batch(x.half(), condition=torch.zeros(1, dtype=torch.long))
    transform.fit(sample)
    normalised = transform.forward(sample)
    assert normalised.x.shape[2] == {250: 256, 64: 64}[height]
    assert normalised.x.min() >= -1
    assert normalised.x.max() < 1.002
    restored = LogIntensity()
    restored.load_state(transform.state())
    assert torch.equal(restored.inverse(normalised).x, torch.where(x < 7, 0, x))
    clean = LogIntensity(dequantisation=0)
    clean.fit(sample)
    assert clean.forward(sample).x.amax() == pytest.approx(1)
    assert clean.forward(sample).x[0, 0, 40, 7] == pytest.approx(2 * np.log(8) / np.log(256) - 1)


def test_noise_of_batches_is_drawn_anew_and_depends_on_the_number_alone() -> None:
    """A training holds charges; every epoch dequantises them differently, a resumed one as it would have been."""
    charges = torch.arange(8.0).half()[:, None, None, None].expand(8, 1, 2, 3)
    transform = LogIntensity()
    sample = Batch(charges, condition=torch.arange(8))
    transform.fit(sample)
    held = transform.held(sample)
    assert held.x.dtype == torch.float16
    assert held.x.data_ptr() == charges.data_ptr()
    loader = Loader(held, 4, 1, transform=transform)
    batches = [loader.batch(number) for number in range(6)]
    maps: dict[int, list[torch.Tensor]] = {row: [] for row in range(8)}
    for batch in batches:
        assert batch.x.dtype == torch.float32
        physical = transform.inverse(batch).x
        for row, x, q in zip(batch.condition.tolist(), batch.x, physical, strict=True):  # type: ignore[union-attr]
            assert (q == (row if row >= 7 else 0)).all()
            maps[row].append(x)
    for epochs in maps.values():
        assert len(epochs) == 3
        assert not torch.equal(epochs[0], epochs[1])
        torch.testing.assert_close(epochs[0].mean(), epochs[1].mean(), atol=0.3, rtol=0)
    again = Loader(held, 4, 1, transform=transform)
    for number in (5, 2):
        assert torch.equal(again.batch(number).x, batches[number].x)


def test_equalised_charges_are_uniform_and_undone_exactly() -> None:
    event = simulate_event(2.0, Parameters(), Rates.calibrated(), np.random.default_rng(0))
    x = torch.from_numpy(event.dense(range(40)))[:, None].float()
    x[0, 0, 0] = torch.arange(768) % 249 + 7.0
    transform = EqualisedCharge()
    transform.fit(Batch(x))
    normalised = transform.forward(Batch(x)).x
    assert torch.equal(normalised == -1, x == 0)
    hits = normalised[x > 0].numpy()
    assert hits.min() >= 0
    assert hits.max() < 1
    assert kstest(hits, "uniform").statistic < 0.01
    restored = EqualisedCharge()
    restored.load_state(transform.state())
    assert torch.equal(restored.inverse(Batch(normalised)).x, x)
    ends = torch.tensor([[[[-1.0, -0.1, 0.0, 1.0]]]])
    assert restored.inverse(Batch(ends)).x.flatten().tolist() == [0, 0, 7, 255]
    with pytest.raises(PartiganError, match="no hits"):
        transform.fit(Batch(torch.zeros(1, 1, 4, 4)))


def test_only_images_of_whole_sensors_are_padded() -> None:
    whole, crop = torch.rand(2, 250, 5), torch.rand(2, 64, 5)
    assert padded(whole).shape == (2, 256, 5)
    assert (padded(whole)[:, [0, 1, 2, -3, -2, -1]] == 0).all()
    assert torch.equal(unpadded(padded(whole), 250), whole)
    assert padded(crop) is crop
    assert unpadded(crop, 64) is crop
