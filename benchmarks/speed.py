"""Generation by torch, by compiled C and by ONNX Runtime: microseconds a sample, side by side in one run.

    python benchmarks/speed.py [--threads 1] [--turns 7] [--json results/speed.json]

Networks of the presets with fresh weights make samples in the normalised space from noise that is drawn before. All
take turns of a quarter of a second, torch with groups of the size that `partigan generate` gives it. The last rows are
`partigan generate` as a user calls it, from noise to a file of jets, with a run of two steps on toy jets. Medians, and
ratios to torch of turns that follow each other with the least and largest value. ``--json`` writes the table, too.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from partigan import config, generate, train
from partigan.compiling import compiler
from partigan.data.jets import write_jets
from partigan.files import write_json
from partigan.models.model import GROUP_VALUES
from partigan.models.native import NativeGenerator
from partigan.models.onnx.exporting import session, written
from toy_jets import toy_jets

CLOUDS = (
    ("mdma", 30, {}),
    ("mdma", 150, {}),
    ("mdma", 30, {"system.generator.heads": 4}),
    ("mdma", 150, {"system.generator.heads": 4}),
    ("epic", 30, {}),
    ("gapt", 30, {}),
)
OTHERS = (("rgan", {"particles": 30, "features": 3}, 0), ("treegan", {"particles": 30, "features": 3}, 0))
TABLES = (("toys", {"features": 2, "classes": 1}, 1), ("cherenkov-cramer", {"features": 5, "conditions": 4}, 4))
ROWS = 4096  # samples of a turn's step that are no clouds
SECONDS = 0.25  # of a turn
JETS = 100_000  # in a file


def turns(jobs: dict[str, Callable[[], int]], number: int) -> dict[str, Any]:
    """Microseconds a sample of jobs that take turns, torch first; a job says how many samples it made."""
    found: dict[str, list[float]] = {name: [] for name in jobs}
    for turn in range(number + 1):
        for name, job in jobs.items():
            made, began = 0, time.perf_counter()
            while time.perf_counter() - began < SECONDS:
                made += job()
            if turn:  # the first is to warm up
                found[name].append(1e6 * (time.perf_counter() - began) / made)
    row: dict[str, Any] = {name: round(statistics.median(values), 3) for name, values in found.items()}
    for name in list(found)[1:]:
        ratios = [plain / other for plain, other in zip(found["torch"], found[name], strict=True)]
        row[f"torch over {name}"] = [round(f(ratios), 2) for f in (statistics.median, min, max)]
    return row


@torch.inference_mode()
def forward(
    preset: str, decided: dict[str, int], overrides: dict[str, Any], conditions: int, number: int
) -> dict[str, Any]:
    """A generator's forward pass."""
    torch.manual_seed(1)
    system, transform, _ = config.build(config.resolve(config.read(preset, overrides), decided))
    plain = system.networks["generator"].deployed()
    width = decided.get("particles", 1)
    clouds = plain.masked and transform.masked
    size = max(GROUP_VALUES // width, 1) if clouds else ROWS
    mask = torch.ones(size, width, dtype=torch.bool) if clouds else None
    condition = torch.rand(size, conditions) if conditions else None
    native = NativeGenerator(plain, condition, mask)
    noise = plain.noise(size, mask, torch.Generator().manual_seed(1))
    opened = session(written(plain, condition, mask).SerializeToString())
    given = {"noise": noise, "condition": condition, "mask": mask}
    given = {name: part.numpy() for name, part in given.items() if part is not None}
    jobs = {
        "torch": lambda: len(plain(noise, condition)),
        "native": lambda: len(native(noise, condition)),
        "ONNX": lambda: len(opened.run(None, given)[0]),
    }
    return turns(jobs, number)


def files(folder: Path, threads: int, number: int) -> dict[str, Any]:
    """`partigan generate`, to a file of jets."""
    write_jets(folder / "toys.h5", [toy_jets(1000, 30, 1)], {"flavour": "toy"})
    options = {"trainer.max_steps": 2, "trainer.validations": 1, "trainer.accelerator": "cpu"}
    run = train("mdma", folder / "toys.h5", folder / "run", 1, threads, overrides=options)
    jobs = {
        engine: lambda engine=engine: (
            generate(run.path, JETS, folder / f"{engine}.h5", engine=engine, threads=threads, overwrite=True) and JETS
        )
        for engine in ("torch", "native")
    }
    return turns(jobs, number)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = {}
    for preset, particles, overrides in CLOUDS:
        heads = f", {overrides['system.generator.heads']} heads" if overrides else ""
        decided = {"particles": particles, "features": 3}
        rows[f"`{preset}`{heads}, {particles} particles"] = forward(preset, decided, overrides, 0, options.turns)
    for preset, decided, conditions in (*OTHERS, *TABLES):
        rows[f"`{preset}`"] = forward(preset, decided, {}, conditions, options.turns)
    with TemporaryDirectory() as folder:
        rows["`mdma`, 30 particles, to a file"] = files(Path(folder), options.threads, max(options.turns // 2, 1))
    version = subprocess.run([str(compiler()), "--version"], capture_output=True, text=True, check=True).stdout
    lines = [
        f"{platform.machine()}, {options.threads} threads, torch {torch.__version__}, {version.splitlines()[0]}, "
        f"medians of {options.turns} turns",
        "",
        "| generator | torch, μs a sample | native | ONNX | torch over native | torch over ONNX |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        cells = [name, *(f"{row[engine]:.3g}" if engine in row else "" for engine in ("torch", "native", "ONNX"))]
        for engine in ("native", "ONNX"):
            middle, low, high = row.get(f"torch over {engine}", (None,) * 3)
            cells.append("" if middle is None else f"{middle:.2g} ({low:.2g} to {high:.2g})")
        lines.append(f"| {' | '.join(cells)} |")
    print("\n".join(lines))
    if options.json:
        write_json(options.json, {"threads": options.threads, "turns": options.turns, "rows": rows})
        options.json.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
