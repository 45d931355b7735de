"""Kill a simulation, a training and a generation with SIGKILL at random moments, resume, and compare the results.

    python benchmarks/survival.py [--kills 10]

Each job first runs undisturbed; the disturbed twin is killed at moments drawn uniformly over the time that the first
one took (8 s at most), is resumed with --resume, and has to end with the same file (simulation, generation) or the same
weights, averages and optimiser state (training).
"""

from __future__ import annotations

import argparse
import hashlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from partigan.models.checkpoint import Checkpoints

PARTIGAN = (sys.executable, "-c", "from partigan.cli import main; main()")
SHORT = ("--trainer.checkpoint_seconds", "0.2", "--trainer.validations", "4", "--threads", "1")


def run(arguments: list[str], kill_after: float | None = None) -> bool:
    """Run a command of partigan; True where it was killed before its end."""
    with subprocess.Popen([*PARTIGAN, *arguments], stderr=subprocess.PIPE, text=True) as process:
        try:
            errors = process.communicate(timeout=kill_after)[1]
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            return True
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed: {errors}")
    return False


def same(first: Path, second: Path) -> bool:
    """The same bytes, or the same tensors in the newest checkpoints of two runs."""
    if first.is_file():
        return hashlib.sha256(first.read_bytes()).digest() == hashlib.sha256(second.read_bytes()).digest()
    (a, _), (b, _) = (Checkpoints(path / "checkpoints").newest() or ({}, {}) for path in (first, second))
    return bool(a) and a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def main() -> None:
    """Disturb the three jobs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    options = parser.parse_args()
    random.seed(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data, trained = folder / "simulation.h5", folder / "training"
        jobs = {
            "simulation": ["simulate", "jets", "--flavour", "t", "--n", "6000", "--workers", "2"],
            "training": ["train", "--config", "mdma", "--data", str(data), "--trainer.max_steps", "1200", *SHORT],
            "generation": ["generate", str(trained), "--n", "1000000", "--threads", "1"],
        }
        for job, arguments in jobs.items():
            suffix = "" if job == "training" else ".h5"
            whole, disturbed = folder / f"{job}{suffix}", folder / f"{job}-disturbed{suffix}"
            began = time.monotonic()
            run([*arguments, "--out", str(whole)])
            taken = time.monotonic() - began
            command = [*arguments, "--out", str(disturbed), "--resume"]
            kills = tries = 0
            while kills < options.kills and not disturbed.is_file() and tries < 5 * options.kills:
                killed = run(command, random.uniform(0.3, 1) * min(taken, 8.0))
                kills, tries = kills + killed, tries + 1
                if not killed:
                    break
            if not disturbed.is_file():
                run(command)
            outcome = "the same" if same(whole, disturbed) else "DIFFERENT"
            print(f"{job}: killed {kills} times, {outcome} result", flush=True)


if __name__ == "__main__":
    main()
