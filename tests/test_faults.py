"""The quick version of benchmarks/faults.py, and whether it sees what it looks for."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fault_files
from fault_report import Report, Worker, outcome_of
from faults import bounds, mutations
from partigan.errors import PartiganError


def test_damaged_files_and_numbers_that_nobody_can_mean(tmp_path: Path) -> None:
    fault_files.make(tmp_path / "files")
    report = Report()
    mutations(report, tmp_path / "files", number=22, seed=7)
    bounds(report, tmp_path)
    assert sum(row["tried"] for row in report.rows.values()) > 250
    assert not report.examples


def _memory() -> int:
    return int(np.ones(10**8).sum())


def _refused() -> None:
    raise PartiganError("a line")


def _out_of_memory() -> None:
    try:
        raise MemoryError
    except MemoryError as error:
        raise PartiganError("a line") from error


@pytest.mark.parametrize(
    ("call", "outcome"),
    [
        (_refused, "clean"),
        (lambda: "good", "clean"),
        (lambda: "bad", "silent"),
        (lambda: [][0], "other"),
        (lambda: all(iter(lambda: True, False)), "hung"),
        (os.abort, "crashed"),
        (_memory, "unbounded"),
        (_out_of_memory, "unbounded"),
        (lambda: subprocess.run("true", check=True) and "good", "executed"),
    ],
)
def test_what_happens_is_seen(call: Callable[[], Any], outcome: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fault_report.SECONDS", 2.0 if outcome == "hung" else 60.0)
    good = fault_files.digest("good")
    worker = Worker(lambda _, marks: outcome_of(call, lambda found: found == good, marks))
    assert worker.attempt(0)[0] == outcome
    worker.close()
