"""Our networks for clusters: gates, strips, whole events."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from torch import Tensor

from partigan.data.batch import Batch
from partigan.data.cluster_tables import Counts, Drawn, Tables
from partigan.data.clusters import EDGE, FRAMES, PIXELS, STRIP, WINDOW, found
from partigan.data.hitmaps import Hitmaps
from partigan.data.pxd import COLUMNS, ROWS, SENSORS
from partigan.data.spectra import SPECTRA, of_strips
from partigan.data.transforms.hitmaps import ClusterShares
from partigan.errors import PartiganError
from partigan.nets.images.clusters import Events, MapHits, SparseCritic, SparseGenerator, packed, unpacked
from partigan.nets.images.shares import Shares
from partigan.nets.images.strips import Given, geometry, ranking
from partigan.nets.images.strips import connected as joined
from partigan.observables.hitmaps import connected
from partigan.simulate.pxd import simulate_event
from partigan.simulate.pxd_parameters import Parameters, Rates

FRAME = torch.tensor([[7, 9, 90, 0b110111, 240, 30, 9, 9, 1, 12, 0.5, 0.5, 1.4, 18, 1, 1, 5, -2]])


def _generator() -> SparseGenerator:
    torch.manual_seed(1)
    generator = SparseGenerator()
    transform = ClusterShares()
    transform.fit(Batch(torch.arange(7.0, 256).repeat(2)[None, : sum(PIXELS)]))
    generator.meet(transform)
    return generator.eval()


def _frames(size: int) -> Tensor:
    return FRAME.repeat(size, 1)


@pytest.fixture(scope="module")
def event() -> Drawn:
    made = simulate_event(2.0, Parameters(), Rates.calibrated(), np.random.default_rng(1))
    return Tables(Counts(found(made), 1).state()).draw(1, np.random.default_rng(2))


def test_sizes() -> None:
    numbers = [sum(p.numel() for p in network.parameters()) for network in (SparseGenerator(), SparseCritic())]
    assert numbers == [73_381, 137_330]


def test_boxes_and_strips_hold_what_frames_say() -> None:
    generator = _generator()
    noise = generator.noise(200, None, torch.Generator().manual_seed(0))
    x = generator(noise, _frames(200))
    hit, share = x.unflatten(1, (2, -1)).unbind(1)
    assert set(hit.unique().tolist()) == {0, 1}
    assert (share[hit == 0] == 0).all()
    assert 0.9 < share.max() <= 1
    small, strip = hit.split(list(PIXELS), dim=1)
    assert (small == torch.tensor([1.0, 1, 1, 0, 1, 1, 0, 0, 0])).all()
    assert (share[:, 5] == 0.5).all()  # the last hit takes what is left
    assert len(share[:, :5].unique()) > 700
    along = strip.view(-1, WINDOW, STRIP).any(2)
    assert along[:, 2:14].all()
    assert not along[:, :2].any()
    assert not along[:, 14:].any()


def test_tracks_hang_together_whatever_the_logits() -> None:
    """From pixel to pixel; hits that do so by themselves are left alone, and others are added between them."""
    tracks, rng = 300, torch.Generator().manual_seed(1)
    slope = torch.rand(tracks, 1, generator=rng) * 2 - 1
    along = torch.arange(WINDOW).expand(tracks, -1).float()
    length = torch.full_like(along, WINDOW)
    sides = (torch.full_like(along, 2), torch.full_like(along, 2))
    known = geometry((slope.expand_as(along), torch.full_like(along, 0.5), length), sides, along).mT
    first = torch.randint(STRIP, (tracks, 1, WINDOW), generator=rng)
    last = first + torch.randint(2, first.shape, generator=rng)
    across, track = torch.arange(STRIP)[:, None], torch.arange(tracks)[:, None].expand(-1, WINDOW)
    some = (across >= first) & (across <= last)
    there = joined(some, known, track)
    assert (there | ~some).all()
    line = (0.5 + slope * along + EDGE).floor().long()
    number, _ = connected(*(each.numpy() for each in _hits(there, line)))
    assert number == tracks
    plain, _ = connected(*(each.numpy() for each in _hits(some, line)))
    assert plain > 2 * tracks
    straight = ((across == 2) | (across == 3)).expand_as(some)
    flat = geometry((torch.zeros_like(along), torch.full_like(along, 0.5), length), sides, along).mT
    assert torch.equal(joined(straight, flat, track), straight)


def test_tracks_have_as_many_hits_as_asked_for() -> None:
    """Where those that follow one another touch by themselves; one after another, or side by side."""
    tracks, rng = 60, torch.Generator().manual_seed(1)
    along = torch.arange(WINDOW).expand(tracks, -1).float()
    length, middle = torch.randint(4, WINDOW + 1, (tracks, 1), generator=rng), torch.full_like(along, 0.5)
    sides = (torch.full_like(along, 2), torch.full_like(along, 2))
    known = geometry((torch.zeros_like(along), middle, length.expand_as(along)), sides, along).mT
    logit = torch.randn(tracks, STRIP, WINDOW, generator=rng) + torch.tensor([0.0, 0, 9, 0, 0])[:, None]
    more = (torch.rand(tracks, generator=rng) * 4.2 * length[:, 0]).floor()
    more[:9] = 0
    track = torch.arange(tracks)[:, None].expand(-1, WINDOW)
    flat = [each.movedim(1, 0).flatten(1)[None] for each in (logit, known)]
    for x, frames, of in ((logit, known, track), (*flat, track.reshape(1, -1))):
        given = Given(torch.zeros(1, 1), of, more, of, more, more)
        ranked = ranking(x, frames, given)
        there = joined(ranked.joined > ranked.limit(more)[of][:, None], frames, of)
        seen = there.sum(1).reshape(tracks, -1).sum(1)
        assert torch.equal(seen, torch.minimum(length[:, 0] + more, STRIP * length[:, 0]).long())
        for run in there.mT.flatten(0, 1)[:100]:  # hits beyond a gap do not count
            assert run.nonzero().diff(dim=0).eq(1).all()


@pytest.mark.parametrize("sides", [(0, 0), (0, 1), (2, 1), (-1, 1)])
@pytest.mark.parametrize("slope", [0.0, 0.4, -0.4])
def test_hits_of_tracks_reach_as_far_as_they_should(slope: float, sides: tuple[int, int]) -> None:
    """On both sides of the box of the line, whatever the noise; of parts of tracks no further."""
    generator, length = _generator(), 12
    frames = FRAME.repeat(300, 1)
    frames[:, 5 + 4 : 5 + 7] = torch.tensor([length, slope, 0.5])
    frames[:, 5 + 9 : 5 + 11] = torch.tensor(sides).float()
    noise = generator.noise(300, None, torch.Generator().manual_seed(0))
    line = (0.5 + slope * (torch.arange(WINDOW) - 2) + EDGE).floor().long()
    low, high = line[2 : 2 + length].min() - sides[0], line[2 : 2 + length].max() + sides[1]
    for first in (-2, 3):
        frames[:, -1] = first
        made = generator(noise, frames).unflatten(1, (2, -1))[:, 0, PIXELS[0] :]
        track, step, across = (made.unflatten(1, (WINDOW, STRIP)) > 0).nonzero(as_tuple=True)
        column = line[(step + first + 2).clamp_max(WINDOW - 1)] + across - STRIP // 2
        ends = [
            torch.zeros(300).long().scatter_reduce(0, track, column, how, include_self=False)
            for how in ("amin", "amax")
        ]
        assert (ends[0] >= low).all()
        assert (ends[1] <= high).all()
        if first == -2:
            assert (ends[0] == low).all()
            assert (ends[1] == high).all()


def _hits(there: Tensor, line: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    track, across, step = there.nonzero(as_tuple=True)
    return track, across + line[track, step] + 40, step


def test_every_part_learns_through_the_gate() -> None:
    generator, critic = _generator(), SparseCritic()
    frames = _frames(64)
    frames[:32, FRAMES[0] + 11] = 0  # a hit for each pixel along the track
    critic(generator(generator.noise(64, None, torch.Generator()), frames), frames).score.sum().backward()
    for name, parameter in generator.named_parameters():
        assert parameter.grad is not None, name
        assert 0 < parameter.grad.abs().sum() < 1e6, name


def test_shares_become_uniform_in_each_spectrum_whatever_the_weights() -> None:
    generator, frames = _generator(), _frames(8000)
    frames[:, FRAMES[0] + 5 : FRAMES[0] + 7] = 0  # between two columns: ends have one hit or two, as other pixels
    with torch.no_grad():  # means of shares
        generator.strip.mean.bias += 2.0
    far = []
    for steps in (0, 30):
        generator.train()
        for step in range(steps):
            generator(generator.noise(8000, None, torch.Generator().manual_seed(step)), frames)
        generator.eval()
        made = generator(generator.noise(8000, None, torch.Generator().manual_seed(99)), frames).detach()
        hit, share = made.unflatten(1, (2, -1)).unbind(1)
        hit, share = (each[:, PIXELS[0] :] for each in (hit, share))
        spectrum = of_strips(hit, frames[:, FRAMES[0] :])
        seen = [share[(hit > 0) & (spectrum == number)] for number in range(SPECTRA)]
        far.append([kstest(some.numpy(), "uniform").statistic for some in seen if len(some) > 1000])
    assert len(far[0]) == 4  # ends and other steps, each with one hit and with more
    assert min(far[0]) > 0.1
    assert max(far[1]) < 0.03


def test_no_shares_lie_beyond_their_cells() -> None:
    """They would all be the largest one: one hit in a thousand had 255 ADU once."""
    shares = Shares(1).train()
    mean, width, noise = torch.full((20_000, 1), 8.0), torch.zeros(20_000, 1), torch.randn(20_000, 1)
    for _ in range(300):
        share = shares(mean, width, noise, torch.ones_like(noise), torch.zeros_like(noise).long())
    assert len(share.unique()) > 15_000
    assert kstest(share[:, 0].numpy(), "uniform").statistic < 0.1


def test_scores_are_of_their_own_cluster_alone() -> None:
    critic, x = SparseCritic(), torch.rand(2, 2 * sum(PIXELS))
    before = critic(x, _frames(2)).score
    parts = x.view(2, 2, -1)
    parts[0, :, : PIXELS[0]] = 0
    changed = (critic(x, _frames(2)).score - before).abs() > 1e-6
    assert changed.tolist() == [[True, False], [False, False]]


def test_other_samples_are_refused() -> None:
    with pytest.raises(PartiganError, match=r"samples have 10 values; clusters have 178"):
        SparseGenerator(features=10)


def _made(events: Events, drawn: Drawn, maps: Tensor, condition: Tensor) -> MapHits:
    with torch.inference_mode():
        return events.hits(maps[:, 0].numpy(), *unpacked(condition))


def test_whole_events(event: Drawn) -> None:
    """Clusters do not touch, and their numbers are as drawn; the same event alone, in parts, in a batch."""
    events, maps = _generator().deployed(), len(SENSORS)
    condition = packed(event, maps, 1200)
    sensors, again = unpacked(condition)
    assert sensors.tolist() == list(range(maps))
    for one, two in zip(event, again, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-6)
    seeds = events.noise(maps, None, torch.Generator().manual_seed(5))
    made = _made(events, event, seeds, condition)
    assert made.charge.min() >= 7
    address = (made.map * COLUMNS + made.u) * ROWS + made.v
    assert (np.diff(address) > 0).all()
    number, _ = connected(made.map, made.u, made.v)
    assert number == pytest.approx(len(event.map), rel=0.002)  # edges of sensors cut some
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
    events, condition = _generator().deployed(), packed(event, len(SENSORS), 1200)
    seeds = events.noise(len(SENSORS), None, torch.Generator().manual_seed(5))
    made = _made(events, event, seeds, condition)
    with torch.inference_mode():
        x = ClusterShares().inverse(Batch(events(seeds, condition))).x
    assert x.shape == (len(SENSORS), 1, COLUMNS, ROWS)
    expected = Hitmaps.of(1, np.zeros_like(made.map), made.map, made.u, made.v, made.charge).dense(range(40))
    np.testing.assert_array_equal(x[:, 0].numpy().astype(np.uint8), expected)
