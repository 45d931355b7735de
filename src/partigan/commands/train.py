"""``partigan train``: a configuration and samples to a trained run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from partigan import config as configuration
from partigan.data.batch import Batch
from partigan.data.sources import Given, Source, by_name, same_features, source
from partigan.data.streams import Stream
from partigan.errors import PartiganError
from partigan.evaluation.inputs import halves
from partigan.files import fresh_name
from partigan.kinds import chosen
from partigan.kinds.kind import Kind, warn
from partigan.metrics.weighted import accepted, refuse_weights
from partigan.models.model import Model
from partigan.progress import tell
from partigan.randomness import rng_for
from partigan.run import SPECIES, Run
from partigan.systems.system import DATA
from partigan.threads import begin
from partigan.training.health import DIVERSITY_SAMPLES, diversity
from partigan.training.selection import Selection
from partigan.training.session import Session, writing_run
from partigan.training.start import Start

FEWEST = 50  # real samples in a half, for metrics of one half against the other
STREAMED = 100_000  # samples to validate with, of those that do not fit into memory
DRAWS = 20  # of generated samples, until their weights have a sum above 0


def train(
    config: str | dict[str, Any] | None,
    data: Given | Mapping[str, Given],
    out: Path | str | None = None,
    seed: int = 1,
    threads: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    overrides: dict[str, Any] | None = None,
    trust: bool = False,
    species: str | None = None,
    start: str | Path | None = None,
) -> Run:
    """Train a system on samples.

    Args:
        config: name of a preset, path of a YAML file, or the content of one; None = that of ``start``.
        data: the training samples: a file, or arrays (numpy, torch, or a `Batch`, with mask, condition and weight);
            for systems that train on several samples a mapping of names to these. Train and valid splits are used, the
            test split is not looked at.
        out: run directory to make; None = a new one below ``runs``, named after the configuration.
        seed: makes the run reproducible, bit for bit on the same machine and number of threads.
        threads: None = OMP_NUM_THREADS, or measured: one, or more where they are faster; the same when resuming.
        resume: resume an interrupted run, or start it where there is none.
        overwrite: replace an existing run.
        overrides: options to change, by dotted name: ``{"trainer.max_minutes": 10}``.
        trust: follow class paths outside partigan.
        species: train on the samples of this particle alone, such as K of a file of kind cherenkov; None = all.
        start: fine-tune the networks of this run on data of the same shape, with its normalisation; None = start anew.

    Returns:
        The finished run.

    Raises:
        PartiganError: unknown options, bad data, an existing output, a resumed run with other options, or a loss that
            is not finite.

    Example:
        >>> run = train("mdma", "top.h5", overrides={"trainer.max_minutes": 10})  # doctest: +SKIP
        >>> run = train("mdma-fast", jets)  # an array (jets, particles, 3)  # doctest: +SKIP
    """
    begin(threads)
    earlier = None if start is None else Start(start)
    content = configuration.read(_content(config, earlier), overrides)
    named = by_name(data, DATA)
    kind = chosen(content.get("kind"), next(iter(named.values())), trust)
    content["kind"] = kind.name
    if out is None:
        out = fresh_name(Path("runs") / (_name(config, start)))
    given = {name: source(each, kind, trust, species) for name, each in named.items()}
    with writing_run(out, [*(each.path for each in given.values()), start], resume, overwrite):
        session = Session(Run(out), content, seed, resume, overwrite, trust, earlier)
        return _train(session, kind, given, threads, species)


def _train(session: Session, kind: Kind, given: Mapping[str, Source], threads: int | None, species: str | None) -> Run:
    """A training in an admitted session."""
    target = _target(given)
    described = {name: each.describe() for name, each in given.items()}
    for name in given:
        same_features(given[target].name, described[target], given[name].name, described[name])
    streams = _streams(session, given)
    training = {
        name: streams[name].window(session.seed, 0, 0) if name in streams else source.training()
        for name, source in given.items()
    }
    for name, sample in training.items():
        warn(kind.format, sample, given[name].name)
        if sample.weight is not None:
            refuse_weights(sample.weight, f"of the training split of {given[name].name}")
    arguments = kind.conditions.arguments(training[target]) | kind.conditions.of_file(described[target])
    only = {} if species is None else {SPECIES: species}
    streamed = {"streamed": sorted(streams)} if streams else {}
    session.prepare(training, arguments, {**_origin(given), **only, **streamed}, streams)
    session.run = Run(session.run.path, session.system.product)
    if session.resumed:
        conditions = session.run.transform["conditions"]
    else:
        conditions = kind.conditions.state(_conditions_seen(session, training, target), described[target])
    validate = _Validation(session, kind, given, conditions)
    rules = session.trainer.options.rules
    selection = Selection.by(rules, kind.evaluation.selection)
    selection.real = validate.of_real()
    if rules.metric or rules.veto:  # are there such metrics?
        validate.try_out(selection)
    session.train(conditions, validate, selection, threads)
    if session.trainer.fabric.is_global_zero:
        tell(f"the best {session.system.product} is in {session.run.weights}")
    return session.run


def _content(config: str | dict[str, Any] | None, start: Start | None) -> str | dict[str, Any]:
    """A configuration, or that of the run that a training starts from."""
    if config is None and start is None:
        raise PartiganError("say what to train: give a configuration, or a run to start from")
    return start.config if config is None and start is not None else config or {}


def _name(config: str | dict[str, Any] | None, start: str | Path | None) -> str:
    """Name of a run directory, after what it is made of."""
    if isinstance(config, str):
        return Path(config).stem
    return "own" if config is not None or start is None else f"{Path(start).name}-tuned"


def sample_names(
    config: str | None, overrides: dict[str, Any], trust: bool = False, start: str | None = None
) -> set[str]:
    """Names of the samples that a configuration trains on: ``data``, or ``simulation`` and ``data``.

    Raises:
        PartiganError: unknown options, or a configuration that is not trusted.
    """
    content = _content(config, None if start is None else Start(start))
    return configuration.build(configuration.read(content, overrides), trust)[0].samples


def _streams(session: Session, given: Mapping[str, Source]) -> dict[str, Stream]:
    """The samples that do not fit into memory, by name; of a resumed run, those of before."""
    before = session.run.manifest["data"].get("streamed", []) if session.resumed else None
    asked = {name: None if before is None else name in before for name in given}
    found = {name: stream for name, each in given.items() if (stream := each.stream(name, asked[name])) is not None}
    for name, stream in found.items():
        tell(
            f"{given[name].name}: {len(stream):,} training samples do not fit into memory; they are read in windows of "
            f"{stream.sizes[0]:,}, and normalisation and conditions are those of one window"
        )
    return found


def _conditions_seen(session: Session, training: Mapping[str, Batch], target: str) -> Batch:
    """The sample whose conditions a product has learned: the one to be reached, and the one that it starts from."""
    source, reached = session.system.source, training[target]
    if source in (None, target) or reached.condition is None or not reached.condition.is_floating_point():
        return reached
    both = (reached, training[source])
    return Batch.joined([Batch(each.x, each.mask, each.condition) for each in both])


def _target(given: Mapping[str, Source]) -> str:
    """Name of the sample that generated samples should be like: ``data``, or the only one."""
    if DATA not in given and len(given) > 1:
        raise PartiganError(f"there are samples {', '.join(given)}; call the one to be reached {DATA}")
    return DATA if DATA in given else next(iter(given))


def _origin(given: Mapping[str, Source]) -> dict[str, Any]:
    """Path and sha256 of the data, by name where there are several."""
    if [*given] == [DATA]:
        return {"path": given[DATA].name, "sha256": given[DATA].digest}
    return {
        "path": {name: each.name for name, each in given.items()},
        "sha256": {name: each.digest for name, each in given.items()},
    }


def _weighed(kind: Kind, given: Source, streamed: bool = False) -> Batch:
    """Real samples to validate with: with event weights, or by hit or miss for a kind that does not look at them.

    They are those of the training split where the weights of the others have no sum above 0.
    """
    most = kind.evaluation.validated or (STREAMED if streamed else None)
    real = given.some("valid", most)
    if real.weight is None:
        return real
    if not _positive(real):
        tell(
            f"warning: the weights of the valid split of {given.name} have the sum {real.weight.sum():.3g}, not above "
            "0; the run is validated on its train split; give more rows"
        )
        some = given.some("train", most)
        real = some if _positive(some) else given.training()
    assert real.weight is not None
    if kind.evaluation.weighted:
        return real
    rows = accepted(real.weight, len(real), np.random.default_rng(0))
    return replace(real[torch.from_numpy(rows)], weight=None)


def _positive(sample: Batch) -> bool:
    """Whether weights, where there are some, have a sum above 0, as metrics need it."""
    return sample.weight is None or bool(sample.weight.double().sum() > 0)


class _Validation:
    """Metrics of the averaged product on the validation split."""

    def __init__(self, session: Session, kind: Kind, given: Mapping[str, Source], conditions: dict[str, Any]) -> None:
        self.session, self.kind, self.conditions = session, kind, conditions
        self.real = _weighed(kind, given[_target(given)], _target(given) in session.streamed)
        start = session.system.source
        self.start = None if start is None else _weighed(kind, given[start], start in session.streamed).start
        self.seen = session.transform.forward(self.real[:DIVERSITY_SAMPLES])

    def __call__(self, network: nn.Module, step: int) -> dict[str, float]:
        """The kind's quick metrics, and the diversity of the samples."""
        fake = self.samples(network, step)
        made = self.session.transform.forward(fake[:DIVERSITY_SAMPLES])
        if (kept := self.session.trainer.options.snapshots) and step:
            self.kind.format.write(self.session.run.samples(step), [fake[:kept]], {}, self.conditions)
        return {**self.kind.evaluation.validate(self.real, fake), "diversity": diversity(self.seen, made)}

    def of_real(self) -> dict[str, float]:
        """The same metrics of two halves of the real samples; empty where these are too few."""
        parts = halves(self.real, np.random.default_rng(self.session.seed))
        if min(map(len, parts)) < FEWEST or not all(map(_positive, parts)):
            return {}
        found = self.kind.evaluation.validate(*parts)
        return {name: value for name, value in found.items() if math.isfinite(value)}

    def samples(self, network: nn.Module, step: int) -> Batch:
        """Generated samples, others at every validation; or the start of a translator, changed.

        Few rows may be drawn with weights without a sum above 0; they are drawn again.
        """
        model = Model(network, self.session.transform, self.kind, self.conditions)
        if self.start is not None:
            return model.refine(self.start)
        for draw in range(DRAWS):
            number = rng_for("validation", self.session.seed, step, *[draw] * (draw > 0)).initial_seed() % 2**31
            if _positive(made := model.sample(len(self.real), int(number))):
                return made
        tell(f"warning: generated rows have weights without a sum above 0 in {DRAWS} draws; these are left out")
        return replace(made, weight=None)

    def try_out(self, selection: Selection) -> None:
        """Raise where the metrics of a selection are not among those of the kind."""
        product = self.session.system.networks[self.session.system.product]
        selection = Selection(selection.metric, selection.veto)
        selection.take(0, self(product, 0))
