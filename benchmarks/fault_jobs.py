"""Commands that write, killed, in a race, and on disks that are too small."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from functools import partial
from io import StringIO
from pathlib import Path

from fault_report import Report
from helpers import child, killed, lasting
from partigan import PartiganError, evaluate, generate, train
from partigan.kinds.kind import Conditions
from partigan.simulate import pxd
from partigan.simulate.toys import simulate_toy


class Jobs:
    """Small commands that write, by name; each takes its output and, to race, a number that decides its content.

    Args:
        folder: where their inputs are made.
    """

    def __init__(self, folder: Path) -> None:
        self.data, self.run = folder / "data.h5", folder / "trained"
        simulate_toy("ring", 1000, self.data)
        pxd.CHUNK = 1
        Conditions.block = Conditions.chunk = 100
        self.train(self.run, 1)

    def simulate(self, out: Path, seed: int) -> object:
        """Background hitmaps."""
        return pxd.simulate_pxd(5, out.with_suffix(".h5"), background=0.3, seed=seed, resume=True)

    def train(self, out: Path, seed: int) -> object:
        """A toy."""
        options = {"trainer.max_steps": 60, "trainer.validations": 3, "trainer.checkpoint_seconds": 0.05}
        return train("toys", self.data, out, seed, threads=1, overrides=options, resume=True)

    def generate(self, out: Path, seed: int) -> object:
        """Rows of the toy."""
        return generate(self.run, 2000, out.with_suffix(".h5"), seed, threads=1, resume=True)

    def evaluate(self, out: Path, seed: int) -> object:
        """The toy against itself."""
        options = {"split": "test", "metrics": ["swd"], "threads": 1, "overwrite": True}
        with redirect_stdout(StringIO()):
            return evaluate(self.data, out, self.data, seed=seed, **options)  # type: ignore[arg-type]


Job = Callable[[Path, int], object]
NAMES = ("simulate", "train", "generate", "evaluate")


def made(place: Path) -> Path:
    """The output in a folder."""
    (found,) = (path for path in place.iterdir() if path.stem == "out")
    return found


def kills(report: Report, jobs: Jobs, folder: Path, number: int, seed: int) -> None:
    """Kill each command at random moments, start it again until it ends, and compare with what it makes undisturbed."""
    moments = random.Random(seed)
    for name in NAMES:
        job = getattr(jobs, name)
        place = folder / "place"
        place.mkdir()
        began = time.monotonic()
        assert not killed(child(partial(job, place / "out", 1)))
        seconds, whole = time.monotonic() - began, lasting(made(place))
        done = 0
        while done < number:
            shutil.rmtree(place)
            place.mkdir()
            (place / "mine.txt").write_text("mine", encoding="utf-8")
            here, ended = 0, False
            while not ended:
                pid = child(partial(job, place / "out", 1))
                if done + here < number and here < 5:
                    time.sleep(moments.uniform(0, seconds))
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                try:
                    ended = not killed(pid)
                except AssertionError:
                    report.add("kill -9", name, "other", "the next try ended with an error")
                    break
                here += not ended
            kept = {path.name for path in place.iterdir()} == {"mine.txt", made(place).name} if ended else False
            fine = ended and kept and lasting(made(place)) == whole
            for _ in range(here):
                report.add("kill -9", name, "clean" if fine else "lost", f"after kill {done + here}")
            done += here
        shutil.rmtree(place)


def races(report: Report, jobs: Jobs, folder: Path, number: int) -> None:
    """Two processes that want the same output: one makes it whole, the other is told."""
    for name in NAMES:
        job, place = getattr(jobs, name), folder / "place"
        wholes = []
        for seed in (1, 2):
            place.mkdir()
            assert not killed(child(partial(job, place / "out", seed)))
            wholes.append(lasting(made(place)))
            shutil.rmtree(place)
        for _ in range(number):
            place.mkdir()
            (place / "mine.txt").write_text("mine", encoding="utf-8")
            others = [child(partial(_raced, job, place, seed)) for seed in (1, 2)]
            try:
                ended = not any([killed(pid) for pid in others])
            except AssertionError:
                ended = False
            fine = ended and (place / "mine.txt").exists() and lasting(made(place)) in wholes
            report.add("two processes, one output", name, "clean" if fine else "lost" if ended else "other")
            shutil.rmtree(place)


def _raced(job: Job, place: Path, seed: int) -> None:
    """Write, or keep what was said instead."""
    try:
        job(place / "out", seed)
    except PartiganError as error:
        (place / f"said{seed}.txt").write_text(str(error), encoding="utf-8")


def _limited(job: Job, place: Path, said: Path, most: int) -> None:
    """Write files of at most so many bytes, if any, and keep what was said."""
    if most:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
    try:
        job(place / "out", 1)
        text = "made"
    except PartiganError as error:
        text = str(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    said.write_text(text, encoding="utf-8")


@contextmanager
def small_disk(place: Path, kilobytes: int) -> Iterator[str]:
    """A small file system at a place; where nobody may mount one, a limit of the size of files."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode == 0:
        try:
            yield "full disk"
        finally:
            subprocess.run(["umount", "-l", str(place)], check=True)
    else:
        yield "limit of the size of files"


def disks(report: Report, jobs: Jobs, folder: Path, number: int, seed: int) -> None:
    """Write to disks that are too small, make room, and try again."""
    sizes = random.Random(seed)
    for name in NAMES:
        job = getattr(jobs, name)
        place, said = folder / "place", folder / "said.txt"
        place.mkdir()
        assert not killed(child(partial(job, place / "out", 1)))
        whole = lasting(made(place))
        most = sum(map(len, whole.values())) // 1024 + 8
        shutil.rmtree(place)
        for _ in range(number):
            kilobytes = sizes.randint(4, most)
            place.mkdir()
            with small_disk(place, kilobytes) as what:
                said.unlink(missing_ok=True)
                pid = child(partial(_limited, job, place, said, 0 if what == "full disk" else 1024 * kilobytes))
                status = os.waitpid(pid, 0)[1]
                text = said.read_text(encoding="utf-8") if said.exists() else ""
                one = any(
                    words in text for words in ("made", "disk is full", "is the disk full", "than this place allows")
                )
                left = [path for path in place.iterdir() if path.stem == "out" and path.is_file()]
                half = text != "made" and any(lasting(path) != whole for path in left)
                outcome = "other" if status or not one else "lost" if half else "clean"
                if what == "full disk" and text != "made":
                    subprocess.run(["mount", "-o", "remount,size=1g", str(place)], check=True, capture_output=True)
                if outcome == "clean" and text != "made":
                    again = os.waitpid(child(partial(job, place / "out", 1)), 0)[1]
                    outcome = "clean" if again == 0 and lasting(made(place)) == whole else "lost"
                report.add(what, name, outcome, f"{kilobytes} kB: {text}")
            shutil.rmtree(place)
