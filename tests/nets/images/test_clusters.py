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
from partigan.nets.contracts import introduce
from partigan.nets.images.clusters import Events, MapHits, SparseCritic, SparseGenerator, packed, unpacked
from partigan.nets.images.shares import Shares
from partigan.nets.images.strips import Given, chosen, geometry, roomy
from partigan.observables.hitmaps import connected
from partigan.simulate.pxd import simulate_event
from partigan.simulate.pxd_parameters import Parameters, Rates

FRAME = torch.tensor([[7, 9, 90, 0b110111, 240, 30, 9, 9, 1, 12, 0.5, 0.5, 1.4, 18, 1, 1, 5, -2]])


def _generator() -> SparseGenerator:
    torch.manual_seed(1)
    generator = SparseGenerator()
    transform = ClusterShares()
    transform.fit(Batch(torch.arange(7.0, 256).repeat(2)[None, : sum(PIXELS)]))
    introduce(generator, transform)
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


@pytest.fixture(params=["side by side", "in a row"])
def logits(request: pytest.FixtureRequest) -> tuple[Tensor, Tensor, Given, Tensor, Tensor]:
    """Of tracks of any slope and length: logits, geometry, hits beyond one for each pixel along, lines, lengths."""
    tracks, rng = 300, torch.Generator().manual_seed(1)
    slope = torch.rand(tracks, 1, generator=rng) * 2 - 1
    along = torch.arange(WINDOW).expand(tracks, -1).float()
    length = torch.randint(4, WINDOW, (tracks, 1), generator=rng)
    sides = (torch.full_like(along, STRIP), torch.full_like(along, STRIP))
    middle = torch.full_like(along, 0.5)
    known = geometry((slope.expand_as(along), middle, length.expand_as(along)), sides, along).mT
    logit = 9 * torch.randn(tracks, STRIP, WINDOW, generator=rng)
    more = (torch.rand(tracks, generator=rng) * 4.2 * length[:, 0]).floor()
    track = torch.arange(tracks)[:, None].expand(-1, WINDOW)
    if request.param == "in a row":
        logit, known = (each.movedim(1, 0).flatten(1)[None] for each in (logit, known))
        track = track.reshape(1, -1)
    line = (middle + slope * along + EDGE).floor().long()
    return logit, known, Given(torch.zeros(1, 1), track, more, track, more, more), line, length[:, 0]


def test_tracks_hang_together_whatever_the_logits(logits: tuple[Tensor, Tensor, Given, Tensor, Tensor]) -> None:
    """They have as many hits as asked for, one at least at each pixel along; with gaps across where logits want it."""
    logit, known, given, line, length = logits
    there, limit = chosen(logit, known, given)
    again = there.movedim(1, 0).reshape(STRIP, -1, WINDOW).movedim(0, 1)
    number, _ = connected(*(each.numpy() for each in _hits(again, line)))
    assert number == len(length)
    inside = torch.arange(WINDOW) < length[:, None]
    assert torch.equal(again.any(1), inside)
    wanted = torch.minimum(length + given.more.long(), STRIP * length)
    made = again.sum((1, 2))
    assert (made >= wanted).all()
    assert (made == wanted)[given.more > 3 * length].all()  # elsewhere ways from pixel to pixel may take more
    assert (made == wanted).float().mean() > 0.8
    gaps = again.int().diff(dim=1).gt(0).sum(1) + again[:, 0].int() > 1
    assert 0.1 < gaps[inside].float().mean() < 0.9
    above = (logit > limit) & roomy(known) & (known[:, :1] > 0)
    assert (there & ~above).float().mean() < 0.2  # ways, and the largest of some pixels
    assert (above & ~there).any()  # touch nothing
    plain, _ = connected(
        *(each.numpy() for each in _hits(above.movedim(1, 0).reshape(STRIP, -1, WINDOW).movedim(0, 1), line))
    )
    assert plain > 1.5 * len(length)


def test_tracks_have_as_many_hits_as_asked_for() -> None:
    """Where those that follow one another touch by themselves; one after another, or side by side."""
    tracks, rng = 60, torch.Generator().manual_seed(1)
    along = torch.arange(WINDOW).expand(tracks, -1).float()
    length, middle = torch.randint(4, WINDOW, (tracks, 1), generator=rng), torch.full_like(along, 0.5)
    sides = (torch.full_like(along, 2), torch.full_like(along, 2))
    known = geometry((torch.zeros_like(along), middle, length.expand_as(along)), sides, along).mT
    logit = torch.randn(tracks, STRIP, WINDOW, generator=rng) + torch.tensor([0.0, 0, 9, 0, 0])[:, None]
    more = (torch.rand(tracks, generator=rng) * 4.2 * length[:, 0]).floor()
    more[:9] = 0
    track = torch.arange(tracks)[:, None].expand(-1, WINDOW)
    flat = [each.movedim(1, 0).flatten(1)[None] for each in (logit, known)]
    for x, frames, of in ((logit, known, track), (*flat, track.reshape(1, -1))):
        there, _ = chosen(x, frames, Given(torch.zeros(1, 1), of, more, of, more, more))
        seen = there.sum(1).reshape(tracks, -1).sum(1)
        assert torch.equal(seen, torch.minimum(length[:, 0] + more, STRIP * length[:, 0]).long())


def test_straight_tracks_stay_as_they_are() -> None:
    """Hits that touch by themselves get no others between them."""
    along = torch.arange(WINDOW)[None].float()
    sides = (torch.full_like(along, 2), torch.full_like(along, 2))
    known = geometry((torch.zeros_like(along), along * 0 + 0.5, along * 0 + WINDOW + 1), sides, along).mT
    wanted = torch.zeros(1, STRIP, WINDOW, dtype=torch.bool)
    wanted[:, 2, :8] = wanted[:, 3, 8:] = wanted[:, 2, 8] = wanted[:, 4, 3] = wanted[:, 3, 2] = True
    more, track = torch.tensor([3.0]), torch.zeros(1, WINDOW).long()
    there, _ = chosen(9.0 * wanted, known, Given(torch.zeros(1, 1), track, more, track, more, more))
    assert torch.equal(there, wanted)


@pytest.mark.parametrize("more", [0, 1, 5])
@pytest.mark.parametrize("sides", [(0, 0), (0, 1), (2, 1), (-1, 1)])
@pytest.mark.parametrize("slope", [0.0, 0.4, -0.4])
def test_hits_of_tracks_reach_as_far_as_they_should(slope: float, sides: tuple[int, int], more: int) -> None:
    """On both sides of the box of the line, whatever the noise; of parts of tracks no further."""
    generator, length = _generator(), 12
    frames = FRAME.repeat(300, 1)
    frames[:, 5 + 4 : 5 + 7] = torch.tensor([length, slope, 0.5])
    frames[:, 5 + 9 : 5 + 11] = torch.tensor(sides).float()
    frames[:, 5 + 7], frames[:, 5 + 11] = 1 + more / length, more
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
