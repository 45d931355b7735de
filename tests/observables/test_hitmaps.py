from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage

from partigan.data.hitmaps import Hitmaps
from partigan.observables.hitmaps import (
    Points,
    clusters,
    layer_excess,
    layer_pairs,
    pair_correlation,
    singular_values,
    spectrum,
)


def test_clusters_are_those_of_scipys_labels(events: Hitmaps) -> None:
    sample = events.events(0, 1)
    found = clusters(sample.map, sample.u, sample.v, sample.charge)
    for one in (0, 5, 38):
        image = sample.dense([one])[0]
        label, number = ndimage.label(image, np.ones((3, 3)))
        index = np.arange(1, number + 1)
        here = [column[found.image == one] for column in found]
        charge, size = ndimage.sum(image, label, index), np.bincount(label.ravel())[1:]
        centres = np.array(ndimage.center_of_mass(image, label, index))
        extents = np.array([[part.stop - part.start for part in box] for box in ndimage.find_objects(label)])
        expected = (charge, size, ndimage.maximum(image, label, index), *centres.T, *extents.T)
        orders = np.lexsort((here[4], here[5])), np.lexsort(centres.T)
        for ours, theirs in zip(here[1:], expected, strict=True):
            np.testing.assert_allclose(ours[orders[0]], theirs[orders[1]])


def test_classes_segments_and_spectrum_of_known_clusters() -> None:
    """Single pixels of 5, 8 and 20 keV, two pixels of 20 and of 8 keV; no neighbours across images or edges."""
    kev = 216.7 * 3.65e-3
    energies = np.array([5, 8, 20, 10, 10, 4, 4])
    image, u, v = [0, 0, 0, 0, 0, 1, 1], [0, 249, 10, 50, 51, 50, 50], [767, 0, 200, 400, 401, 399, 400]
    charge = np.rint(energies / kev).astype(int)
    found = clusters(image, u, v, charge)
    assert found.size.tolist() == [1, 1, 1, 2, 2]
    assert found.kind.tolist() == [-1, 0, 1, 2, -1]
    assert found.segment(768).tolist() == [5, 0, 1, 3, 3]
    assert spectrum(charge).sum() == 7
    none = clusters(*(np.zeros(0, int) for _ in range(4)))
    assert all(len(column) == 0 for column in none)


def test_pair_correlation_of_independent_and_of_paired_pixels() -> None:
    rng = np.random.default_rng(0)
    image, u, v = np.nonzero(rng.random((40, 60, 80)) < 0.05)
    flat = pair_correlation(image, u, v, 40, (60, 80), reach=2)
    assert np.isnan(flat[0, 2])
    np.testing.assert_allclose(flat[np.isfinite(flat)], 1, atol=0.15)
    pairs = np.zeros((40, 60, 80), bool)
    pairs[:, 10:50:10, 20:60:20] = pairs[:, 11:51:10, 21:61:20] = True
    image, u, v = np.nonzero(pairs)
    found = pair_correlation(image, u, v, 40, (60, 80), reach=1)
    expected = 40 * 8 / (40 * (16 / 4800) ** 2 * 59 * 79)
    np.testing.assert_allclose(found[1], [0, 0, expected])
    values = singular_values(torch.from_numpy(pairs[:2]).float(), 3)
    np.testing.assert_allclose(values[0].square().sum(), 16, rtol=1e-5)  # rank 2


def test_pairs_of_layers_lie_on_one_helix() -> None:
    """Planted helices are found with their turn; a partner in another event, or further off, is none."""
    rng, radii = np.random.default_rng(0), (14.0, 22.0)
    radius, slope, start = rng.uniform(12, 60, 50), rng.normal(0, 1, 50), rng.uniform(-3, 3, 50)
    event = np.arange(50) % 5
    inner, outer = (
        Points(event, start + np.arcsin(r / (2 * radius)), 2 * radius * np.arcsin(r / (2 * radius)) * slope)
        for r in radii
    )
    pairs = layer_pairs(inner, outer, radii, 1e-6)
    assert set(zip(pairs.inner.tolist(), pairs.outer.tolist(), strict=True)) >= {(n, n) for n in range(50)}
    own = pairs.inner == pairs.outer
    assert own.sum() == 50
    expected = np.arcsin(radii[1] / (2 * radius)) - np.arcsin(radii[0] / (2 * radius))
    np.testing.assert_allclose(pairs.turned[own], expected[pairs.inner[own]], atol=1e-9)
    later = outer._replace(event=outer.event + 5)
    assert len(layer_pairs(inner, later, radii, 1e-6).off) == 0
    further = layer_pairs(inner, outer._replace(z=outer.z + 0.3), radii, 0.5)
    np.testing.assert_allclose(further.off[further.inner == further.outer], 0.3)


def test_excess_of_pairs_is_that_of_the_own_event() -> None:
    rng, radii, size = np.random.default_rng(1), (14.0, 22.0), 4000
    event = np.repeat(np.arange(20), size // 20)
    inner, outer = (Points(event, rng.uniform(-3, 3, size), rng.uniform(-20, 20, size)) for _ in range(2))
    none = layer_excess(inner, outer, 20, radii, [-0.5, 0.5])[:, 0]
    assert abs(none.mean() / (none.std() / 20**0.5)) < 3.5
    outer.phi[:400], outer.z[:400] = inner.phi[:400], inner.z[:400] * 22 / 14
    some = layer_excess(inner, outer, 20, radii, [-0.5, 0.5])[:, 0]
    np.testing.assert_allclose((some - none)[:2], 200, atol=40)
