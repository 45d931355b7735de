"""Chunks of a job on the workers of a Dask cluster: a scheduler that runs, Slurm, HTCondor, or this machine."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from itertools import islice
from pathlib import Path
from typing import Any

from partigan import __version__
from partigan.errors import PartiganError
from partigan.extras import require
from partigan.interruption import FINISHING, Interruption
from partigan.progress import tell
from partigan.threads import cores

PLACES = "local, local:WORKERS, slurm:JOBS, htcondor:JOBS or the address of a scheduler, such as tcp://host:8786"
PATIENCE = 30  # seconds to find the scheduler
ANNOUNCED = 60.0  # seconds after which a waiting job is announced again; then twice as many
QUEUES = {"slurm": "squeue", "htcondor": "condor_q"}

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
                _await(client, where)
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
    if name in QUEUES:
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
        PartiganError: workers that do not see the folder, die with every try, or run out of disk or memory; a scheduler
            that is gone.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, once the chunks that were being made are finished.
    """
    from distributed import CancelledError, KilledWorker, as_completed
    from distributed.comm.core import CommClosedError

    client = CLIENT.get()
    _check(client, seen)
    waiting, made = iter(arguments), as_completed()
    futures: set[Any] = set()

    def submit(most: int) -> None:
        """Give the cluster chunks, so many at a time: a job of millions would fill the scheduler."""
        for each in islice(waiting, max(most - len(futures), 0)):
            futures.add(future := client.submit(_made, make, *each, pure=False))
            made.add(future)

    try:
        with Interruption(FINISHING) as interruption:
            submit(_ahead(client))
            for future in made:
                futures.discard(future)
                yield future.result()
                if interruption.requested:
                    _finish(client, futures)
                    raise KeyboardInterrupt
                submit(_ahead(client))
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
            client.cancel(list(futures))


def _ahead(client: Any) -> int:
    """Chunks that a cluster is given at a time: each thread has one to go on with."""
    return 2 * max(int(sum(client.nthreads().values())), 1)


def _finish(client: Any, futures: set[Any]) -> None:
    """Wait for the chunks that are being made; the others are not begun."""
    from distributed import wait

    begun = {key for keys in client.run(_executing).values() for key in keys}
    client.cancel([future for future in futures if future.key not in begun])
    wait([future for future in futures if future.key in begun])


def _executing(dask_worker: Any) -> list[str]:
    """The keys of what a worker is making."""
    return [str(task.key) for task in dask_worker.state.executing]


def _made(make: Callable[..., int], *arguments: Any) -> int:
    """Make a chunk on a worker, which is named where it cannot."""
    try:
        return make(*arguments)
    except (PartiganError, OSError) as error:
        raise PartiganError(f"the worker on {socket.gethostname()} fails: {error}") from error
    except MemoryError as error:
        raise PartiganError(
            f"the worker on {socket.gethostname()} has too little memory for a chunk; give its job more, as memory of "
            "Dask-Jobqueue's configuration says"
        ) from error


def _await(client: Any, where: str) -> None:
    """Wait for the first worker; jobs of a batch system may have to wait, which is said."""
    name, seconds = where.partition(":")[0], ANNOUNCED
    if name in QUEUES:
        tell(f"cluster: jobs are submitted to {name}; waiting for the first to start ({QUEUES[name]} shows them)")
    while True:
        try:
            client.wait_for_workers(1, timeout=seconds)
            return
        except TimeoutError:
            tell(f"cluster: no worker has started yet; {QUEUES.get(name, 'its log')} shows why")
            seconds *= 2


def _check(client: Any, seen: Path) -> None:
    """Refuse workers of another version, and those that do not see the files."""
    for worker, said in client.run(_greeting, seen, on_error="return").items():
        if isinstance(said, ModuleNotFoundError):
            raise PartiganError(f"the worker {worker} has no {said.name}; install partigan {__version__} there")
        if isinstance(said, Exception):  # it has just died; another will do
            continue
        version, sees = said
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
