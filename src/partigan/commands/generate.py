"""``partigan generate``: a trained run to a file of samples, chunk by chunk."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from partigan import __version__
from partigan.compiling import compiler
from partigan.data.sources import source
from partigan.errors import PartiganError, check_number
from partigan.files import sha256
from partigan.jobs import earlier
from partigan.models.model import Model, load
from partigan.progress import tell
from partigan.randomness import check_seed
from partigan.run import SPECIES, TRAINED_SPECIES, Run, known_run, located
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
    trained = Run(known_run(run))
    files = (trained.config_file, trained.transform_file, trained.weights)
    digests = tuple(sha256(file) for file in files if file.exists())
    plain = _Generation(located(run), trust, verify, truncation, digests)
    _ready.cache_clear()
    model, state = _ready(plain), None
    if n % (whole := model.kind.conditions.whole):
        raise PartiganError(
            f"n = {n} samples of {model.kind.name} are no whole events of {whole}; ask for {-(-n // whole) * whole}"
        )
    if conditions is not None:
        state = _conditions(model, Path(conditions), trust, strict)
    layout = model.kind.format
    had = earlier(out, layout.attributes) if resume else {}
    generation, engine = _with_engine(plain, engine, n, had.get("engine"))
    model = _ready(generation) if state is None else replace(_ready(generation), conditions=state)
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
        **({"training_data_sha256": " ".join(data)} if (data := trained.trained_on) else {}),
        **({} if trained.species is None else {TRAINED_SPECIES: trained.species}),
        "generator_sha256": sha256(trained.weights),
    }
    chunks = Chunks(
        samples=n,
        chunk=model.kind.conditions.chunk,
        title="generating",
        make=make_part,
        arguments=lambda part, size: (generation, state, seed, number, part * model.kind.conditions.chunk, size),
        merge=lambda path, parts, said: layout.write(
            path, (layout.read(p, "all") for p in parts), said, model.conditions
        ),
        said=layout.attributes,
        suffixes=layout.suffixes,
        inputs=[trained.path, conditions],
    )
    job = {**attributes, "conditions": model.conditions}
    return in_chunks(out, job, chunks, attributes, workers=workers, resume=resume, overwrite=overwrite)


@dataclass(frozen=True)
class _Generation:
    """What decides a generator.

    Attributes:
        run: directory or name.
        trust: follow class paths outside partigan.
        verify: refuse files that were changed.
        truncation: None = none.
        digests: sha256 of its files.
        native: made by compiled C.
    """

    run: str
    trust: bool
    verify: bool
    truncation: float | None
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
    return model


def make_part(
    path: Path,
    generation: _Generation,
    state: dict[str, Any] | None,
    seed: int,
    threads: int,
    first: int,
    size: int,
) -> int:
    """Make one chunk as a part file and return its number of samples; ``state``: conditions, None = as in training."""
    set_threads(threads)
    model = _ready(generation) if state is None else replace(_ready(generation), conditions=state)
    chunks = model.packed(size, seed, first) if model.transform.packs else [model.sample(size, seed, first)]
    model.kind.format.write(path, chunks, {}, model.conditions)
    return size


def _with_engine(plain: _Generation, engine: Engine, n: int, before: Any) -> tuple[_Generation, Engine]:
    """The form that makes samples fastest, and what that is; it is said where there is a choice."""
    native = replace(plain, native=True)
    if engine == "auto" and before in ("native", "torch"):
        engine = before
    if engine == "torch" or (engine == "auto" and n < MANY):
        return plain, "torch"
    if engine == "native":
        return native, "native"
    if compiler() is None:
        tell("engine: torch (native is often faster, and needs a C compiler: cc, gcc or clang)")
        return plain, "torch"
    try:
        _ready(native)
    except PartiganError as error:
        tell(f"engine: torch ({error})")
        return plain, "torch"
    slow, fast = (step_seconds(_ready(each).once) for each in (plain, native))
    if fast < slow:
        tell(f"engine: native (measured: {slow / fast:.2g} times as fast as torch)")
        return native, "native"
    tell(f"engine: torch (measured: native takes {fast / slow:.2g} times as long)")
    return plain, "torch"


def _conditions(model: Model, path: Path, trust: bool, strict: bool) -> dict[str, Any]:
    """Conditions to draw from, those of another file; those out of range are told, or refused."""
    other = source(path, model.kind, trust, model.manifest["data"].get(SPECIES))
    sample = other.training()
    model.beyond(sample, str(path), strict)
    state: dict[str, Any] = model.kind.conditions.state(sample, other.describe())
    for key in model.kind.conditions.fixed:
        if state.get(key) != model.conditions.get(key):
            raise PartiganError(
                f"{path} has {key} = {state.get(key)}, the run {model.name} was trained with "
                f"{model.conditions.get(key)}; give a file like its training data"
            )
    return state
