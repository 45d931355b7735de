"""Jobs on Dask workers that are killed, lose their scheduler, or run out of disk."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import torch

from fault_report import Report
from partigan import PartiganError
from partigan.cluster import on_cluster
from partigan.data.batch import Batch
from partigan.data.samples import read_samples, write_samples
from partigan.simulate.chunks import Chunks, simulated

CHUNKS, ROWS = 12, 200
SECONDS = 0.1  # of a chunk
SERVER = """
import sys
from distributed import LocalCluster
if __name__ == "__main__":
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    print(cluster.scheduler_address, *(worker.pid for worker in cluster.workers.values()), flush=True)
    sys.stdin.read()
"""


def chunk(path: Path, number: int, size: int) -> int:
    """Rows that depend on the number of the chunk."""
    time.sleep(SECONDS)
    x = np.random.default_rng(number).normal(size=(size, 2)).astype("f4")
    write_samples(path, "rows", [Batch(torch.from_numpy(x))], {"kind": "tables"})
    return size


def merged(path: Path, parts: list[Path], said: dict[str, object]) -> None:
    """The file of all rows."""
    write_samples(path, "rows", (read_samples(part, "all", "rows", 2) for part in parts), said)


def job(out: Path, resume: bool = True) -> bytes:
    """A file in chunks, here or on a cluster; what it holds."""
    chunks = Chunks(CHUNKS * ROWS, ROWS, "rows", chunk, lambda number, size: (number, size), merged)
    return simulated(out, {"kind": "tables"}, chunks, workers=1, resume=resume, overwrite=False).read_bytes()


@contextmanager
def cluster(folder: Path) -> Iterator[tuple[str, int, list[int]]]:
    """A scheduler with two workers in processes of their own: its address, its process, and those of the workers."""
    script = folder / "server.py"
    script.write_text(SERVER, encoding="utf-8")
    here = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    server = subprocess.Popen(
        [sys.executable, str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=here,
        text=True,
    )
    assert server.stdout is not None
    address, *workers = server.stdout.readline().split()
    try:
        yield address, server.pid, [int(pid) for pid in workers]
    finally:
        server.kill()
        server.wait()
        for pid in workers:
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)


def clusters(report: Report, folder: Path, number: int, seed: int) -> None:
    """Break something while a job runs on two workers, go on without them, and compare with the file of one process."""
    moments = random.Random(seed)
    whole = job(folder / "whole.h5")
    for fault in ("killed worker", "lost scheduler", "full disk on one worker"):
        for _ in range(number):
            outcome, text = _broken(fault, folder, moments.uniform(0.5, 1.5) * SECONDS * CHUNKS / 4, whole)
            report.add(fault, "Dask", outcome, text)


def _broken(fault: str, folder: Path, moment: float, whole: bytes) -> tuple[str, str]:
    """One job with a fault."""
    place, text = folder / "place", "made"
    place.mkdir()
    with cluster(folder) as (address, server, workers):
        breaks: dict[str, Callable[[], None]] = {
            "killed worker": lambda: os.kill(workers[0], signal.SIGKILL),
            "lost scheduler": lambda: os.kill(server, signal.SIGKILL),
            "full disk on one worker": lambda: _fill(workers[0]),
        }
        timer = threading.Timer(moment, breaks[fault])
        try:
            with on_cluster(address):
                timer.start()
                made = job(place / "out.h5")
        except PartiganError as error:
            text = str(error)
        timer.cancel()
    told = text == "made" if fault == "killed worker" else "\n" not in text and "the worker on" in text
    told |= fault == "lost scheduler" and ("scheduler is gone" in text or text == "made")
    again = made if text == "made" else job(place / "out.h5")
    left = sorted(path.name for path in place.iterdir())
    shutil.rmtree(place)
    return "lost" if again != whole or left != ["out.h5"] else "clean" if told else "other", text


def _fill(worker: int) -> None:
    """Let a worker write files of a few bytes only: its disk is full."""
    resource.prlimit(worker, resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
