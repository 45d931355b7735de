"""Jobs on the workers of a Dask cluster."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from partigan import cluster
from partigan.cli import main
from partigan.cluster import on_cluster
from partigan.errors import PartiganError
from partigan.simulate.traces import simulate_traces

needs_dask = pytest.mark.skipif(find_spec("distributed") is None, reason="distributed is not installed")
SCRIPT = """
import os, signal, sys
from pathlib import Path
import numpy as np, torch
from distributed import LocalCluster
from partigan.cluster import on_cluster
from partigan.data.batch import Batch
from partigan.data.samples import read_samples, write_samples
from partigan.simulate.chunks import Chunks, simulated

folder = Path(sys.argv[1])
os.chdir(folder)

def make(path, seed, size, died):
    if seed == 1 and not died.exists():  # the second chunk kills its worker, once
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    rows = torch.from_numpy(np.random.default_rng(seed).normal(size=(size, 2)).astype("float32"))
    write_samples(path, "rows", [Batch(rows)], {"kind": "tables"})
    return size

def merge(path, parts, said):
    write_samples(path, "rows", (read_samples(part, "all", "rows", 2) for part in parts), said)

def job(name):
    chunks = Chunks(10, 3, "rows", make, lambda number, size: (number, size, folder / "died"), merge)
    return simulated(Path(name), {"kind": "tables"}, chunks, workers=1, resume=False, overwrite=False).read_bytes()

if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as workers:
        with on_cluster(workers.scheduler_address):
            there = job("there.h5")
    assert (folder / "died").exists()
    assert there == job("here.h5")
    print("the same")
"""


@needs_dask
def test_files_are_those_of_one_process_though_a_worker_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    done = subprocess.run([sys.executable, str(script), str(tmp_path)], capture_output=True, text=True, check=False)
    assert "the same" in done.stdout, done.stderr
    assert "cluster: 2 workers" in done.stderr


class Client(SimpleNamespace):
    """A cluster whose workers say what they are told to say."""

    status = "closed"

    def run(self, *_: Any, **__: Any) -> dict[str, tuple[str, bool]]:
        return {"tcp://node7:4000": self.said}

    def submit(self, *_: Any, **__: Any) -> None:
        raise AssertionError("nothing may be made")


@needs_dask
@pytest.mark.parametrize(
    ("said", "match"),
    [
        (("0.0.1", True), r"the worker tcp://node7:4000 has partigan 0\.0\.1, and this is"),
        (
            (cluster.__version__, False),
            r"tcp://node7:4000 does not see .*; write to a file system that all workers share",
        ),
    ],
)
def test_workers_that_would_make_something_else_are_refused(
    said: tuple[str, bool], match: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = cluster.CLIENT.set(Client(said=said))
    try:
        with pytest.raises(PartiganError, match=match):
            list(cluster.gathered(len, [()], tmp_path))
    finally:
        cluster.CLIENT.reset(token)


@needs_dask
@pytest.mark.parametrize(
    ("where", "match"),
    [
        ("condor", r"--cluster condor: there is local, .*htcondor:JOBS"),
        ("slurm:many", "'many' is not a number above 0"),
        ("slurm:0", "'0' is not a number above 0"),
        ("tcp://nowhere:1", "--cluster tcp://nowhere:1 cannot be reached: Timed out"),
    ],
)
def test_clusters_that_are_not_there(
    where: str, match: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import distributed

    def silent(*_: Any, **__: Any) -> None:
        raise OSError("Timed out")

    monkeypatch.setattr(distributed, "Client", silent)
    with pytest.raises(SystemExit):
        main(["simulate", "traces", "--n", "10", "--out", str(tmp_path / "a.h5"), "--cluster", where])
    said = capsys.readouterr().err
    assert re.search(match, said), said
    assert not (tmp_path / "a.h5").exists()


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("partigan.extras.find_spec", lambda name: None)
    with pytest.raises(PartiganError, match=r"pip install 'partigan\[cluster\]'"), on_cluster("local"):
        pass


@pytest.mark.skipif(find_spec("dask_jobqueue") is None, reason="dask-jobqueue is not installed")
def test_jobs_of_slurm_make_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """What Dask-Jobqueue submits is run as it is, by commands that stand in for those of Slurm."""
    submit = 'cp "$1" "$0.job"\nsh "$0.job" >"$0.log" 2>&1 & echo "Submitted batch job $!"'
    for name, text in (("sbatch", submit), ("scancel", "kill $1 2>/dev/null; true")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for key, value in {"cores": "1", "memory": "2GB"}.items():
        monkeypatch.setenv(f"DASK_JOBQUEUE__SLURM__{key.upper()}", value)
    words = [Path(sys.executable).with_name("partigan"), "simulate", "traces", "--n", "20"]
    command = [*map(str, words), "--out", str(tmp_path / "a.h5"), "--cluster", "slurm:1"]
    process = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + 240
        while not (tmp_path / "a.h5").exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.2)
        with contextlib.suppress(subprocess.TimeoutExpired):  # Dask has been seen to wait for ever when it closes
            assert process.wait(30) == 0
    finally:
        process.kill()
    assert "jobs are submitted to slurm; waiting for the first to start" in capfd.readouterr().err
    assert (tmp_path / "a.h5").read_bytes() == simulate_traces(20, tmp_path / "b.h5").read_bytes()
