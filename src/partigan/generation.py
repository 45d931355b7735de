"""Generated samples in a file, chunk by chunk."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from partigan import __version__
from partigan.data.batch import Batch
from partigan.errors import PartiganError
from partigan.files import Parts, sha256
from partigan.progress import progress_bar
from partigan.randomness import check_seed
from partigan.run import Run, known_run
from partigan.training.train import load, set_threads


def generate(
    run: str | Path,
    n: int,
    out: Path,
    seed: int = 1,
    multiplicity: Path | None = None,
    truncation: float | None = None,
    threads: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    trust: bool = False,
) -> Path:
    """Generate samples with a trained run and write them in the layout of its training data.

    Memory does not depend on the number of samples: they are made and written in chunks, each with a seed of its
    own, so that an interrupted generation can be resumed and ends with the same file.

    Args:
        run: run directory, or the name of a run that comes with partigan, such as ``pxd-fast``.
        n: number of samples.
        out: file to make.
        seed: makes the file reproducible.
        multiplicity: file of samples from whose training split the numbers of particles are drawn; None = those that
            the run was trained on.
        truncation: for more typical and less various samples: StyleGAN's factor of the distance from the mean style
            (below 1), or the largest noise of BigGAN in standard deviations; None = neither.
        threads: torch's threads; None = as many as torch takes by itself, all cores or OMP_NUM_THREADS.
        resume: go on with an interrupted generation.
        overwrite: replace an existing file.
        trust: follow class paths outside partigan and torch.

    Returns:
        The file.

    Raises:
        PartiganError: not a run, an existing output, or a place that cannot be written.
    """
    if n < 1:
        raise PartiganError(f"n = {n}; at least one sample is needed")
    check_seed(seed)
    set_threads(threads)
    run = known_run(run)
    sampler = load(run, trust)
    if truncation is not None:
        if sampler.generator.truncation is None:
            raise PartiganError(f"{type(sampler.generator).__name__} of {run} has no truncation; leave it out")
        if not 0 <= truncation < math.inf:
            raise PartiganError(f"truncation = {truncation}; it must not be below 0, or infinite")
        sampler.generator.truncation = truncation
    manifest = Run(run).manifest
    if multiplicity is not None:
        width = sampler.conditions["particles"]
        form, other_file = sampler.kind.format, Path(multiplicity)
        other = sampler.kind.conditions.state(form.training(other_file), form.describe(other_file))
        if other["particles"] != width:
            raise PartiganError(
                f"{multiplicity} holds up to {other['particles']} particles, the run {run} was trained on {width}; "
                f"give a file of {width}"
            )
        sampler.conditions["multiplicity"] = other["multiplicity"]
    attributes = {
        "kind": sampler.kind.name,
        "generated_by": str(manifest["versions"]["partigan"]),
        "partigan_version": __version__,
        "seed": seed,
        "n": n,
        **({} if truncation is None else {"truncation": truncation}),
        "training_data_sha256": manifest["data"]["sha256"],
        "generator_sha256": sha256(Run(run).weights),
    }
    chunk_size = sampler.kind.conditions.chunk
    sizes = [min(chunk_size, n - first) for first in range(0, n, chunk_size)]
    job = {**attributes, "conditions": sampler.conditions}
    parts = Parts(out, job, len(sizes), resume=resume, overwrite=overwrite)
    if parts.merged:
        return parts.out
    with progress_bar("generating", n) as advance:
        for chunk, size in enumerate(sizes):
            if not parts.path(chunk).exists():
                batch = sampler.sample(size, seed, chunk)
                sampler.kind.format.write(parts.path(chunk), [batch], {}, sampler.conditions)
            advance(size)

    def chunks() -> Iterator[Batch]:
        for chunk in range(len(sizes)):
            yield sampler.kind.format.read(parts.path(chunk), "all")

    sampler.kind.format.write(out, chunks(), attributes, sampler.conditions)
    parts.finish()
    return Path(out)
