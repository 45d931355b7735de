"""How many threads are chosen, and that everybody keeps to it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest
import torch
from threadpoolctl import threadpool_info

from partigan import threads
from partigan.errors import PartiganError


@pytest.fixture(autouse=True)
def nobody_asks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(threads, "TRIAL", 0.01)
    yield
    threads.set_threads(1)


def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which only a step moves on."""
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return now


def job(seconds: dict[int, float], tried: list[int], clock: list[float]) -> object:
    """A job whose step takes so long with each number of threads."""

    def step() -> None:
        tried.append(torch.get_num_threads())
        clock[0] += seconds[torch.get_num_threads()]

    return lambda: step


def test_affinity_and_slurm_limit_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    four_cores(monkeypatch)
    assert threads.cores() == 4
    for text, number in (("2", 2), ("64", 4), ("", 4), ("many", 4), ("0", 4)):
        monkeypatch.setenv("SLURM_CPUS_PER_TASK", text)
        assert threads.cores() == number


def test_more_threads_are_taken_only_where_they_are_faster(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], clock: list[float]
) -> None:
    four_cores(monkeypatch)
    for seconds, number, most in (
        ({1: 0.002, 2: 0.004, 4: 0.001}, 1, 2),
        ({1: 0.008, 2: 0.004, 4: 0.008}, 2, 4),
        ({1: 0.008, 2: 0.004, 4: 0.001}, 4, 4),
    ):
        tried: list[int] = []
        assert threads.choose(None, job(seconds, tried, clock)) == torch.get_num_threads() == number  # type: ignore[arg-type]
        assert max(tried) == most
        assert f"threads: {number} (measured: " in capsys.readouterr().err


def test_a_job_on_one_core_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    four_cores(monkeypatch)
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")
    assert threads.choose(None, job({}, [], [])) == 1  # type: ignore[arg-type]


def test_what_is_asked_for_comes_first(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    four_cores(monkeypatch)
    assert threads.choose(None) == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "3,2")
    assert threads.choose(None, job({}, [], [])) == 3  # type: ignore[arg-type]
    assert threads.choose(None, before=2) == 2
    assert threads.choose(4, before=2) == torch.get_num_threads() == 4
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("threads: ")]
    assert said == [
        "threads: 1 (of 4 cores; --threads takes another number)",
        "threads: 3 (as OMP_NUM_THREADS says)",
        "threads: 2 (as before the interruption)",
        "threads: 4 (as asked for)",
    ]
    with pytest.raises(PartiganError, match="threads = 0; at least one"):
        threads.choose(0)


def test_all_numerical_libraries_keep_to_the_number() -> None:
    threads.set_threads(2)
    assert {library["num_threads"] for library in threadpool_info()} == {2}
    threads.set_threads(1)
    assert {library["num_threads"] for library in threadpool_info()} == {1}


def test_a_job_begins_with_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    four_cores(monkeypatch)
    torch.set_num_threads(3)
    threads.begin(None)
    assert torch.get_num_threads() == 1
    with pytest.raises(PartiganError, match="threads = 0"):
        threads.begin(0)
