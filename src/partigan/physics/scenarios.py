"""The same tracks in two scenarios of background: wrong hits, efficiency, fakes, and differences between scenarios.

References:
    PE-GAN, section 4.2, equation 1 (the Fréchet distance of the resolutions), and section 5 (efficiency and fake rate).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from partigan.data.hitmaps import Hitmaps
from partigan.errors import PartiganError
from partigan.metrics.frechet import Moments, frechet_distance
from partigan.metrics.measurement import Measurement
from partigan.metrics.wasserstein import wasserstein_1d
from partigan.observables.hitmaps import connected
from partigan.physics.tracking import Reconstruction

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_REPLICAS = 200  # of the bootstrap


def thinned(background: Hitmaps, share: float, rng: np.random.Generator) -> Hitmaps:
    """Hitmaps without a random share of their clusters: a defect that a test of background must find."""
    found, label = connected(background.map, background.u.astype(np.int64), background.v.astype(np.int64))
    kept = (rng.random(found) >= share)[label]
    counts = np.bincount(background.map[kept], minlength=background.counts.size).reshape(background.counts.shape)
    return Hitmaps(counts.astype(np.int32), background.u[kept], background.v[kept], background.charge[kept])


def summary(tracks: Reconstruction) -> dict[str, float]:
    """Resolution, wrong hits, efficiency and fake rate of a reconstruction.

    Returns:
        ``d0_q95``, ``d0_q99``, ``z0_q95``, ``z0_q99``: quantiles of absolute residuals of tracks, mm; ``wrong_hits``:
        share of background among the hits on tracks; ``efficiency``: share of good tracks with their own hits in both
        layers; ``fake_rate``: share of good ghosts; ``ghost_hits``: mean number of clusters that a ghost takes.
    """
    return _summary(tracks, np.ones(len(tracks.d0)))


def _summary(tracks: Reconstruction, weight: Floats) -> dict[str, float]:
    true = ~tracks.ghost
    own, ghosts = weight * true, weight * tracks.ghost
    found: dict[str, float] = {}
    for name, values in (("d0", tracks.d0), ("z0", tracks.z0)):
        size, mass = np.abs(values[true]), weight[true]
        order = np.argsort(size)
        share = np.cumsum(mass[order]) / mass.sum()
        for quantile in (95, 99):
            found[f"{name}_q{quantile}"] = float(size[order][np.searchsorted(share, quantile / 100)])
    found["wrong_hits"] = float(own @ tracks.wrong.sum(1) / max(own @ tracks.attached.sum(1), 1))
    right = tracks.good & ~tracks.wrong.any(1)
    found["efficiency"] = float(own @ right / max(own.sum(), 1))
    found["fake_rate"] = float(ghosts @ tracks.good / max(ghosts.sum(), 1))
    found["ghost_hits"] = float(ghosts @ tracks.attached.sum(1) / max(ghosts.sum(), 1))
    return found


def compare(one: Reconstruction, two: Reconstruction, rng: np.random.Generator) -> dict[str, Measurement]:
    """Compare the same tracks in two scenarios of background.

    Args:
        one: the first scenario, such as simulated background.
        two: the second, such as generated background, with the same signal.
        rng: draws the replicas of the bootstrap.

    Returns:
        ``frechet``: equation 1 of the paper for (d0, z0), mm^2; ``d0_w1``, ``z0_w1``: Wasserstein-1 distances, mm;
        and, for each entry of `summary`, the second less the first. Errors are those of a bootstrap over groups of
        tracks that share an event of background.

    Raises:
        PartiganError: the reconstructions have different signals.
    """
    if len(one.d0) != len(two.d0) or (one.ghost != two.ghost).any():
        raise PartiganError(
            "scenarios can be compared for the same signal only; reconstruct one signal with each background"
        )
    events = max(int(one.event.max()), int(two.event.max())) + 1
    group = np.arange(len(one.d0)) % events
    true = ~one.ghost
    value = _distances(one, two, np.flatnonzero(true)) | _differences(one, two, np.ones(len(one.d0)))
    replicas: dict[str, list[float]] = {name: [] for name in value}
    members = [np.flatnonzero(group == each) for each in range(events)]
    for _ in range(_REPLICAS):
        rows = np.concatenate([members[each] for each in rng.integers(0, events, events)])
        weight = np.bincount(rows, minlength=len(one.d0)).astype(np.float64)
        for name, found in (_distances(one, two, rows[true[rows]]) | _differences(one, two, weight)).items():
            replicas[name].append(found)
    return {name: Measurement(value[name], float(np.std(replicas[name]))) for name in value}


def _distances(one: Reconstruction, two: Reconstruction, rows: Ints) -> dict[str, float]:
    samples = [np.stack([each.d0[rows], each.z0[rows]], axis=1) for each in (one, two)]
    moments = [Moments.of(sample) for sample in samples]
    frechet = frechet_distance(moments[0].mean, moments[0].cov, moments[1].mean, moments[1].cov)
    w1 = {f"{name}_w1": wasserstein_1d(samples[0][:, i], samples[1][:, i]) for i, name in enumerate(("d0", "z0"))}
    return {"frechet": frechet, **w1}


def _differences(one: Reconstruction, two: Reconstruction, weight: Floats) -> dict[str, float]:
    first, second = _summary(one, weight), _summary(two, weight)
    return {name: second[name] - first[name] for name in first}
