"""Metrics and figures of calorimeter showers: those of the CaloChallenge.

References:
    C. Krause et al., CaloChallenge 2022, arXiv:2410.21611, section 4; its published evaluation has the ranges and bins
    of the histograms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from partigan.data.batch import Batch
from partigan.data.calorimeter import Geometry, Layer, geometry, geometry_of
from partigan.errors import PartiganError
from partigan.kinds.kind import Evaluation, Values, event_weights
from partigan.metrics.binned import separation_in_bins
from partigan.metrics.calorimeters import energy_edges, largest_deviation, response, response_chi2
from partigan.metrics.classifier import FitPredict, classify, gradient_boosting, small_network
from partigan.metrics.finding import Finding
from partigan.metrics.frechet import fpd, frechet_distance
from partigan.metrics.kpd import kpd
from partigan.metrics.measurement import Floats, Measurement
from partigan.metrics.weighted import Sample, Weighted
from partigan.observables.calorimeters import Cells, above, shower_features, whole_features

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEAST = 1000  # showers for FPD, KPD and classifiers
CLASSIFIED = 20_000  # showers of each sample that classifiers see, at most
NUMBERS = 20_000_000  # and numbers in them
FINE = ("ds2", "ds3")  # with narrower histograms

_LABELS = {
    "sep_layer": ("Separation, layer energies (x 10^3)", 1e-3),
    "sep_total": ("Separation, total over incident energy (x 10^3)", 1e-3),
    "sep_voxel": ("Separation, voxel energies (x 10^3)", 1e-3),
    "sep_ec_eta": ("Separation, centre in eta (x 10^3)", 1e-3),
    "sep_ec_phi": ("Separation, centre in phi (x 10^3)", 1e-3),
    "sep_ec_r": ("Separation, centre in r (x 10^3)", 1e-3),
    "sep_width_eta": ("Separation, width in eta (x 10^3)", 1e-3),
    "sep_width_phi": ("Separation, width in phi (x 10^3)", 1e-3),
    "sep_width_r": ("Separation, width in r (x 10^3)", 1e-3),
    "sep_sparsity": ("Separation, sparsity (x 10^3)", 1e-3),
    "response_mean": ("Mean response from 1 GeV on: largest difference (%)", 1.0),
    "response_width": ("Width of the response from 1 GeV on: largest difference (%)", 1.0),
    "fpd": ("FPD (x 10^3)", 1e-3),
    "kpd": ("KPD (x 10^3)", 1e-3),
    "auc_high": ("AUC, high-level features (boosted trees)", 1.0),
    "auc_low": ("AUC, voxels (boosted trees)", 1.0),
    "auc_high_network": ("AUC, high-level features (network)", 1.0),
    "auc_low_network": ("AUC, voxels (network)", 1.0),
}
_SHOWERS = ("energy", "response", "occupancy", "depth", "depth_width", "radius", "spread")


class CalorimeterEvaluation(Evaluation):
    """Separation powers, response, FPD, KPD and classifiers."""

    selection = ("frechet", "chi2")
    names = tuple(_LABELS)
    weighted = True
    validated = 20_000

    def validate(self, real: Batch, fake: Batch) -> dict[str, float]:
        """Fréchet distance of observables and layer energies, and chi2 of the response over degrees of freedom."""
        found = [_quick(sample) for sample in (real, fake)]
        mean, width = found[0][0].mean(), np.maximum(found[0][0].std(), 1e-6)
        rows = [sample.change((sample.x - mean) / width) for sample, _, _ in found]
        moments = [moment for sample in rows for moment in (sample.mean(), sample.covariance())]
        return {
            "frechet": max(frechet_distance(*moments), 0.0),
            "chi2": response_chi2(*((sample, energy) for _, sample, energy in found)),
        }

    def metrics(
        self, real: Values, fake: Values, protocol: dict[str, Any], smallest: int, seed: int
    ) -> dict[str, Finding]:
        """Those of the CaloChallenge, of as many showers of both samples as the smallest has.

        Separation powers are means over the layers in which they exist. FPD and KPD are those of the high-level
        features. Classifiers see at most 20,000 showers of either sample, fewer where there are many voxels, and none
        below 1,000.

        Raises:
            PartiganError: fewer than 20 showers.
        """
        size = min(real.size, fake.size, smallest)
        if size < 20:
            raise PartiganError(f"{size} showers are too few to compare; give at least 20")
        a, b = (_first(sample, sample.worth(size)) for sample in (real, fake))
        known, rng = _geometry(real), np.random.default_rng(seed)
        separations = _separations(a, b, known)
        take: dict[str, Callable[[], Measurement | None]] = dict(separations)
        edges = energy_edges(a["incident"])
        responses = cache(lambda: [response(Sample(s["response"], s.weight), s["incident"], edges) for s in (a, b)])
        for of in ("mean", "width"):
            take[f"response_{of}"] = partial(lambda of: largest_deviation(responses()[0], responses()[1], of), of)
        if size >= LEAST:
            high = cache(lambda: [sample.weighted(high_level(sample, known)) for sample in (a, b)])
            take["fpd"] = lambda: fpd(*high(), rng=rng)
            take["kpd"] = lambda: kpd(*high(), rng=rng, batch_size=min(5000, size))
            take["auc_high"] = lambda: _auc(high(), gradient_boosting, rng)
            take["auc_high_network"] = lambda: _auc(high(), small_network, rng)
            low = cache(lambda: [sample.weighted(low_level(sample, known)) for sample in (a, b)])
            take["auc_low"] = lambda: _auc(low(), gradient_boosting, rng)
            take["auc_low_network"] = lambda: _auc(low(), small_network, rng)
        found: dict[str, Finding] = {}
        for name in protocol["metrics"]:
            if name in take and (value := take[name]()) is not None:
                label, unit = _LABELS[name]
                found[name] = Finding(label, *value, ratio=not name.startswith("auc"), unit=unit)
        return found

    def figures(self, real: Values, fake: Values) -> dict[str, Figure]:
        """Mean showers, single ones, profiles, response, and distributions of layers."""
        from partigan.report.calorimeters import Shown, events, mean_layers, profile, responses
        from partigan.report.distributions import compare

        known = _geometry(real)
        both = [Shown(known, sample["showers"], sample["incident"], sample.weight) for sample in (real, fake)]
        figures = {"Mean shower": mean_layers(*both), "Single showers": events(*both)}
        depth = np.arange(len(known.layers))
        energy = [sample.weighted(sample["layer_energy"]) for sample in (real, fake)]
        names = [layer.name for layer in known.layers]
        figures["Energy of layers"] = profile(energy[0], energy[1], depth, ("layer", f"energy ({known.unit})"), names)
        radial = [sample.weighted(_radial(sample, known)) for sample in (real, fake)]
        ends = _radial_edges(known)
        figures["Radial profile"] = profile(
            radial[0], radial[1], (ends[1:] + ends[:-1]) / 2, ("r (mm)", f"energy ({known.unit} / mm)")
        )
        edges = energy_edges(real["incident"])
        found = [response(Sample(s["response"], s.weight), s["incident"], edges) for s in (real, fake)]
        figures["Response against energy"] = responses(*found)
        for title, name, label in (
            ("Response", "response", "energy in the calorimeter over the particle's"),
            ("Occupancy", "occupancy", "share of voxels above the threshold"),
            ("Depth", "depth", "mean layer, weighted by energy"),
            ("Radius", "radius", "root mean square radius, mm"),
        ):
            figures[title] = compare((real.weighted(real[name]), fake.weighted(fake[name])), label)
        spectra = [_spectrum(sample) for sample in (real, fake)]
        if all(len(one.x) for one in spectra):
            figures["Voxel energies"] = compare(
                (spectra[0], spectra[1]), f"lg energy of a voxel ({known.unit})", log=True
            )
        return figures


def high_level(sample: Values, known: Geometry) -> Floats:
    """The challenge's high-level features of a classifier, ``(showers, features)``.

    log10 of the particle's energy, of layer energies and of the total energy; centres and widths in eta and phi of
    layers in which they can be told, over 100 mm; sparsity, centre and width in r of all layers.
    """
    told = np.array([layer.resolved for layer in known.layers])
    energy = sample["layer_energy"].astype(float)
    parts = [sample["energy"][:, None], np.log10(energy + 1e-8), np.log10(energy.sum(1, keepdims=True) + 1e-8)]
    parts += [sample[name][:, told] / 100 for name in ("ec_eta", "ec_phi", "width_eta", "width_phi")]
    parts += [sample["sparsity"], sample["ec_r"] / 100, sample["width_r"] / 100]
    return np.concatenate(parts, axis=1).astype(float)


def low_level(sample: Values, known: Geometry) -> Floats:
    """log10 of the particle's energy, and energies of voxels over it, ``(showers, 1 + voxels)``."""
    rows = min(CLASSIFIED, max(NUMBERS // known.voxels, LEAST))
    shares = sample["showers"][:rows] * (known.mev / sample["incident"][:rows, None])
    return np.concatenate([sample["energy"][:rows, None], shares], axis=1).astype(float)


def _auc(samples: list[Weighted], fit_predict: FitPredict, rng: np.random.Generator) -> Measurement:
    """AUC of a classifier of the first showers."""
    some = []
    for sample in samples:
        rows = len(sample.x[:CLASSIFIED])
        some.append(Weighted(sample.x[:rows], None if sample.weight is None else np.asarray(sample.weight)[:rows]))
    return classify(some[0], some[1], rng=rng, fit_predict=fit_predict, folds=2).auc


def _separations(a: Values, b: Values, known: Geometry) -> Iterator[tuple[str, Callable[[], Measurement | None]]]:
    """Separation powers by name."""

    def mean(name: str, edges: Callable[[Layer], Floats], only: Callable[[Layer], bool] = lambda _: True) -> Any:
        def call() -> Measurement | None:
            each = [
                separation_in_bins(a.weighted(a[name][:, i]), b.weighted(b[name][:, i]), edges(layer))
                for i, layer in enumerate(known.layers)
                if only(layer)
            ]
            values = [one for one in each if one is not None]
            return Measurement(*np.mean(values, axis=0)) if values else None

        return call

    least = max(known.threshold, 1e-3)
    numbers = {layer.name: i for i, layer in enumerate(known.layers)}

    def energies(layer: Layer) -> Floats:
        return np.geomspace(least, max(float(a["layer_energy"][:, numbers[layer.name]].max()), 2 * least), 40)

    yield "sep_layer", mean("layer_energy", energies)
    total = [sample.weighted(sample["response"]) for sample in (a, b)]
    yield "sep_total", lambda: separation_in_bins(total[0], total[1], np.linspace(0.5, 1.5, 101))
    yield "sep_voxel", lambda: _voxel_separation(a, b, least)
    for axis in ("eta", "phi"):
        yield f"sep_ec_{axis}", mean(f"ec_{axis}", lambda one: _range(known, one, "ec"), lambda one: one.resolved)
        yield (
            f"sep_width_{axis}",
            mean(f"width_{axis}", lambda one: _range(known, one, "width"), lambda one: one.resolved),
        )
    for name in ("ec_r", "width_r"):
        yield f"sep_{name}", mean(name, partial(_range, known, name=name))
    yield "sep_sparsity", mean("sparsity", lambda _: np.linspace(0, 1, 21))


def _range(known: Geometry, layer: Layer, name: str) -> Floats:
    """Bins of centres and widths, mm: the challenge's; those of its first data set for other geometries."""
    wide = layer.name in ("12", "13", *["14"] * name.endswith("_r"))
    fine, coarse, other = {
        "ec": ((-30, 30), (-500, 500), (-100, 100)),
        "width": ((0, 30), (0, 400), (0, 100)),
        "ec_r": ((0, 42), (0, 1500), (0, 500)),
        "width_r": ((0, 20), (0, 1500), (0, 500)),
    }[name]
    low, high = fine if known.name in FINE else coarse if wide else other
    return np.linspace(low, high, 101)


def _voxel_separation(a: Values, b: Values, least: float) -> Measurement | None:
    """Separation power of the energies of all voxels together."""
    edges = np.geomspace(least, max(float(a["showers"].max()), 2 * least), 50)
    found = []
    for sample in (a, b):
        hit = sample["showers"] > 0
        weight = sample.repeated(hit.sum(1))
        found.append(Weighted(sample["showers"][hit], weight))
    if not len(found[0].x) or not len(found[1].x):
        return None
    return separation_in_bins(found[0], found[1], edges)


def _quick(sample: Batch) -> tuple[Sample, Sample, Floats]:
    """Rows of observables and lg layer energies, responses, and energies of the particles."""
    assert sample.condition is not None
    incident = sample.condition[:, 0].double()
    try:
        known = geometry_of(sample.x.shape[1], "")
    except PartiganError:  # another binning, of which nothing is known here: one layer without places
        nowhere = sample.x.new_zeros(sample.x.shape[1])
        cells, threshold, mev = [Cells(0, nowhere, nowhere, nowhere, False)], 0.0, 1.0
    else:
        cells, threshold, mev = known.cells, known.threshold, known.mev
    layers = {
        name: part.double() for name, part in shower_features(above(sample.x, threshold), cells, threshold).items()
    }
    whole = {"energy": incident.log10(), **whole_features(layers, cells, incident / mev)}
    share = (layers["energy"] / incident[:, None] * mev + 1e-4).log10()
    rows = np.concatenate([np.stack([whole[name].numpy() for name in _SHOWERS], axis=1), share.numpy()], axis=1)
    weight = event_weights(sample)
    return Sample(rows, weight), Sample(whole["response"].numpy(), weight), incident.numpy()


def _geometry(sample: Values) -> Geometry:
    """The geometry that observables carry."""
    return geometry(bytes(sample["geometry"]).decode())


def _first(sample: Values, rows: int) -> Values:
    """The first showers of a sample."""
    weight = None if sample.weight is None else sample.weight[:rows]
    return Values({name: part if name == "geometry" else part[:rows] for name, part in sample.items()}, weight)


def _radial_edges(known: Geometry) -> Floats:
    """Rings about the axis: all edges of the layer with most of them in r."""
    finest = max(known.layers, key=lambda layer: len(layer.edges))
    return np.unique(np.abs(np.array(finest.edges)))


def _radial(sample: Values, known: Geometry) -> NDArray[Any]:
    """Energy in rings about the axis over their widths, of all layers, ``(showers, rings)``."""
    ends = _radial_edges(known)
    ring = np.concatenate([np.searchsorted(ends, cells.r.numpy(), side="right") - 1 for cells in known.cells])
    inside = (ring >= 0) & (ring < len(ends) - 1)
    into = np.zeros((known.voxels, len(ends) - 1), np.float32)
    into[np.flatnonzero(inside), ring[inside]] = 1 / np.diff(ends)[ring[inside]]
    return np.asarray(sample["showers"] @ into)


def _spectrum(sample: Values) -> Weighted:
    """Lg energies of all voxels that are hit."""
    hit = sample["showers"] > 0
    return Weighted(np.log10(sample["showers"][hit]), sample.repeated(hit.sum(1)))
