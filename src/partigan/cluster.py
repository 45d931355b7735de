"""Chunks of a job on the workers of a Dask cluster: a scheduler that runs, Slurm, HTCondor, or this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from partigan import __version__
from partigan.errors import PartiganError
from partigan.extras import require
from partigan.progress import tell
from partigan.threads import cores

PLACES = "local, local:WORKERS, slurm:JOBS, htcondor:JOBS or the address of a scheduler, such as tcp://host:8786"
PATIENCE = 30  # seconds to find the scheduler

CLIENT: ContextVar[Any] = ContextVar("client", default=None)


@contextmanager
def on_cluster(where: str | None) -> Iterator[None]:
    """Make the chunks of all jobs inside on a cluster, whose workers see the same files.

    What comes out is that of one process, bit for bit. Chunks of workers that die are made again.

    Args:
        where: ``local`` or ``local:4`` for processes of this machine; ``slurm:20`` or ``htcondor:20`` for so many jobs,
            as Dask-Jobqueue is configured; ``tcp://host:8786`` for a scheduler that runs; None = no cluster.

    Raises:
        PartiganError: there is no such cluster, it cannot be reached, or its workers have another partigan.

    Example:
        >>> with on_cluster("slurm:20"):  # doctest: +SKIP
        ...     simulate_jets(10_000_000, "jets.h5")
    """
    if where is None:
        yield
        return
    require("cluster", "distributed")
    from distributed import Client

    with ExitStack() as stack:
        try:
            place = _place(where, stack)
            client = stack.enter_context(Client(place, timeout=PATIENCE))
            if not isinstance(place, str):
                client.wait_for_workers(1)
        except (OSError, TimeoutError, ValueError) as error:
            raise PartiganError(f"--cluster {where} cannot be reached: {error or 'no answer'}") from error
        tell(f"cluster: {len(client.scheduler_info()['workers'])} workers; dashboard: {client.dashboard_link}")
        token = CLIENT.set(client)
        try:
            yield
        finally:
            CLIENT.reset(token)


def _place(where: str, stack: ExitStack) -> Any:
    """The address of a scheduler, or a cluster that is made and ends with ``stack``."""
    name, _, number = where.partition(":")
    if "://" in where:
        return where
    if number and not (number.isdecimal() and int(number)):
        raise PartiganError(f"--cluster {where}: {number!r} is not a number above 0; there are {PLACES}")
    if name == "local":
        from distributed import LocalCluster

        many = int(number or cores())
        return stack.enter_context(LocalCluster(n_workers=many, threads_per_worker=1, dashboard_address=None))
    if name in ("slurm", "htcondor"):
        require("cluster", "dask_jobqueue")
        from dask_jobqueue.htcondor import HTCondorCluster
        from dask_jobqueue.slurm import SLURMCluster

        cluster = stack.enter_context(SLURMCluster() if name == "slurm" else HTCondorCluster())
        cluster.scale(jobs=int(number or 1))
        return cluster
    raise PartiganError(f"--cluster {where}: there is {PLACES}")


def cluster_in_use() -> bool:
    """Whether the chunks of a job are made on a cluster."""
    return CLIENT.get() is not None


def gathered(make: Callable[..., int], arguments: list[tuple[Any, ...]], seen: Path) -> Iterator[int]:
    """Make the chunks of a job on the cluster.

    Args:
        make: makes one chunk and returns its number of samples; a function at the top level of a module.
        arguments: of ``make``, for each chunk.
        seen: a folder that the workers have to see.

    Yields:
        The number of samples of each finished chunk.

    Raises:
        PartiganError: workers that do not see the folder, or die with every try; a scheduler that is gone.
    """
    from distributed import CancelledError, KilledWorker, as_completed
    from distributed.comm.core import CommClosedError

    client = CLIENT.get()
    _check(client, seen)
    futures = [client.submit(make, *each, pure=False) for each in arguments]
    try:
        for future in as_completed(futures):
            yield future.result()
    except KilledWorker as error:
        raise PartiganError(
            f"workers died with a chunk, the last of them {error.last_worker.address} (out of memory or disk?); "
            "finished chunks are kept: resume with --resume"
        ) from error
    except (CancelledError, CommClosedError, asyncio.CancelledError) as error:
        raise PartiganError(
            "the cluster's scheduler is gone; finished chunks are kept: resume with --resume"
        ) from error
    finally:
        if client.status == "running":
            client.cancel(futures)


def _check(client: Any, seen: Path) -> None:
    """Refuse workers of another version, and those that do not see the files."""
    try:
        found = client.run(_greeting, seen)
    except ModuleNotFoundError as error:
        raise PartiganError(
            f"the cluster's workers have no {error.name}; install partigan {__version__} there"
        ) from error
    for worker, (version, sees) in found.items():
        if version != __version__:
            raise PartiganError(
                f"the worker {worker} has partigan {version}, and this is {__version__}; install the same"
            )
        if not sees:
            raise PartiganError(
                f"the worker {worker} does not see {seen}; write to a file system that all workers share"
            )


def _greeting(seen: Path) -> tuple[str, bool]:
    """What a worker says of itself."""
    return __version__, seen.exists()
