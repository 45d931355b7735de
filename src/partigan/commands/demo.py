"""Demonstrations: small jobs that show at a glance what the parts of the library do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from partigan import presets
from partigan.commands.train import train
from partigan.data.samples import read_samples
from partigan.files import atomic, write_json
from partigan.folders import open_folder, remove_folder
from partigan.metrics.sliced import sliced_w1
from partigan.outputs import writing
from partigan.progress import tell
from partigan.report.style import FAKE, REAL, png, style
from partigan.run import Run
from partigan.simulate.toys import TOYS, Toy, ToyName, covered_modes, simulate_toy

TIMES = 4  # columns of the figure
SHOWN = 2500
ROWS = 50_000  # of the training file


def toy_presets() -> list[str]:
    """The presets for toys, the vanilla GAN first."""
    return [name for name in presets.names() if name.split("-")[0] == "toys"]


def demo_toys(
    out: Path,
    toy: ToyName = "ring",
    minutes: float = 3.0,
    seeds: int = 1,
    resume: bool = False,
    overwrite: bool = False,
) -> Path:
    """Train every objective on a toy and draw how its samples develop.

    Args:
        out: directory to make: ``toys.png``, ``toys.json`` and the runs.
        toy: two-peaks, ring, grid or swiss-roll.
        minutes: of training for all objectives and seeds together.
        seeds: trainings of each objective; the figure shows the first, the numbers are medians.
        resume: continue an interrupted demonstration.
        overwrite: replace an existing directory.

    Returns:
        The figure: a row for each objective, a column for each time, with the sliced Wasserstein distance to the truth
        and the number of modes that are covered.

    Raises:
        PartiganError: an existing output.
    """
    with writing(out, overwrite=overwrite, resume=resume):
        if overwrite and not resume:
            remove_folder(Path(out))
        open_folder(Path(out), "partigan demo toys", {"toy": toy, "minutes": minutes, "seeds": seeds})
        return _demonstrated(Path(out), toy, minutes, seeds)


def _demonstrated(out: Path, toy: ToyName, minutes: float, seeds: int) -> Path:
    """The figure, in a folder that is ours."""
    data = out / "truth.h5"
    if not data.exists():
        simulate_toy(toy, ROWS, data)
    names = toy_presets()
    found: dict[str, list[dict[str, Any]]] = {}
    first: dict[str, list[NDArray[Any]]] = {}
    for name in names:
        runs = [_run(name, data, out, 60 * minutes / (len(names) * seeds), seed) for seed in range(1, seeds + 1)]
        scores = [[score(TOYS[toy], rows) for rows in snapshots(run)] for run in runs]
        found[name] = [
            {key: float(np.median([column[key] for column in columns])) for key in columns[0]}
            for columns in zip(*scores, strict=True)
        ]
        first[name] = snapshots(runs[0])
    write_json(out / "toys.json", {"toy": toy, "minutes": minutes, "seeds": seeds, "objectives": found})
    figure = out / "toys.png"
    with atomic(figure) as temporary, style():
        temporary.write_bytes(png(_figure(TOYS[toy], first, found)))
    tell(f"the figure is {figure}")
    return figure


def _run(name: str, data: Path, out: Path, seconds: float, seed: int) -> Run:
    overrides = {
        "trainer.max_steps": None,
        "trainer.max_minutes": seconds / 60,
        "trainer.validations": TIMES,
        "trainer.snapshots": SHOWN,
        "trainer.accelerator": "cpu",
    }
    return train(name, data, out / "runs" / f"{name}-{seed}", seed, resume=True, overrides=overrides)


def snapshots(run: Run) -> list[NDArray[Any]]:
    """The samples that a run kept at its validations, in order."""
    return [read_samples(path, "all", "rows", 2).x.numpy() for path in sorted((run.path / "samples").glob("*.h5"))]


def score(toy: Toy, rows: NDArray[Any]) -> dict[str, float]:
    """Covered modes, share of the rows in modes (0 and 0 for toys without) and sliced W1 to the truth."""
    truth = toy.draw(ROWS, np.random.default_rng(0))
    modes, share = covered_modes(toy, rows) if len(toy.modes) else (0, 0.0)
    return {"modes": modes, "share": share, "swd": sliced_w1(truth, rows, np.random.default_rng(0))}


def _figure(toy: Toy, snapshots: dict[str, list[NDArray[Any]]], found: dict[str, list[dict[str, Any]]]) -> Figure:
    figure = Figure(figsize=(2.1 * TIMES, 2.2 * len(snapshots)), layout="constrained", dpi=90)
    truth = toy.draw(SHOWN, np.random.default_rng(1))
    margin = 0.15 * np.ptp(truth, axis=0)
    lows, highs = truth.min(0) - margin, truth.max(0) + margin
    axes = figure.subplots(len(snapshots), TIMES, squeeze=False, sharex=True, sharey=len(toy.features) > 1)
    for row, (name, samples) in zip(axes, snapshots.items(), strict=True):
        for column, (axis, sample) in enumerate(zip(row, samples, strict=False)):
            if len(toy.features) == 1:
                edges = np.linspace(lows[0], highs[0], 60)
                for rows, colour in ((truth, REAL), (sample, FAKE)):
                    axis.hist(rows[:, 0], edges, density=True, histtype="step", color=colour)
            else:
                axis.scatter(*truth.T, s=1, color=REAL, alpha=0.15, linewidths=0)
                axis.scatter(*sample.T, s=2, color=FAKE, alpha=0.5, linewidths=0)
                axis.set_ylim(lows[1], highs[1])
            values = found[name][column]
            modes = f"{values['modes']:.0f}/{len(toy.modes)} modes, " if len(toy.modes) else ""
            axis.set_title(f"{modes}SW {values['swd']:.3f}", fontsize=8)
            axis.set(xlim=(lows[0], highs[0]), xticks=[], yticks=[])
        row[0].set_ylabel(name, fontsize=9)
    for column, axis in enumerate(axes[-1]):
        axis.set_xlabel(f"{(column + 1) / TIMES:.0%} of the run", fontsize=8)
    return figure
