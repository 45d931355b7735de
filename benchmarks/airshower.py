"""Air showers: two presets trained for minutes of one core, their metrics, conditions that are interpolated, and speed.

    python benchmarks/airshower.py FOLDER            # simulates, trains, evaluates; goes on where it stopped
    python benchmarks/airshower.py FOLDER --table    # writes results/airshower/ from what is finished

Networks are trained on the training split of 60,000 showers whose zenith angles leave out 25 to 35 degrees.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import partigan
from partigan.files import write_json

TRAINING, TEST = 60_000, 30_000
GAP = (25.0, 35.0)
CASES: dict[str, dict[str, Any]] = {
    "airshower-conditional": {"trainer.max_steps": 900},
    "airshower-wgan-gp": {
        "trainer.max_steps": 160,
        "trainer.batch_size": 32,
        "trainer.ema_half_life": 0.05,
        "system.generator_optimizer.lr": 3.0e-4,
        "system.critic_optimizer.lr": 3.0e-4,
    },
}
"""What is trained, and what is changed of each preset so that it fits into minutes of one core."""


def simulated(folder: Path) -> dict[str, Path]:
    """The showers to train on, and others of all zenith angles."""
    files = {"training": folder / "training.h5", "test": folder / "test.h5"}
    if not files["training"].exists():
        partigan.simulate_airshower(TRAINING, files["training"], gap=GAP, seed=1, resume=True)
    if not files["test"].exists():
        partigan.simulate_airshower(TEST, files["test"], seed=2, resume=True)
    return files


def train(folder: Path, preset: str) -> Path:
    """Train a preset, and write down what it cost."""
    run, began = folder / "runs" / preset, time.process_time()
    if not (folder / f"{preset}.cost.json").exists():
        files = simulated(folder)
        partigan.train(preset, files["training"], run, seed=1, threads=1, overwrite=True, overrides=CASES[preset])
        minutes = (time.process_time() - began) / 60
        write_json(folder / f"{preset}.cost.json", {"cpu_minutes": minutes, "changed": CASES[preset]})
    return run


def main() -> None:
    """Run what is missing, or write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for preset in CASES:
        train(options.folder, preset)


if __name__ == "__main__":
    main()
