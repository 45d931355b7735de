"""Chunks of a long job, spread over processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from partigan.cluster import cluster_in_use, gathered
from partigan.errors import PartiganError, check_number
from partigan.interruption import FINISHING, Interruption
from partigan.reading import free_memory, resident_memory


def check_workers(workers: int) -> None:
    """Raise a `PartiganError` for a number of processes that cannot be one."""
    check_number("workers", workers, most=1024)


def spread(make: Callable[..., int], arguments: list[tuple[Any, ...]], workers: int, folder: Path) -> Iterator[int]:
    """Make the chunks of a job in this process or in several, or on a cluster.

    Args:
        make: makes one chunk and returns its number of samples; a function at the top level of a module.
        arguments: of ``make``, for each chunk.
        workers: number of processes.
        folder: where they write.

    Yields:
        The number of samples of each finished chunk.

    Raises:
        PartiganError: a worker process died, or so many do not fit into memory.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, once the chunks that were being made are finished.
    """
    if cluster_in_use():
        yield from gathered(make, arguments, folder)
        return
    if workers == 1 or len(arguments) == 1:
        with Interruption(FINISHING) as interruption:
            for each in arguments:
                yield make(*each)
                if interruption.requested:
                    raise KeyboardInterrupt
        return
    _assure_memory(min(workers, len(arguments)))
    context = multiprocessing.get_context("spawn")
    with (
        Interruption(FINISHING) as interruption,
        ProcessPoolExecutor(workers, mp_context=context, initializer=_as_worker) as pool,
    ):
        try:
            with _no_main():
                futures = [pool.submit(_finished, make, *each) for each in arguments]
            for future in as_completed(futures):
                yield future.result()
                if interruption.requested:
                    raise KeyboardInterrupt
        except BrokenProcessPool as error:
            if interruption.requested:  # of all processes at once: each ends after its chunk
                raise KeyboardInterrupt from error
            raise PartiganError(
                "a worker process died (out of memory?); finished chunks are kept: resume with --resume"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _finished(make: Callable[..., int], *arguments: Any) -> int:
    """Make a chunk in a worker process; one that is asked to end does so when the chunk is finished."""
    with Interruption() as interruption:
        made = make(*arguments)
    if interruption.requested:
        os._exit(0)
    return made


def _assure_memory(workers: int) -> None:
    """Refuse more workers than fit into memory, each of which needs about as much as this process has."""
    each, free = resident_memory(), free_memory()
    if each and workers * each > free:
        raise PartiganError(
            f"{workers} workers need about {workers * each / 1e9:.2g} GB of memory, and {max(free, 0) / 1e9:.2g} GB "
            f"are free; give --workers {max(int(free / each), 1)} or fewer"
        )


@contextmanager
def _no_main() -> Iterator[None]:
    """Keep workers from importing the user's script, which then needs no guard at its top level."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _as_worker() -> None:
    """Leave Ctrl-C to the parent, and end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def follow() -> None:
        if (parent := multiprocessing.parent_process()) is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
