"""Time and memory of a whole evaluation: every metric but the network classifier, figures and report.

    python benchmarks/evaluation.py [--jets 50000] [--particles 30] [--threads 2] [--folder FOLDER]

As many generated jets as real ones of the test split, and as many others for the in-sample values. Jets are those of
`benchmarks/metrics.py`, the generated ones with pt_rel to the power of 1.02, normalised. The evaluation runs twice,
each time in a process of its own: printed are wall-clock and CPU time, the peak of the resident memory, and whether
both found the same.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from metrics import made
from partigan import evaluate
from partigan.evaluation.suite import OF_CLASSIFIER, SUITE
from partigan.kinds.jets import JETS


def write(folder: Path, jets: int, particles: int) -> None:
    """The files of real and generated jets."""
    sample = made(particles, 3 * jets)
    cut = jets - jets // 5
    splits = {"split_train": (0, cut), "split_valid": (cut, jets), "split_test": (jets, 2 * jets)}
    real, fake = sample[: 2 * jets], sample[2 * jets :]
    pt = fake.x[..., 2:] ** 1.02
    fake = replace(fake, x=torch.cat((fake.x[..., :2], pt / pt.sum(1, keepdim=True)), dim=-1))
    JETS.format.write(folder / "real.h5", [real], splits, {"jet_pt": 1000.0})
    JETS.format.write(folder / "fake.h5", [fake], {}, {"jet_pt": 1000.0})


def measure(folder: Path, out: Path, threads: int) -> None:
    """One evaluation; prints what it took."""
    torch.set_num_threads(threads)
    names = ["protocol", *(name for name in SUITE if name not in ("network", "reconstruction", *OF_CLASSIFIER))]
    began, cpu = time.perf_counter(), time.process_time()
    evaluate(folder / "real.h5", out, folder / "fake.h5", metrics=names, overwrite=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{time.perf_counter() - began:.0f} s, CPU {time.process_time() - cpu:.0f} s, peak memory {peak:.2f} GiB")


def main() -> None:
    """Make the files, evaluate twice, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jets", type=int, default=50_000)
    parser.add_argument("--particles", type=int, default=30)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.out is not None:
        measure(options.folder, options.out, options.threads)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        write(folder, options.jets, options.particles)
        found = []
        for out in (folder / "first", folder / "second"):
            command = [sys.executable, __file__, "--folder", str(folder), "--out", str(out), "--threads"]
            subprocess.run([*command, str(options.threads)], check=True)
            found.append(json.loads((out / "metrics.json").read_text(encoding="utf-8")))
        print(f"{len(found[0])} numbers, {'the same' if found[0] == found[1] else 'NOT the same'} again")


if __name__ == "__main__":
    main()
