from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from partigan.data.jets import read_jets
from partigan.errors import PartiganError
from partigan.workers import spread


def test_chunks_are_made_in_this_process_or_in_several() -> None:
    for workers in (1, 2):
        assert sorted(spread(abs, [(-1,), (2,), (-3,)], workers, Path())) == [1, 2, 3]


def test_a_dead_worker_is_reported() -> None:
    with pytest.raises(PartiganError, match=r"a worker process died .*--resume"):
        list(spread(os._exit, [(1,), (1,)], 2, Path()))


UNGUARDED = """
import sys, partigan
from partigan.simulate import jets
jets.CHUNK = 6
print("imported")
partigan.simulate_jets("q", 12, sys.argv[1], workers=2)
"""


def test_workers_do_not_import_the_users_script(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(UNGUARDED)
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "a.h5")]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert printed.count("imported") == 1
    assert len(read_jets(tmp_path / "a.h5").jets) == 12


def asked_to_end(path: Path, number: int) -> int:
    """A chunk; while the first is made, the job is asked to end."""
    if number == 0:
        os.kill(os.getpid(), signal.SIGTERM)
    path.with_name(f"{number}").touch()
    return 1


def test_a_chunk_is_finished_when_the_job_is_asked_to_end(tmp_path: Path) -> None:
    made = []
    with pytest.raises(KeyboardInterrupt):
        made.extend(spread(asked_to_end, [(tmp_path / "a", number) for number in range(3)], 1, tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["0"]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_workers_that_do_not_fit_into_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("partigan.workers.free_memory", lambda: 3 * 10**9)
    monkeypatch.setattr("partigan.workers.resident_memory", lambda: 10**9)
    with pytest.raises(
        PartiganError, match=r"4 workers need about 4 GB of memory, and 3 GB are free; give --workers 3"
    ):
        list(spread(abs, [(number,) for number in range(9)], 4, Path()))
