"""What plans of large productions need: speed and memory of `generate`, overheads of chunks and schedulers.

    python benchmarks/scaling.py generate --n 100000 1000000 10000000
    python benchmarks/scaling.py overhead

`generate`: `partigan generate --parts` in a process of its own, one thread, compiled C; jets of mdma-short (30
particles), of a run that is trained for a few steps only, since only time and memory count. Memory is the largest
resident set that the system saw. `overhead`: chunks that only wait, so that one core is enough: their time beyond the
waiting, in one process and on one and two workers of Dask. Results are added to a JSON file.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import torch

from parallel import clouds
from partigan import train
from partigan.cluster import on_cluster
from partigan.data.batch import Batch
from partigan.data.samples import read_samples, write_samples
from partigan.simulate.chunks import Chunks, in_parts, simulated

ROOT = Path(__file__).parents[1]
WAIT = 0.2  # seconds of a chunk that waits
CHUNKS = 100


def waiting(path: Path, size: int) -> int:
    """A chunk that takes `WAIT` seconds and no processor."""
    time.sleep(WAIT)
    write_samples(path, "rows", [Batch(torch.zeros(size, 2))], {})
    return size


def rows(path: Path, parts: list[Path], said: dict[str, Any]) -> None:
    """The file of all rows."""
    write_samples(path, "rows", (read_samples(part, "all", "rows", 2) for part in parts), said)


def overhead(folder: Path) -> dict[str, Any]:
    """Milliseconds of a chunk beyond its waiting, and the gain of a second worker."""
    chunks = Chunks(CHUNKS, 1, "waiting", waiting, lambda _, size: (size,), rows)
    found = {}
    for name, where in (("one process", None), ("dask, 1 worker", "local:1"), ("dask, 2 workers", "local:2")):
        out = folder / name.replace(" ", "-")
        with on_cluster(where), in_parts():
            began = time.perf_counter()
            simulated(out, {"kind": "tables"}, chunks, workers=1, resume=False, overwrite=True)
            found[name] = time.perf_counter() - began
    spare = {name: 1e3 * (seconds / CHUNKS - WAIT) for name, seconds in found.items() if "2" not in name}
    gain = found["dask, 1 worker"] / found["dask, 2 workers"]
    return {"chunks": CHUNKS, "wait": WAIT, "seconds": found, "milliseconds_of_a_chunk": spare, "second_worker": gain}


def generated(folder: Path, n: int) -> dict[str, Any]:
    """Seconds, memory and disk of a generation."""
    run, out = folder / "run", folder / f"jets-{n}"
    if not run.exists():
        clouds(folder / "data.h5", 2000)
        short = {"trainer.max_minutes": None, "trainer.max_steps": 4, "trainer.validations": 1}
        train("mdma-short", folder / "data.h5", run, threads=1, overrides=short)
    words = [str(Path(sys.executable).with_name("partigan")), "generate", str(run), "--n", str(n), "--out", str(out)]
    words += ["--threads", "1", "--engine", "native", "--parts", "--resume"]
    began = time.perf_counter()
    _, status, usage = os.wait4(os.posix_spawn(words[0], words, dict(os.environ)), 0)
    if status:
        raise SystemExit("partigan generate failed")
    size = sum(path.stat().st_size for path in out.iterdir())
    seconds = time.perf_counter() - began
    shutil.rmtree(out)
    return {"n": n, "seconds": seconds, "memory_gb": usage.ru_maxrss * 1024 / 1e9, "bytes_of_a_jet": size / n}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["generate", "overhead"])
    parser.add_argument("--n", nargs="+", type=int, default=[100_000, 1_000_000])
    parser.add_argument("--folder", type=Path, default=Path("/tmp/scaling"))
    parser.add_argument("--out", type=Path, default=ROOT / "results/scaling.json")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    found = json.loads(options.out.read_text(encoding="utf-8")) if options.out.exists() else {}
    if options.what == "overhead":
        found["overhead"] = overhead(options.folder)
    for n in options.n if options.what == "generate" else ():
        kept = [row for row in found.get("generate", []) if row["n"] != n]
        found["generate"] = sorted([*kept, generated(options.folder, n)], key=lambda row: row["n"])
        options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
