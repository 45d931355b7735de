"""Every objective on every toy: covered modes and distances to the truth, three seeds each.

    python benchmarks/toys.py --out toys-benchmark [--toys grid ring] [--presets toys toys-wgan-gp] [--workers 2]
    python benchmarks/toys.py --out toys-quick --quick

The grid is trained with all steps of the presets, the other toys, which have fewer modes, with a fifth of them. Each
training has one thread; ``--workers`` of them run at a time. Resumable: finished trainings are kept in the
folder, and a killed one is resumed. Prints a markdown table of medians and writes ``toys.json`` with every
run. CPU seconds are those of this invocation. ``--quick`` trains a tenth of the steps on the ring with one seed.

Samples: 2,500 generated rows. A mode is covered as `partigan.simulate.toys.covered_modes` defines it. W2 compares 1,000
rows with 1,000 rows of truth; the row "truth" gives all numbers for samples of the truth itself.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch

from partigan import config, load, train
from partigan.commands.demo import ROWS, SHOWN, score, toy_presets
from partigan.files import write_json
from partigan.simulate.toys import TOYS, simulate_toy, w2

W2_ROWS = 1000
STEPS = {toy: 1.0 if toy == "grid" else 0.2 for toy in TOYS}  # fraction of the presets' steps


def scores(toy: str, rows: np.ndarray) -> dict[str, float]:
    """Covered modes, share of rows in modes, sliced W1 and W2 of one sample."""
    truth = TOYS[toy].draw(W2_ROWS, np.random.default_rng(0))
    return {**score(TOYS[toy], rows), "w2": w2(rows[:W2_ROWS], truth)}


def run(toy: str, preset: str, seed: int, out: Path, fraction: float) -> dict[str, float]:
    """One training, or its scores where they are known."""
    folder = out / f"{toy}-{preset}-{seed}"
    result = out / f"{toy}-{preset}-{seed}.json"
    if result.exists():
        return dict(json.loads(result.read_text(encoding="utf-8")))
    steps = int(config.read(preset)["trainer"]["max_steps"] * fraction)
    overrides = {"trainer.max_steps": steps, "trainer.accelerator": "cpu"}
    began = time.process_time()
    trained = train(preset, out / f"{toy}.h5", folder, seed, threads=1, resume=True, overrides=overrides)
    seconds = time.process_time() - began
    found = {**scores(toy, load(trained.path).sample(SHOWN, seed).x.numpy()), "seconds": seconds, "steps": steps}
    write_json(result, found)
    return found


def main() -> None:
    """Train what is not yet there and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--toys", nargs="+", choices=TOYS, default=list(TOYS))
    parser.add_argument("--presets", nargs="+", default=toy_presets())
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    toys, seeds, fraction = (["ring"], 1, 0.5) if options.quick else (options.toys, options.seeds, 1.0)
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    for toy in toys:
        if not (data := options.out / f"{toy}.h5").exists():
            simulate_toy(toy, ROWS, data)
    numbers = range(1, seeds + 1)
    with ProcessPoolExecutor(options.workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        jobs = {
            (toy, preset): [pool.submit(run, toy, preset, seed, options.out, fraction * STEPS[toy]) for seed in numbers]
            for toy in toys
            for preset in options.presets
        }
        trained = {key: [job.result() for job in of_seeds] for key, of_seeds in jobs.items()}
    table = {}
    for toy in toys:
        truth = [TOYS[toy].draw(SHOWN, np.random.default_rng(seed)) for seed in numbers]
        table[toy] = {"truth": [scores(toy, rows) for rows in truth]}
        table[toy] |= {preset: trained[toy, preset] for preset in options.presets}
    write_json(options.out / "toys.json", table)
    print(
        "| toy | preset | modes (each seed) | in modes | sliced W1 | W2 | CPU seconds |\n|---|---|---|---|---|---|---|"
    )
    for toy, rows in table.items():
        for preset, found in rows.items():
            median = {name: float(np.median([one[name] for one in found])) for name in found[0]}
            number = len(TOYS[toy].modes)
            modes = f"{median['modes']:.0f} of {number} ({', '.join(str(one['modes']) for one in found)})"
            cells = (
                toy,
                preset,
                modes if number else "",
                f"{median['share']:.0%}" if number else "",
                f"{median['swd']:.3f}",
                f"{median['w2']:.2f}",
                f"{median['seconds']:.0f}" if "seconds" in median else "",
            )
            print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
