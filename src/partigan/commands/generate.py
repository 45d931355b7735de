"""``partigan generate``: a trained run to a file of samples, chunk by chunk."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from partigan import __version__
from partigan.data.sources import Source, source
from partigan.errors import PartiganError, check_number
from partigan.files import sha256
from partigan.jobs import earlier
from partigan.models.model import Model, load
from partigan.models.native.compiling import compiler
from partigan.progress import tell
from partigan.randomness import check_seed
from partigan.run import SPECIES, TRAINED_SPECIES, Run, known_run
from partigan.simulate.chunks import Chunks, in_chunks
from partigan.threads import begin, choose, set_threads, step_seconds
from partigan.workers import check_workers

Engine = Literal["auto", "native", "torch"]
MANY = 20_000  # samples from which on compiling may pay


def generate(
    run: str | Path,
    n: int,
    out: Path,
    seed: int = 1,
    conditions: Path | None = None,
    truncation: float | None = None,
    engine: Engine = "auto",
    threads: int | None = None,
    workers: int = 1,
    resume: bool = False,
    overwrite: bool = False,
    trust: bool = False,
    verify: bool = True,
    strict: bool = False,
) -> Path:
    """Generate samples with a trained run and write them in the layout of its training data.

    Memory does not depend on the number of samples: they are made and written in chunks. An interrupted generation can
    be resumed and ends with the same file. Sample i of a seed does not depend on ``n``, up to rounding.

    Args:
        run: run directory, or the name of a run that comes with partigan, such as ``pxd-fast``.
        n: number of samples.
        out: file to make; the suffix decides the format, where the kind of data has several.
        seed: makes the file reproducible.
        conditions: file of samples from whose training split conditions are drawn, such as the multiplicities of jets;
            None = those that the run was trained on.
        truncation: for more typical and less various samples: StyleGAN's factor of the distance from the mean style
            (below 1), or the largest noise of BigGAN in standard deviations; None = neither.
        engine: torch, or native: compiled C, equal to torch to 1e-5; auto = native for 20,000 samples and more where
            there is a C compiler, the generator has a native form, and that is faster; the same when resuming.
        threads: None = OMP_NUM_THREADS, or measured: one, or more where they are faster; the same when resuming.
        workers: number of processes, each with so many threads.
        resume: resume an interrupted generation.
        overwrite: replace an existing file.
        trust: follow class paths outside partigan.
        verify: refuse a run whose files were changed since it was made.
        strict: refuse conditions outside the range that the run was trained on, instead of a warning.

    Returns:
        The file.

    Raises:
        PartiganError: not a run, an existing output, a place that cannot be written, or conditions that are refused.
    """
    check_number("n", n, "sample")
    check_seed(seed)
    check_workers(workers)
    begin(threads)
    place = str(Path(run).absolute()) if Path(run).exists() else str(run)
    given = None if conditions is None else Path(conditions).absolute()
    files = (Run(run).config_file, Run(run).transform_file, Run(run).weights, given)
    digests = tuple(sha256(file) for file in files if file is not None and file.exists())
    plain = _Generation(place, trust, verify, truncation, given, digests)
    _ready.cache_clear()
    if conditions is not None:
        _told(_ready(replace(plain, conditions=None)), Path(conditions), trust, strict)
    model = _ready(plain)
    if n % (whole := model.kind.conditions.whole):
        raise PartiganError(
            f"n = {n} samples of {model.kind.name} are no whole events of {whole}; ask for {-(-n // whole) * whole}"
        )
    layout = model.kind.format
    had = earlier(out, layout.attributes) if resume else {}
    model, engine = _with_engine(model, engine, n, had.get("engine"))
    number = choose(threads, lambda: model.once, int(had["threads"]) if "threads" in had else None)
    attributes = {
        "kind": model.kind.name,
        "generated_by": str(model.manifest["versions"]["partigan"]),
        "partigan_version": __version__,
        "seed": seed,
        "n": n,
        "engine": engine,
        "threads": number,
        **({} if truncation is None else {"truncation": truncation}),
        **({"training_data_sha256": " ".join(trained)} if (trained := Run(run).trained_on) else {}),
        **({} if (only := Run(run).species) is None else {TRAINED_SPECIES: only}),
        "generator_sha256": sha256(Run(run).weights),
    }
    generation = replace(plain, native=engine == "native")
    chunks = Chunks(
        samples=n,
        chunk=model.kind.conditions.chunk,
        title="generating",
        make=make_part,
        arguments=lambda part, size: (generation, seed, number, part * model.kind.conditions.chunk, size),
        merge=lambda path, parts, said: layout.write(
            path, (layout.read(p, "all") for p in parts), said, model.conditions
        ),
        said=layout.attributes,
        suffixes=layout.suffixes,
        inputs=[known_run(run), conditions],
    )
    job = {**attributes, "conditions": model.conditions}
    return in_chunks(out, job, chunks, attributes, workers=workers, resume=resume, overwrite=overwrite)


@dataclass(frozen=True)
class _Generation:
    """What decides a generator and its conditions.

    Attributes:
        run: directory or name.
        trust: follow class paths outside partigan.
        verify: refuse files that were changed.
        truncation: None = none.
        conditions: file of samples to draw conditions from; None = those of training.
        digests: sha256 of its files and of that one.
        native: made by compiled C.
    """

    run: str
    trust: bool
    verify: bool
    truncation: float | None
    conditions: Path | None
    digests: tuple[str, ...]
    native: bool = False


@lru_cache(maxsize=2)
def _ready(generation: _Generation) -> Model:
    """A generator, made ready once in a process."""
    if generation.native:
        return _ready(replace(generation, native=False)).native()
    model = load(generation.run, generation.trust, generation.verify)
    if generation.truncation is not None:
        model = model.with_truncation(generation.truncation)
    if generation.conditions is not None:
        model = _with_conditions(model, generation.conditions, generation.trust)
    return model


def make_part(path: Path, generation: _Generation, seed: int, threads: int, first: int, size: int) -> int:
    """Make one chunk as a part file and return its number of samples."""
    set_threads(threads)
    model = _ready(generation)
    model.kind.format.write(path, [model.sample(size, seed, first)], {}, model.conditions)
    return size


def _with_engine(model: Model, engine: Engine, n: int, before: Any) -> tuple[Model, Engine]:
    """The model in the form that makes samples fastest, and what that is; it is said where there is a choice."""
    if engine == "auto" and before in ("native", "torch"):
        engine = before
    if engine == "torch" or (engine == "auto" and n < MANY):
        return model, "torch"
    if engine == "native":
        return model.native(), "native"
    if compiler() is None:
        tell("engine: torch (native is often faster, and needs a C compiler: cc, gcc or clang)")
        return model, "torch"
    try:
        native = model.native()
    except PartiganError as error:
        tell(f"engine: torch ({error})")
        return model, "torch"
    plain, fast = (step_seconds(each.once) for each in (model, native))
    if fast < plain:
        tell(f"engine: native (measured: {plain / fast:.2g} times as fast as torch)")
        return native, "native"
    tell(f"engine: torch (measured: native takes {fast / plain:.2g} times as long)")
    return model, "torch"


def _told(model: Model, path: Path, trust: bool, strict: bool) -> None:
    """Say which conditions of a file are out of the range of training, or refuse them."""
    model.beyond(_others(model, path, trust).training(), str(path), strict)


def _with_conditions(model: Model, path: Path, trust: bool) -> Model:
    """A model that draws its conditions from those of another file."""
    other = _others(model, path, trust)
    sample = other.training()
    state: dict[str, Any] = model.kind.conditions.state(sample, other.describe())
    for key in model.kind.conditions.fixed:
        if state.get(key) != model.conditions.get(key):
            raise PartiganError(
                f"{path} has {key} = {state.get(key)}, the run {model.name} was trained with "
                f"{model.conditions.get(key)}; give a file like its training data"
            )
    return replace(model, conditions=state)


def _others(model: Model, path: Path, trust: bool) -> Source:
    """A file whose conditions are asked for; of the species alone that the model was trained on."""
    return source(path, model.kind, trust, model.manifest["data"].get(SPECIES))
