"""``partigan refine``: a file of samples through a trained refiner or translator, chunk by chunk."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from partigan import __version__
from partigan.data.hdf5 import split_attributes
from partigan.data.sources import same_features, source
from partigan.files import sha256
from partigan.kinds.kind import Format
from partigan.models.model import Model, load
from partigan.randomness import check_seed
from partigan.run import Run, known_run, located
from partigan.simulate.chunks import Chunks, in_chunks
from partigan.threads import set_threads
from partigan.workers import check_workers


def refine(
    run: str | Path,
    given: Path,
    out: Path,
    backward: bool = False,
    seed: int = 1,
    workers: int = 1,
    resume: bool = False,
    overwrite: bool = False,
    trust: bool = False,
    verify: bool = True,
    strict: bool = False,
) -> Path:
    """Refine or translate all samples of a file and write them in the same layout and order.

    Labels, conditions, truth, event weights, splits and attributes stay as they are. What each sample was is kept
    beside it as ``source`` where the layout has a place for it. Pairs are translated from the ``source`` in the file,
    backward from the samples. Memory does not depend on the size of the file. An interrupted job can be resumed, and
    the file does not depend on the number of workers, bit for bit.

    Args:
        run: run directory of a refiner or translator.
        given: file of samples of the run's kind.
        out: file to make.
        backward: the other way, from data to simulation, where the run has a translator for it.
        seed: of translators that draw something, such as the dropout of pix2pix.
        workers: number of processes, one thread each.
        resume: resume an interrupted job.
        overwrite: replace an existing file.
        trust: follow class paths outside partigan.
        verify: refuse a run whose files were changed since it was made.
        strict: refuse conditions outside the range that the run was trained on, instead of a warning.

    Returns:
        The file.

    Raises:
        PartiganError: not a run that translates, samples that it does not fit, conditions that are refused, an existing
            output, or a place that cannot be written.

    Example:
        >>> refine("runs/refiner", "sim.h5", "refined.h5")  # doctest: +SKIP
        PosixPath('refined.h5')
    """
    check_seed(seed)
    check_workers(workers)
    trained = Run(known_run(run))
    weights = sha256(trained.weights) if trained.weights.exists() else ""
    translator = (located(run), backward, trust, verify, weights)
    model = _loaded(*translator)
    start, layout = source(Path(given), model.kind, trust), model.kind.format
    described = start.describe()
    if names := model.conditions.get("features"):
        units = model.conditions.get("units", [""] * len(names))
        same_features(model.name, {"features": dict(zip(names, units, strict=True))}, start.name, described)
    count = layout.count(Path(given))
    head = layout.read(Path(given), (0, model.kind.conditions.group))
    model.refine(head[:1], seed)  # whether it fits is found before anything is made
    if "conditions" in model.conditions:
        _look_at_conditions(model, layout, Path(given), count, strict)
    job = _Job(translator, Path(given).absolute(), seed, model.kind.conditions.state(head, described))
    attributes = {
        **start.attributes(),
        **split_attributes(job.given),
        "kind": model.kind.name,
        "refined_by": str(model.manifest["versions"]["partigan"]),
        "partigan_version": __version__,
        "refined_from": start.name,
        "refined_from_sha256": start.digest,
        "refiner_sha256": weights,
        "refined_backward": backward,
        "refined_seed": seed,
        **({"training_data_sha256": " ".join(digests)} if (digests := trained.trained_on) else {}),
    }
    chunks = Chunks(
        samples=count,
        chunk=model.kind.conditions.chunk,
        title="refining",
        make=make_part,
        arguments=lambda number, _: (job, number),
        merge=lambda path, parts, said: layout.write(path, (layout.read(p, "all") for p in parts), said, job.state),
        said=layout.attributes,
        suffixes=layout.suffixes,
        inputs=[trained.path, given],
    )
    remembered = {name: str(value) for name, value in attributes.items()}
    return in_chunks(out, remembered, chunks, attributes, workers=workers, resume=resume, overwrite=overwrite)


def _look_at_conditions(model: Model, layout: Format, path: Path, count: int, strict: bool) -> None:
    """Warn of the first part of a file that has conditions out of range, or refuse it."""
    for first in range(0, count, model.kind.conditions.chunk):
        rows = (first, min(first + model.kind.conditions.chunk, count))
        if model.beyond(layout.read(path, rows), f"{path}, samples {rows[0]:,} to {rows[1] - 1:,}", strict):
            return


@dataclass(frozen=True)
class _Job:
    """What decides the content of a refined file.

    Attributes:
        translator: run, whether backward, trusted and verified, and sha256 of the weights.
        given: file of samples.
        seed: of what is drawn.
        state: of the samples, see `partigan.kinds.kind.Conditions.state`.
    """

    translator: tuple[str, bool, bool, bool, str]
    given: Path
    seed: int
    state: dict[str, Any]


@lru_cache(maxsize=1)
def _loaded(run: str, backward: bool, trust: bool, verify: bool, _weights: str) -> Model:
    """A translator, loaded once in a process."""
    model = load(run, trust, verify)
    return model.backward() if backward else model


def make_part(path: Path, job: _Job, number: int) -> int:
    """Refine one chunk of a file into a part file, with one thread, and return its number of samples."""
    set_threads(1)  # sums of several threads are rounded differently
    model = _loaded(*job.translator)
    chunk, layout = model.kind.conditions.chunk, model.kind.format
    sample = layout.read(job.given, (number * chunk, (number + 1) * chunk))
    start = sample if job.translator[1] else sample.start
    layout.write(path, [model.refine(start, job.seed, number * chunk)], {}, job.state)
    return len(sample)
