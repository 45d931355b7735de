"""Jets as particle clouds: x = (eta_rel, phi_rel, pt_rel), sorted by falling pt."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from partigan.data.batch import Batch
from partigan.data.hdf5 import holds, number_of
from partigan.data.jets import (
    FEATURES,
    PARTICLE_FEATURES,
    Floats,
    attributes,
    checked_particles,
    jet_features,
    mean_pt,
    read_jets,
    units,
    wrapped,
    write_jets,
)
from partigan.data.samples import checked
from partigan.data.splits import Rows
from partigan.documents import Rule
from partigan.errors import PartiganError
from partigan.kinds.classifiers import PARTICLE_FLOW, PARTICLENET
from partigan.kinds.conditions import FREQUENCIES
from partigan.kinds.kind import (
    Columns,
    Conditions,
    Evaluation,
    Format,
    Kind,
    Observables,
    Values,
    event_weights,
    findings,
    weighted,
)
from partigan.metrics.clouds import Clouds
from partigan.metrics.cov_mmd import cov_mmd
from partigan.metrics.finding import Finding
from partigan.metrics.frechet import fpd, frechet_distance
from partigan.metrics.kpd import kpd
from partigan.metrics.measurement import Measurement
from partigan.metrics.wasserstein import w1, wasserstein_1d
from partigan.metrics.weighted import Sample, Weighted, accepted
from partigan.observables.jets import FPD_GRAPHS, W1_GRAPHS, efps, mass, pt_sum

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EFP_JETS = 1000  # fewer cannot tell FPD and KPD, whose EFPs have long tails
COV_JETS, COV_BATCHES = 100, 10  # jets in a batch of COV and MMD, and batches; half of these are the least
VALIDATION_JETS = 3000  # for the Fréchet distance, whose EFPs cost more than everything else of a validation
AXIS = 0.2  # mean distance of a jet's axis from 0, above which angles do not look relative
BEYOND = 1.5  # distance from the axis that few particles of a jet have
W1_COLUMNS = [FPD_GRAPHS.index(graph) for graph in W1_GRAPHS]  # of ``efps``, the polynomials of W1-EFP

_LABELS = {
    "w1m": ("W1-M (x 10^3)", 1e-3),
    "w1p": ("W1-P (x 10^3)", 1e-3),
    "w1efp": ("W1-EFP (x 10^5)", 1e-5),
    "fpd": ("FPD (x 10^4)", 1e-4),
    "kpd": ("KPD (x 10^4)", 1e-4),
    "cov": ("COV", 1.0),
    "mmd": ("MMD (x 10^2)", 1e-2),
}
_SCALARS = {
    "mass": ("relative mass", ""),
    "pt_sum": ("sum of pt_rel", ""),
    "multiplicity": ("multiplicity", ""),
    **{f"log_efp_{n}": (f"log10 EFP {n}", "") for n in range(1, len(W1_GRAPHS) + 1)},
}


class JetFormat(Format):
    """Files in the JetNet layout; see `partigan.data.jets`."""

    def recognises(self, path: Path) -> bool:
        """Whether there are ``particle_features``; `read` says where ``jet_features`` are missing."""
        return holds(path, "particle_features")

    def read(self, path: Path, split: Rows, finite: bool = True) -> Batch:
        """Jets of a split."""
        return read_jets(path, split, finite).batch()

    def count(self, path: Path) -> int:
        """The number of jets."""
        return number_of(path, "particle_features")

    def write(self, path: Path, chunks: Iterable[Batch], attributes: dict[str, Any], state: dict[str, Any]) -> None:
        """Write jets, all with the mean jet pt of the training sample."""
        write_jets(path, (_table(chunk, state["jet_pt"]) for chunk in chunks), attributes)

    def attributes(self, path: Path) -> dict[str, Any]:
        """The attributes of the file."""
        return {name: value for name, value in attributes(path).items() if not name.startswith("split_")}

    def describe(self, path: Path) -> dict[str, Any]:
        """Features of particles and jets with their units, and the training split's mean jet pt in GeV."""
        return {"features": units(path), "jet_pt": mean_pt(path)}

    def check(self, sample: Batch) -> Batch:
        """Jets ``(jets, particles, 3)`` = eta_rel, phi_rel, pt_rel, or 4 features with the mask as the last.

        Particles of zeros are padding where there is no mask.
        """
        x, mask = sample.x, sample.mask
        if x.dim() != 3 or x.shape[2] not in (3, 4) or (mask is not None and x.shape[2] == 4):
            raise PartiganError(
                "jets have the shape (jets, particles, 3) = eta_rel, phi_rel, pt_rel, or 4 features with the mask as "
                f"the last, not {list(x.shape)}{'' if mask is None else ' beside a mask'}"
            )
        if x.shape[2] == 3:
            flag = (x != 0).any(2) if mask is None else mask
            x = torch.cat((x, flag[..., None].float()), dim=2)
        table = torch.from_numpy(checked_particles(x.numpy(), "particles"))
        return checked(replace(sample, x=table[..., :3].contiguous(), mask=table[..., 3] > 0.5))

    def doubts(self, sample: Batch) -> list[str]:
        """Sums of pt_rel far from 1, jets whose axis is not at 0, and particles far from it."""
        assert sample.mask is not None
        pt = sample.x[..., 2] * sample.mask
        total = pt.sum(1)
        found = []
        if not 0.5 < (median := float(total.median())) < 1.5:
            found.append(
                f"pt_rel sums to {median:.3g} in the median jet, where 1 is expected; is it pt over the pt of the jet, "
                "and are all particles here?"
            )
        share = pt / total.clamp_min(1e-12)[:, None]
        for number, name in enumerate(PARTICLE_FEATURES[:2]):
            axis = (share * sample.x[..., number]).sum(1)
            if (median := float(axis.abs().median())) > AXIS:
                found.append(
                    f"{name} is {median:.2g} away from 0 in the median jet, averaged with pt; is it absolute, or in "
                    f"degrees? Subtract the {name.removesuffix('_rel')} of the jet"
                )
        far = (share * (sample.x[..., :2].norm(dim=2) > BEYOND)).sum(1).mean()
        if not found and far > 0.05:
            found.append(
                f"{far:.0%} of the pt is more than {BEYOND} away from the axis of its jet; are the angles in degrees?"
            )
        return found

    def assume(self, sample: Batch) -> dict[str, Any]:
        """A jet pt of 1 and no units."""
        return {"features": dict.fromkeys(FEATURES, ""), "jet_pt": 1.0}


def _table(batch: Batch, jet_pt: float) -> tuple[Floats, Floats]:
    assert batch.mask is not None
    features = jet_features(batch, jet_pt, mass(batch.x, batch.mask))
    particles = torch.cat((batch.x, batch.mask[..., None].float()), dim=-1)
    order = particles[..., 2].argsort(dim=1, descending=True, stable=True)
    return particles.gather(1, order[..., None].expand_as(particles)).numpy(), features


class JetConditions(Conditions):
    """Masks of multiplicities as in training; jets have no condition."""

    block = 8192
    chunk = 16_384
    fixed = ("particles",)
    schema = Rule(
        {
            "particles": Rule(int, lambda n: 0 < n < 10**6, "a number above 0"),
            "multiplicity": FREQUENCIES,
            "jet_pt": float,
        },
        lambda state: len(state["multiplicity"]) == state["particles"] + 1,
        "a multiplicity for each number of particles, from 0 on",
    )

    def arguments(self, sample: Batch) -> dict[str, Any]:
        """Largest number of particles, and features of a particle."""
        return {"particles": sample.x.shape[1], "features": sample.x.shape[2]}

    def state(self, sample: Batch, description: dict[str, Any]) -> dict[str, Any]:
        """How often each multiplicity occurs (by event weight), and the mean jet pt in GeV."""
        assert sample.mask is not None
        width = sample.mask.shape[1]
        weight = None if sample.weight is None else sample.weight.double()
        multiplicity = torch.bincount(sample.mask.sum(1), weight, minlength=width + 1).clamp_min(0)
        return {"particles": width, "multiplicity": multiplicity.tolist(), "jet_pt": description["jet_pt"]}

    def draw(self, state: dict[str, Any], size: int, rng: torch.Generator) -> tuple[Tensor | None, Tensor | None]:
        """Masks of multiplicities drawn from those of training."""
        frequency = torch.tensor(state["multiplicity"], dtype=torch.float64)
        number = torch.multinomial(frequency, size, replacement=True, generator=rng)
        return None, torch.arange(state["particles"]) < number[:, None]


class JetObservables(Observables):
    """Mass, pt sum, multiplicity and energy flow polynomials."""

    def scalars(self, description: dict[str, Any]) -> dict[str, tuple[str, str]]:
        """Relative mass, pt sum, multiplicity, and the 5 EFPs of W1-EFP."""
        return _SCALARS

    def compute(self, sample: Batch, description: dict[str, Any]) -> Columns:
        """Particles, mask, mass, pt sum, multiplicity, the 36 EFPs with d <= 4, and log10 of those of W1-EFP."""
        sample = _periodic(sample)
        assert sample.mask is not None
        if (negative := ((sample.x[..., 2] < 0) & sample.mask).any(1)).any():
            raise PartiganError(
                f"{int(negative.sum())} of {len(sample)} jets have particles of negative pt_rel; no jet can have them, "
                "mask these particles"
            )
        polynomials = _efps(sample)
        logs = np.log10(np.maximum(polynomials[:, W1_COLUMNS], 1e-12)).T
        return {
            "particles": sample.x.numpy(),
            "mask": sample.mask.numpy(),
            "mass": mass(sample.x.double(), sample.mask).numpy(),  # angles of a bad generator overflow single precision
            "pt_sum": pt_sum(sample.x, sample.mask).numpy(),
            "multiplicity": sample.mask.sum(1).numpy(),
            "efps": polynomials,
            **{f"log_efp_{n}": column for n, column in enumerate(logs, 1)},
        }


def _periodic(sample: Batch) -> Batch:
    """The same jets with phi_rel between -pi and pi, as they are read from files: a generator may go further."""
    return replace(sample, x=torch.from_numpy(wrapped(sample.x.numpy())))


def _clouds(sample: Values) -> Clouds:
    return Clouds(sample["particles"], sample["mask"])


def _of_particles(sample: Batch) -> list[Weighted]:
    """Each feature of the real particles of all jets, with the event weights of these."""
    assert sample.mask is not None
    weight = event_weights(sample)
    of_each = None if weight is None else np.repeat(weight, sample.mask.sum(1))
    return [Weighted(column, of_each) for column in sample.x[sample.mask].double().numpy().T]


def _unweighted(real: Values, fake: Values, seed: int) -> list[Clouds]:
    """Clouds of both samples, by hit or miss where they have event weights."""
    rng, found = np.random.default_rng(seed), []
    for sample in (real, fake):
        rows = accepted(sample.weight, sample.rows, rng) if sample.weight is not None else slice(None)
        found.append(Clouds(sample["particles"][rows], sample["mask"][rows]))
    return found


def _efps(sample: Batch) -> NDArray[np.float64]:
    return efps(sample.x, sample.mask, FPD_GRAPHS).double().numpy()


class JetEvaluation(Evaluation):
    """The metrics of MPGAN and MDMA."""

    selection = ("w1m", "fpd")
    names = tuple(_LABELS)
    classifier = PARTICLENET
    judge = PARTICLE_FLOW
    weighted = True
    published = "partigan.models.jetnet.published"

    def validate(self, real: Batch, fake: Batch) -> dict[str, float]:
        """W1 of the relative mass and, plain, of the particles; Fréchet distance of the EFPs of 3,000."""
        real, fake = _periodic(real), _periodic(fake)
        masses = [weighted(batch, mass(batch.x.double(), batch.mask).numpy()) for batch in (real, fake)]
        some = [batch[:VALIDATION_JETS] for batch in (real, fake)]
        features = [Sample(_efps(batch), event_weights(batch)) for batch in some]
        scale = np.abs(features[0].x).max(0)
        scaled = [f.change(f.x / scale) for f in features]
        moments = [moment for f in scaled for moment in (f.mean(), f.covariance())]
        particles = [_of_particles(batch) for batch in (real, fake)]
        of_each = [wasserstein_1d(*pair) for pair in zip(*particles, strict=True)]
        return {"w1m": wasserstein_1d(*masses), "w1p": float(np.mean(of_each)), "fpd": frechet_distance(*moments)}

    def metrics(
        self, real: Values, fake: Values, protocol: dict[str, Any], smallest: int, seed: int
    ) -> dict[str, Finding]:
        """W1-M, W1-P, W1-EFP, FPD, KPD, COV and MMD with the sample sizes and means of the protocol.

        Batches are as large as the protocol says, or smaller where a sample would not give two of them; there are as
        many as the protocol says, or as fit into the smallest sample without repetition. FPD and KPD are left out
        below 1,000 jets, COV and MMD below 500.
        """
        rng = np.random.default_rng(seed)
        size = min(real.size, smallest // 2, protocol["samples"] or real.size)
        if size < 20:
            raise PartiganError(
                f"{min(real.size, smallest)} jets are too few to compare; generate or simulate at least 40"
            )
        batches = min(protocol["batches"], smallest // size)
        options: dict[str, Any] = {"samples": size, "batches": batches, "rng": rng}
        mean, rows = protocol["mean"], min(real.size, smallest)

        def both(change: Callable[[Values], Any]) -> list[Weighted]:
            return [sample.weighted(change(sample)) for sample in (real, fake)]

        clouds = both(_clouds)
        polynomials = both(lambda sample: sample["efps"])
        take: dict[str, Callable[[], Measurement]] = {
            "w1m": lambda: w1(*both(lambda sample: sample["mass"]), **options),
            "w1p": lambda: w1(*clouds, mean=mean, **options),
            "w1efp": lambda: w1(*both(lambda sample: sample["efps"][:, W1_COLUMNS]), mean=mean, **options),
        }
        if rows >= EFP_JETS:
            take["fpd"] = lambda: fpd(*polynomials, rng=rng)
            take["kpd"] = lambda: kpd(*polynomials, batch_size=min(5000, rows), rng=rng)
        if (parts := min(COV_BATCHES, rows // COV_JETS)) >= COV_BATCHES // 2:
            pairs = cache(lambda: cov_mmd(*_unweighted(real, fake, seed), rng=rng, size=COV_JETS, batches=parts))
            take |= {"cov": lambda: pairs()[0], "mmd": lambda: pairs()[1]}
        return findings({name: take[name]() for name in protocol["metrics"] if name in take}, _LABELS)

    def figures(self, real: Values, fake: Values) -> dict[str, Figure]:
        """Particle features, mass, pt sum, multiplicity, the 5 EFPs of W1-EFP and the average jet image."""
        from partigan.report.distributions import compare, images

        columns = [_columns(sample) for sample in (real, fake)]
        figures = {
            title: compare((columns[0][title], columns[1][title]), label, **style)
            for title, (label, style) in _FIGURES.items()
        }
        extent = (-0.8, 0.8, -0.8, 0.8)
        jets = min(len(real["mask"]), len(fake["mask"]))  # as many of both, or the fainter pixels could not be compared
        shown, made = (_image(sample, extent, jets) for sample in (real, fake))
        figures["Average jet image"] = images(shown[0], made[0], extent, _IMAGE, (shown[1], made[1]))
        return figures

    def label(self, path: Path) -> str | None:
        """The file's attribute ``flavour``."""
        flavour = attributes(path).get("flavour")
        return None if flavour is None else str(flavour)


_IMAGE = (r"$\eta^{\mathrm{rel}}$", r"$\phi^{\mathrm{rel}}$", r"mean $p_T^{\mathrm{rel}}$ in a pixel")
_FIGURES: dict[str, tuple[str, dict[str, Any]]] = {
    "Particle pseudorapidity": (r"$\eta^{\mathrm{rel}}$", {"log": True}),
    "Particle azimuth": (r"$\phi^{\mathrm{rel}}$", {"log": True}),
    "Particle transverse momentum": (r"$p_T^{\mathrm{rel}}$", {"log": True}),
    "Relative mass": (r"$m / p_T$", {}),
    "Sum of transverse momenta": (r"$\sum p_T^{\mathrm{rel}}$", {"log": True}),
    "Multiplicity": ("particles in a jet", {"log": True, "integer": True}),
    **{f"EFP {n}": (rf"$\log_{{10}}$ EFP {n} (n = d = 4)", {}) for n in range(1, len(W1_GRAPHS) + 1)},
}


def _columns(sample: Values) -> dict[str, Weighted]:
    """What each histogram of the report shows, by its title."""
    particles = sample["particles"][sample["mask"]].T
    weight = sample.repeated(sample["mask"].sum(1))
    columns = (*(Weighted(x, weight) for x in particles), *(sample.weighted(sample[name]) for name in _SCALARS))
    return dict(zip(_FIGURES, columns, strict=True))


def _image(sample: Values, extent: tuple[float, float, float, float], jets: int) -> tuple[NDArray[Any], float]:
    """Mean pt_rel of the first jets in 40 x 40 pixels of (eta_rel, phi_rel), phi along the rows; share outside them."""
    mask, weight = sample["mask"][:jets], None if sample.weight is None else sample.weight[:jets]
    eta, phi, pt = sample["particles"][:jets][mask].T
    pt = pt if weight is None else pt * np.repeat(weight, mask.sum(1))
    total, _, _ = np.histogram2d(phi, eta, bins=40, range=(extent[2:], extent[:2]), weights=pt)
    outside = (eta < extent[0]) | (eta > extent[1]) | (phi < extent[2]) | (phi > extent[3])
    number = jets if weight is None else weight.sum()
    return np.asarray(total / number), float(pt[outside].sum() / max(pt.sum(), 1e-12))


JETS = Kind("jets", JetFormat(), JetConditions(), JetObservables(), JetEvaluation())
