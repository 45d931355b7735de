"""Training from files that are larger than memory: speed against a training in memory, and peak memory.

    python benchmarks/streaming.py [--gigabytes 20 40] [--steps 6000] [--folder /tmp/streaming]

Files are tables of 16 features, made on the fly and sparse: every 64th part of a block is written, the rest are zeros
that take no disk. Every training is `partigan train` with the preset `toys` in a process of its own; the seconds of its
steps are those of its manifest, its memory is the largest resident set that the system saw. In memory is the same
training on a file of 128 MB. Ways take turns. Prints a table and writes JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
from pathlib import Path

import h5py
import numpy as np

from partigan.data.streams import BLOCKS, WINDOW

ROOT = Path(__file__).parents[1]
FEATURES, BATCH = 16, 512
BLOCK = WINDOW // BLOCKS // (4 * FEATURES)  # rows


def sparse(path: Path, size: float) -> None:
    """A table of so many bytes, most of which are never written."""
    rows = int(size / (4 * FEATURES))
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    with h5py.File(path, "w") as file:
        file.attrs["kind"] = "tables"
        space = h5py.h5s.create_simple((rows, FEATURES))
        h5py.h5d.create(file.id, b"rows", h5py.h5t.IEEE_F32LE, space, creation)
        rng, found = np.random.default_rng(1), file["rows"]
        for first in range(0, rows, BLOCK):
            last = min(first + BLOCK // 64, rows)
            found[first:last] = rng.normal(size=(last - first, FEATURES)).astype("f4")


def trained(data: Path, out: Path, steps: int) -> tuple[float, float]:
    """Seconds of a step, and the largest resident memory in GB."""
    shutil.rmtree(out, ignore_errors=True)
    words = [str(Path(sys.executable).with_name("partigan")), "train", "--config", "toys", "--data", str(data)]
    words += ["--out", str(out), "--threads", "1", f"--trainer.batch_size={BATCH}", f"--trainer.max_steps={steps}"]
    words += ["--trainer.validations=1", "--trainer.accelerator=cpu"]
    child = os.posix_spawn(words[0], words, dict(os.environ))
    _, status, usage = os.wait4(child, 0)
    if status:
        raise SystemExit(f"partigan train failed on {data}")
    finished = json.loads((out / "manifest.json").read_text(encoding="utf-8"))["finished"]
    return finished["seconds"] / finished["step"], usage.ru_maxrss * 1024 / 1e9


def main() -> None:
    """Measure in turns, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", nargs="+", type=float, default=[20, 40])
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/streaming"))
    parser.add_argument("--out", type=Path, default=ROOT / "results/streaming.json")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    sizes = [WINDOW / 1e9, *options.gigabytes]
    for size in sizes:
        sparse(options.folder / f"{size:g}.h5", 1e9 * size)
    found: dict[float, list[tuple[float, float]]] = {size: [] for size in sizes}
    for _ in range(options.repeats):
        for size, values in found.items():
            values.append(trained(options.folder / f"{size:g}.h5", options.folder / "run", options.steps))
            print(size, values[-1], flush=True)
    first = statistics.median(seconds for seconds, _ in found[sizes[0]])
    print("| file / GB | where | ms a step | over in memory | peak memory / GB |\n|--:|---|--:|--:|--:|")
    rows = []
    for size, values in found.items():
        seconds = statistics.median(value for value, _ in values)
        row = {"gigabytes": size, "streamed": size != sizes[0], "seconds_per_step": seconds, "over": seconds / first}
        rows.append({**row, "memory": max(memory for _, memory in values)})
        where = "streamed" if row["streamed"] else "in memory"
        print(f"| {size:.3g} | {where} | {1e3 * seconds:.3g} | {seconds / first:.3f} | {rows[-1]['memory']:.2f} |")
    settings = {"steps": options.steps, "repeats": options.repeats, "batch": BATCH, "features": FEATURES}
    options.out.write_text(json.dumps({"settings": settings, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(options.folder)


if __name__ == "__main__":
    main()
