"""Our networks for clusters: gates, strips, whole events."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import label
from scipy.stats import kstest
from torch import Tensor

from partigan.data.batch import Batch
from partigan.data.cluster_tables import Counts, Drawn, Tables
from partigan.data.clusters import MEDIUM, PIXELS, STRIP, WINDOW, found
from partigan.data.hitmaps import Hitmaps
from partigan.data.pxd import COLUMNS, ROWS, SENSORS
from partigan.data.transforms.hitmaps import ClusterShares
from partigan.errors import PartiganError
from partigan.nets.images.clusters import (
    ClusterCritic,
    ClusterGenerator,
    Events,
    MapHits,
    in_one,
    packed,
    unpacked,
)
from partigan.observables.hitmaps import connected
from partigan.simulate.pxd import simulate_event
from partigan.simulate.pxd_parameters import Parameters, Rates

FRAME = torch.tensor([[7, 9, 90, 0b110111, 8, 99, 700, 4, 7, 30, 9, 9, 1, 20, 0.5, 0.5, -2]])


def _generator() -> ClusterGenerator:
    torch.manual_seed(1)
    generator = ClusterGenerator()
    transform = ClusterShares()
    transform.fit(Batch(torch.arange(7.0, 256).repeat(2)[None, : sum(PIXELS)]))
    generator.meet(transform)
    return generator.eval()


def _filled() -> Events:
    """Boxes are full and tracks thin, so that all clusters hang together."""
    generator = _generator()
    with torch.no_grad():
        generator.medium.last.bias[: PIXELS[1]] = 99.0
        generator.strip.last.bias[:STRIP] = torch.tensor([-99.0, -99, 99, -99, -99])
    events = generator.deployed()
    assert isinstance(events, Events)
    return events


def _frames(size: int) -> Tensor:
    return FRAME.repeat(size, 1)


@pytest.fixture(scope="module")
def event() -> Drawn:
    made = simulate_event(2.0, Parameters(), Rates.calibrated(), np.random.default_rng(1))
    return Tables(Counts(found(made), 1).state()).draw(1, np.random.default_rng(2))


def test_sizes() -> None:
    numbers = [sum(p.numel() for p in network.parameters()) for network in (ClusterGenerator(), ClusterCritic())]
    assert numbers == [111_121, 184_979]


def test_boxes_and_strips_hold_what_frames_say() -> None:
    generator = _generator()
    noise = generator.noise(200, None, torch.Generator().manual_seed(0))
    x = generator(noise, _frames(200))
    hit, share = x.unflatten(1, (2, -1)).unbind(1)
    assert set(hit.unique().tolist()) == {0, 1}
    assert (share[hit == 0] == 0).all()
    assert 0.9 < share.max() <= 1
    small, medium, strip = hit.split(list(PIXELS), dim=1)
    assert (small == torch.tensor([1.0, 1, 1, 0, 1, 1, 0, 0, 0])).all()
    assert medium.any(0).view(*MEDIUM).nonzero().amax(0).tolist() == [3, 6]
    along = strip.view(-1, WINDOW, STRIP).any(2)
    assert along[:, 2:22].all()
    assert not along[:, :2].any()
    assert not along[:, 22:].any()


def test_every_part_learns_through_the_gate() -> None:
    generator, critic = _generator(), ClusterCritic()
    critic(generator(generator.noise(64, None, torch.Generator()), _frames(64)), _frames(64)).score.sum().backward()
    for name, parameter in generator.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_deployed_shares_are_uniform_whatever_the_weights() -> None:
    generator = _generator()
    generator.frames = _frames(64)
    with torch.no_grad():  # means of shares, and their widths
        generator.small.last.bias[: PIXELS[0]] += 0.7
        generator.medium.last.bias[2 * PIXELS[1] :] -= 1.0
    for network in (generator, generator.deployed().generator):  # type: ignore[union-attr]
        made = network(generator.noise(2000, None, torch.Generator().manual_seed(9)), _frames(2000))  # type: ignore[operator]
        hit, share = made.unflatten(1, (2, -1)).unbind(1)
        parts = zip(*(x.split(list(PIXELS), dim=1) for x in (hit, share)), strict=True)
        far = [kstest(share[hit > 0].detach().numpy(), "uniform").statistic for hit, share in parts]
        assert (max(far) < 0.02) == (network is not generator)


def test_scores_are_of_their_own_cluster_alone() -> None:
    critic, x = ClusterCritic(), torch.rand(2, 2 * sum(PIXELS))
    before = critic(x, _frames(2)).score
    parts = x.view(2, 2, -1)
    parts[0, :, : PIXELS[0]] = 0
    changed = (critic(x, _frames(2)).score - before).abs() > 1e-6
    assert changed.tolist() == [[True, False, False], [False, False, False]]


def test_other_samples_are_refused() -> None:
    with pytest.raises(PartiganError, match=r"samples have 10 values; clusters have 514"):
        ClusterGenerator(features=10)


def test_hits_of_a_box_hang_together() -> None:
    rng = np.random.default_rng(0)
    hit = rng.random((400, *MEDIUM)) < 0.5
    box = np.stack((rng.integers(1, 9, 400), rng.integers(1, 17, 400)), axis=1)
    expected = []
    for image, (height, width) in zip(hit, box, strict=True):
        image[height:] = False
        image[:, width:] = False
        sides = (image[0], image[height - 1], image[:, 0], image[:, width - 1])
        expected.append(label(image, np.ones((3, 3)))[1] == 1 and all(side.any() for side in sides))
    assert in_one(hit, box).tolist() == expected
    assert 0.05 < np.mean(expected) < 0.9


def _made(events: Events, drawn: Drawn, maps: Tensor, condition: Tensor) -> MapHits:
    with torch.inference_mode():
        return events.hits(maps[:, 0].numpy(), *unpacked(condition))


def test_whole_events(event: Drawn) -> None:
    """Clusters do not touch, and their numbers are as drawn; the same event alone, in parts, in a batch."""
    events, maps = _filled(), len(SENSORS)
    condition = packed(event, maps, 1200)
    sensors, again = unpacked(condition)
    assert sensors.tolist() == list(range(maps))
    for one, two in zip(event, again, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-6)
    seeds = events.noise(maps, None, torch.Generator().manual_seed(5))
    made = _made(events, event, seeds, condition)
    address = (made.map * COLUMNS + made.u) * ROWS + made.v
    assert (np.diff(address) > 0).all()
    number, _ = connected(made.map, made.u, made.v)
    assert number == pytest.approx(len(event.map), rel=0.002)  # where a line is steep, tracks have gaps
    twice = _made(events, event, torch.cat((seeds, seeds)), torch.cat((condition, condition)))
    half = len(twice.map) // 2
    for name in ("u", "v", "charge"):
        np.testing.assert_array_equal(getattr(twice, name)[:half], getattr(made, name))
        np.testing.assert_array_equal(getattr(twice, name)[half:], getattr(made, name))
    some = _made(events, event, seeds[38:], condition[38:])
    there = made.map >= 38
    np.testing.assert_array_equal(some.map + 38, made.map[there])
    np.testing.assert_array_equal(some.charge, made.charge[there])
    other = _made(events, event, seeds + 1, condition)
    assert len(other.u) != len(made.u) or (other.u != made.u).any()


def test_packed_hits_are_maps(event: Drawn) -> None:
    events, condition = _filled(), packed(event, len(SENSORS), 1200)
    seeds = events.noise(len(SENSORS), None, torch.Generator().manual_seed(5))
    made = _made(events, event, seeds, condition)
    with torch.inference_mode():
        x = ClusterShares().inverse(Batch(events(seeds, condition))).x
    assert x.shape == (len(SENSORS), 1, COLUMNS, ROWS)
    expected = Hitmaps.of(1, np.zeros_like(made.map), made.map, made.u, made.v, made.charge).dense(range(40))
    np.testing.assert_array_equal(x[:, 0].numpy().astype(np.uint8), expected)
