from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from partigan.data.batch import Batch
from partigan.data.clusters import FRAMES, PIXELS, STRIP, WINDOW
from partigan.data.loader import Loader
from partigan.data.spectra import SPECTRA, of_strips
from partigan.data.transforms.hitmaps import ClusterShares, LogIntensity, padded, unpadded
from partigan.errors import PartiganError


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


def test_shares_of_clusters_are_uniform_in_each_spectrum() -> None:
    """Of pixels of two kinds of tracks that are alone or share a step."""
    rng = torch.Generator().manual_seed(1)
    frames = torch.tensor(
        [
            [0.0, 5, 5, 3, 9, 0, 5, 5, 0, 40, 0, 0.5, 1.4, 18, 1, 1, 5, 9],
            [39, 5, 600, 3, 9, 39, 5, 600, 1, 40, 0, 0.5, 1.4, 18, 1, 1, 5, 9],
        ]
    )
    frames = frames.repeat(300, 1)
    small = torch.tensor([1.0, 1] + 7 * [0]).expand(600, -1)
    strip = torch.rand(600, WINDOW, STRIP, generator=rng) < 0.3
    hit = torch.cat((small, strip.flatten(1)), dim=1)
    spectrum = torch.cat((torch.zeros_like(small).long(), of_strips(strip.flatten(1), frames[:, FRAMES[0] :])), dim=1)
    numbers = spectrum[hit > 0].unique()
    assert numbers[0] == 0
    assert len(numbers) == 5
    charges = torch.randint(7, 256, hit.shape, generator=rng) * (0.1 + 0.9 * spectrum / SPECTRA)
    sample = Batch((charges.floor().clamp_min(7) * hit), condition=frames)
    transform = ClusterShares()
    transform.fit(sample)
    there, share = transform.forward(sample).x.split(sum(PIXELS), dim=1)
    assert torch.equal(there, hit)
    assert (share[hit == 0] == 0).all()
    for number in numbers[1:]:
        assert kstest(share[(hit > 0) & (spectrum == number)].numpy(), "uniform").statistic < 0.06
    blind = ClusterShares()
    blind.fit(replace(sample, condition=None))
    one = blind.forward(replace(sample, condition=None)).x[:, sum(PIXELS) :]
    assert kstest(one[(hit > 0) & (spectrum == numbers[1])].numpy(), "uniform").statistic > 0.3
    held = transform.held(sample)
    other = transform.batch(held, rng).x
    assert torch.equal(other[:, : sum(PIXELS)], hit)
    assert not torch.equal(other[:, sum(PIXELS) :], share)
    with pytest.raises(PartiganError, match="no hits"):
        transform.fit(Batch(torch.zeros(2, sum(PIXELS))))


def test_hits_become_whole_maps() -> None:
    hits = torch.tensor([[[1.0, 770, 192_000, 0], [7, 9, 255, 0]], [[5.0, 0, 0, 0], [30, 0, 0, 0]]])
    maps = ClusterShares().inverse(Batch(hits)).x
    assert maps.shape == (2, 1, 250, 768)
    expected = torch.zeros(2, 1, 250, 768)
    for (number, column, row), charge in {(0, 0, 0): 7, (0, 1, 1): 9, (0, 249, 767): 255, (1, 0, 4): 30}.items():
        expected[number, 0, column, row] = charge
    assert torch.equal(maps.float(), expected)


def test_only_images_of_whole_sensors_are_padded() -> None:
    whole, crop = torch.rand(2, 250, 5), torch.rand(2, 64, 5)
    assert padded(whole).shape == (2, 256, 5)
    assert (padded(whole)[:, [0, 1, 2, -3, -2, -1]] == 0).all()
    assert torch.equal(unpadded(padded(whole), 250), whole)
    assert padded(crop) is crop
    assert unpadded(crop, 64) is crop
