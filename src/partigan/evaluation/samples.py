"""What the metrics of an evaluation are taken of: observables, raw samples, and what networks see in them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch

from partigan.data.batch import Batch
from partigan.errors import PartiganError
from partigan.evaluation.inputs import Inputs
from partigan.kinds.kind import Values, event_weights
from partigan.metrics.classifier import FitPredict
from partigan.metrics.downstream import Worlds
from partigan.metrics.measurement import Floats, Measurement
from partigan.metrics.reconstruction import Search, reconstruct
from partigan.metrics.samples import seed as seed_of
from partigan.metrics.translation import cycle_error
from partigan.metrics.weighted import Weighted, accepted
from partigan.models.classifier import SAMPLES, Reference, Seen
from partigan.models.model import Model

LEAST = 1000  # samples; with fewer than a classifier's features are many, the error of their distance is too large
_RETURNED = 2000  # samples that are translated back
_REBUILT, _STEPS = 100, 150  # samples that are reconstructed, and steps of each search


class Pair(NamedTuple):
    """What a classifier of the domain sees in both samples.

    Attributes:
        real: in the real sample.
        fake: in the generated one, or in other real ones.
        many: whether it knows several classes in one sample; otherwise the samples are of a single one of its classes.
    """

    real: Seen
    fake: Seen
    many: bool


@dataclass(frozen=True)
class Samples:
    """Two samples that are compared, in all the forms that metrics take.

    Attributes:
        names: of the observables that are one number a sample, with label and unit.
        real: these observables of the real sample, ``(rows, observables)``.
        fake: of the generated sample, or of other real ones in its place, ``(others, observables)``.
        training: of the training sample, where that is not part of ``real``.
        observables: all observables of both samples.
        weights: event weights of ``real`` and of ``fake``; None = all 1.
        seen: what a classifier of the domain sees, where there is one.
        distance: gives the distance of a classifier's features from those of the real samples that it knows.
        judge: fits a network to raw samples, given by their row numbers; rows of ``fake`` follow those of ``real``.
        pairs: sources, translated samples and what they should be, where translations of pairs are compared.
        worlds: what reconstructions of refined samples can learn on, where what they were and the truth are known.
        cycle: gives the difference of samples from themselves after a translation there and back.
        rebuild: gives the median distance of real samples from the nearest that the generator can make; in-sample
            these are training samples.
    """

    names: dict[str, tuple[str, str]]
    real: Floats
    fake: Floats
    training: Floats | None = None
    observables: tuple[Values, Values] | None = None
    weights: tuple[Floats | None, Floats | None] = (None, None)
    seen: Pair | None = None
    distance: Callable[[], Measurement] | None = None
    judge: FitPredict | None = None
    pairs: tuple[Floats, Floats, Floats] | None = None
    worlds: Worlds | None = None
    cycle: Callable[[], Measurement] | None = None
    rebuild: Callable[[np.random.Generator], Measurement] | None = None

    @property
    def pair(self) -> tuple[Weighted, Weighted]:
        """Both samples with their weights."""
        return Weighted(self.real, self.weights[0]), Weighted(self.fake, self.weights[1])

    @property
    def columns(self) -> Iterator[tuple[Weighted, Weighted]]:
        """The observables one by one."""
        return ((replace(a, x=x), replace(b, x=y)) for a, b in [self.pair] for x, y in zip(a.x.T, b.x.T, strict=True))

    @property
    def weighted(self) -> bool:
        """Whether there are event weights."""
        return any(weight is not None for weight in self.weights)

    def unweighted(self, seed: int) -> Samples:
        """Observables of both samples without weights, by hit or miss.

        Raises:
            PartiganError: weights below 0.
        """
        rng = np.random.default_rng(seed)
        real, fake = (x[accepted(w, len(x), rng)] for x, w in zip((self.real, self.fake), self.weights, strict=True))
        return replace(self, real=real, fake=fake, weights=(None, None))


def both_samples(inputs: Inputs, names: Collection[str], seed: int) -> tuple[Samples, Samples | None]:
    """What is compared, and the same with other real samples in place of the generated one, where there are some.

    Networks are trained and inverted for the metrics in ``names`` alone.
    """
    compared, beside = _tables(inputs)
    if "network" in names and inputs.kind.evaluation.judge is not None:
        from partigan.evaluation.judge import judge  # trains, and imports what that needs

        generated = inputs.generated.batch[: len(compared.fake)]
        compared = replace(compared, judge=judge(inputs.kind, inputs.real.batch, generated, seed))
    if inputs.pairs is not None:
        source, made, truth = (part.double().numpy() for part in inputs.pairs)
        compared = replace(compared, pairs=(source, made, truth))
    compared = replace(compared, worlds=worlds(inputs))
    if "cycle" in names and inputs.model is not None:
        compared = replace(compared, cycle=returned(inputs.model, inputs.generated.batch, seed))
    if "reconstruction" in names and inputs.model is not None:
        compared = replace(compared, rebuild=rebuilder(inputs.model, inputs.real.batch))
        if beside is not None and inputs.training is not None:
            beside = replace(beside, rebuild=rebuilder(inputs.model, inputs.training))
    return compared, beside


def _tables(inputs: Inputs) -> tuple[Samples, Samples | None]:
    """The observables of both comparisons."""
    names, smallest = inputs.names, inputs.smallest

    def table(sample: Values) -> Floats:
        return np.array([sample[name] for name in names], dtype=np.float64).reshape(-1, sample.rows).T

    real, generated = inputs.real.observables, inputs.generated.observables
    shown = slice(generated.worth(smallest))
    weights = real.weight, _of(generated.weight, shown)
    samples = Samples(names, table(real), table(generated)[shown], observables=(real, generated), weights=weights)
    if inputs.in_sample is None:
        return samples, None
    first, second = (side.observables for side in inputs.in_sample)
    other = table(second)
    if inputs.trained_on:
        samples = replace(samples, training=other[: inputs.trained_on])
    reference = samples.real if first is real else table(first)
    shown = slice(-second.worth(smallest), None)
    weights = first.weight, _of(second.weight, shown)
    return samples, Samples(names, reference, other[shown], observables=(first, second), weights=weights)


def _of(weight: Floats | None, rows: slice) -> Floats | None:
    return None if weight is None else weight[rows]


def with_reference(
    compared: Samples, beside: Samples | None, inputs: Inputs, reference: Reference
) -> tuple[Samples, Samples | None]:
    """Both comparisons with what a classifier of the domain sees."""
    real, fake, held_out = inputs.real.batch, inputs.generated.batch, inputs.held_out
    size = min(inputs.smallest, SAMPLES)
    of_real, of_fake = (reference.seen(sample, size) for sample in (real, fake))
    compared = replace(compared, seen=Pair(of_real, of_fake, reference.many))
    if beside is not None and held_out is not None:  # a classifier knows its training samples too well
        beside = replace(beside, seen=Pair(of_real, reference.seen(held_out, size), reference.many))
    return compared, beside


def with_distance(
    compared: Samples, beside: Samples | None, inputs: Inputs, reference: Reference, seed: int
) -> tuple[Samples, Samples | None]:
    """Both comparisons with the distance from the real samples of a classifier; in-sample that of real samples here."""
    real, fake = inputs.real.batch, inputs.generated.batch
    size = min(inputs.size, SAMPLES)

    def distance(sample: Batch) -> Callable[[], Measurement]:
        def measured() -> Measurement:
            if size < LEAST:
                raise PartiganError(f"{size:,} samples; at least {LEAST:,} are needed")
            return reference.distance(sample, size, seed)

        return measured

    compared = replace(compared, distance=distance(fake))
    return compared, None if beside is None else replace(beside, distance=distance(real))


def worlds(inputs: Inputs) -> Worlds | None:
    """What reconstructions of refined samples can learn on; None where not all of it is known."""
    fake, real, own = inputs.generated.batch, inputs.real.batch, inputs.training
    columns = [*inputs.described.get("columns", {}).get("truth", {})]
    targets = {name: sort for name, sort in inputs.kind.evaluation.targets.items() if name in columns}
    if not targets or fake.source is None or own is None or any(each.truth is None for each in (fake, real, own)):
        return None

    def features(sample: Batch) -> Floats:
        seen = inputs.kind.observables.compute(sample, inputs.described)
        known = [] if sample.condition is None else list(sample.condition.double().numpy().reshape(len(sample), -1).T)
        return np.stack([*(np.asarray(seen[name], np.float64) for name in inputs.names), *known], axis=1)

    def truth(sample: Batch, name: str) -> Floats:
        assert sample.truth is not None
        values = sample.truth[:, columns.index(name)].double().numpy()
        return values if targets[name] == "value" else (values > middle[name]).astype(np.float64)

    assert real.truth is not None
    middle = {name: float(np.median(np.unique(real.truth[:, columns.index(name)].numpy()))) for name in targets}
    samples = {"raw": replace(fake, x=fake.source), "refined": fake, "data": own, "test": real}
    named = {"simulation": fake, "data": own, "test": real}
    return Worlds(
        {name: features(sample) for name, sample in samples.items()},
        {name: {world: truth(sample, name) for world, sample in named.items()} for name in targets},
        frozenset(name for name, sort in targets.items() if sort == "class"),
    )


def returned(model: Model, translated: Batch, seed: int) -> Callable[[], Measurement]:
    """Compares what translated samples were with what the way back makes of them."""

    def measured() -> Measurement:
        back = model.backward()
        if translated.source is None:
            raise PartiganError("the samples do not say what they were; give --run without --fake, or a refined file")
        part = translated[:_RETURNED]
        again = back.refine(replace(part, source=None), seed)
        return cycle_error(part.start.x.double().numpy(), again.x.double().numpy())

    return measured


def rebuilder(model: Model, sample: Batch) -> Callable[[np.random.Generator], Measurement]:
    """Compares the first samples, normalised, with the nearest that the generator can make."""

    def rebuild(rng: np.random.Generator) -> Measurement:
        if sample.mask is not None:
            raise PartiganError("particles have no order in which a cloud could be compared with its reconstruction")
        rows = accepted(event_weights(sample), len(sample), rng)[:_REBUILT]
        generator, targets = model.generator, model.transform.forward(sample[torch.from_numpy(rows)])
        draw = torch.Generator().manual_seed(seed_of(rng))
        shape = tuple(generator.noise(1, None, draw).shape[1:])
        for parameter in generator.parameters():
            parameter.requires_grad_(False)
        search = Search(steps=_STEPS, restarts=2)
        found = reconstruct(lambda z: generator(z, targets.condition, None), targets.x, shape, rng=draw, search=search)
        return found.quantile(0.5)

    return rebuild
