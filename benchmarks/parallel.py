"""One process with one or two threads against two processes of one thread that average their gradients.

    python benchmarks/parallel.py [--presets mdma-short mpgan] [--repeats 3] [--jets 4000]

Every way trains the preset as a user does, on the same batches of jets in all (two processes take half a batch each),
in turns, start-up excluded: the seconds of a step are those that the trainer measures before it starts, as the manifest
has them. The data are random clouds, since only the time counts. Prints the medians as a table and writes JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from partigan import config
from partigan.data.jets import write_jets

ROOT = Path(__file__).parents[1]
WAYS = {"1 process, 1 thread": (1, 1), "1 process, 2 threads": (1, 2), "2 processes, 1 thread each": (2, 1)}


def clouds(path: Path, jets: int) -> None:
    """A file of random clouds of 20 to 30 particles."""
    rng = np.random.default_rng(1)
    x = np.concatenate((rng.normal(0, 0.1, (jets, 30, 2)), np.sort(rng.random((jets, 30, 1)) / 30, axis=1)[:, ::-1]), 2)
    number = rng.integers(20, 31, jets)
    mask = np.arange(30) < number[:, None]
    features = np.stack([np.full(jets, 1000.0), np.zeros(jets), np.full(jets, 100.0), number], axis=1)
    write_jets(
        path, [(np.concatenate((x * mask[..., None], mask[..., None]), 2).astype("f4"), features.astype("f4"))], {}
    )


def step(preset: str, data: Path, processes: int, threads: int) -> float:
    """Seconds of a training step."""
    batch = config.read(preset)["trainer"]["batch_size"] // processes
    with tempfile.TemporaryDirectory() as folder:
        options = {
            "max_minutes": 0.02,
            "validations": 1,
            "batch_size": batch,
            "devices": processes,
            "accelerator": "cpu",
        }
        if processes > 1:
            options["strategy"] = "ddp"
        subprocess.run(
            [
                str(Path(sys.executable).with_name("partigan")),
                "train",
                "--config",
                preset,
                "--data",
                str(data),
                "--out",
                f"{folder}/run",
            ]
            + ["--threads", str(threads), "--trainer.max_steps", "null"]
            + [part for name, value in options.items() for part in (f"--trainer.{name}", str(value))],
            check=True,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        )
        plan = json.loads(Path(folder, "run/manifest.json").read_text(encoding="utf-8"))["plan"]
        return float(plan["seconds_per_step"])


def main() -> None:
    """Measure in turns, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="+", default=["mdma-short", "mpgan"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--jets", type=int, default=4000)
    parser.add_argument("--out", type=Path, default=ROOT / "results/parallel.json")
    options = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "jets.h5"
        clouds(data, options.jets)
        for preset in options.presets:
            times: dict[str, list[float]] = {way: [] for way in WAYS}
            for _ in range(options.repeats):
                for way, (processes, threads) in WAYS.items():
                    times[way].append(step(preset, data, processes, threads))
            found[preset] = {way: statistics.median(values) for way, values in times.items()}
    print("| preset | " + " | ".join(WAYS) + " |\n|" + "---|" * (len(WAYS) + 1))
    for preset, row in found.items():
        first = next(iter(row.values()))
        cells = (f"{1000 * seconds:.0f} ms ({first / seconds:.2f}x)" for seconds in row.values())
        print(f"| {preset} | " + " | ".join(cells) + " |")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
