from __future__ import annotations

import os
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
