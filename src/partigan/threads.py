"""How many threads the numerical libraries work with: the one place where that is chosen."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from threadpoolctl import threadpool_limits

from partigan.errors import check_number
from partigan.progress import tell

TRIAL = 0.3  # seconds that a number of threads is measured for
GAIN = 1.2  # twice as many threads are taken where they are faster by this factor

Agreed = Callable[[float], float]


def cores() -> int:
    """Cores that this process may use: those of its affinity, and no more than Slurm gave the task."""
    number = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(number, _variable("SLURM_CPUS_PER_TASK") or number)


def set_threads(number: int) -> None:
    """Let torch, BLAS and OpenMP work with so many threads.

    Raises:
        PartiganError: fewer than one.
    """
    check_number("threads", number, most=1024)
    import torch  # takes long, and commands that do without are quick

    torch.set_num_threads(number)
    threadpool_limits(number)


def begin(threads: int | None) -> None:
    """Set the threads that a job begins with: those that were asked for, else one."""
    asked = _asked(threads)
    set_threads(1 if asked is None else asked)


def choose(
    threads: int | None,
    job: Callable[[], Callable[[], object]] | None = None,
    before: int | None = None,
    agreed: Agreed = lambda value: value,
) -> int:
    """Choose the number of threads of a job, set it, and say so.

    Args:
        threads: as the user asks for; None = nothing is asked for.
        job: gives a function that does a short piece of the job, which is measured with one thread, two, four and so
            on up to all cores, as long as more are faster. None = one thread. ``OMP_NUM_THREADS`` comes first.
        before: of a job that is resumed, which ends as it would have without the interruption.
        agreed: makes a number that processes measure the same in all of them.

    Returns:
        The number.
    """
    if threads is not None:
        number, why = threads, "as asked for"
    elif before is not None:
        number, why = before, "as before the interruption"
    elif (asked := _asked(None)) is not None:
        number, why = asked, "as OMP_NUM_THREADS says"
    elif job is None or cores() == 1:
        number, why = 1, f"of {cores()} core{'s' * (cores() > 1)}; --threads takes another number"
    else:
        number, why = _fastest(job(), agreed)
    set_threads(number)
    tell(f"threads: {number} ({why})")
    return number


def _asked(threads: int | None) -> int | None:
    """The number that the user, or else the environment, asks for."""
    return _variable("OMP_NUM_THREADS") if threads is None else threads


def _variable(name: str) -> int | None:
    """A number above 0 in a variable of the environment; OpenMP's may be a list, one for each level."""
    text = os.environ.get(name, "").split(",")[0].strip()
    return int(text) if text.isdecimal() and int(text) > 0 else None


def _fastest(step: Callable[[], object], agreed: Agreed) -> tuple[int, str]:
    """The number of threads with which a step is fastest, and why."""
    number, best, why = 1, _seconds(step, 1, agreed), "measured"
    while number < cores():
        more = min(2 * number, cores())
        seconds = _seconds(step, more, agreed)
        if GAIN * seconds > best:
            return number, f"measured: {more} take {seconds / best:.2g} times as long"
        number, best, why = more, seconds, f"measured: {number} take {best / seconds:.2g} times as long"
    return number, why


def _seconds(step: Callable[[], object], number: int, agreed: Agreed) -> float:
    """Mean time of a step with a number of threads."""
    set_threads(number)
    return step_seconds(step, agreed)


def step_seconds(step: Callable[[], object], agreed: Agreed = lambda value: value) -> float:
    """Mean time of a step, tried for a third of a second.

    Args:
        step: what is timed.
        agreed: as for `choose`.
    """
    step()
    began = time.perf_counter()
    step()
    steps = max(int(agreed(TRIAL / (time.perf_counter() - began))), 1)
    began = time.perf_counter()
    for _ in range(steps):
        step()
    return agreed((time.perf_counter() - began) / steps)
