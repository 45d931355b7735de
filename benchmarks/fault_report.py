"""Counts of what faults lead to, and processes with limits that try them."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from fault_files import digest
from partigan import PartiganError

ROOT = Path(__file__).parents[1]
COLUMNS = ("tried", "clean", "other", "hung", "crashed", "unbounded", "silent", "lost", "executed")
SECONDS, MEGABYTES = 30.0, 500
STARTING = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "pty.spawn")
Rows = dict[tuple[str, str], Counter[str]]


class Report:
    """Counts by fault and by what it was done to, with examples of everything that is not clean.

    Args:
        part: its name in ``faults.json``.
        command: that makes it.
        out: folder of ``faults.json``, written after every hundred faults; None = nothing is written.

    Attributes:
        rows: outcomes by (fault, command or reader).
        examples: what happened, in words.
    """

    def __init__(self, part: str = "", command: str = "", out: Path | None = None) -> None:
        self.part, self.command, self.out = part, command, out
        self.rows: Rows = {}
        self.examples: list[str] = []

    def add(self, fault: str, what: str, outcome: str, detail: str = "") -> None:
        """Count one."""
        self.rows.setdefault((fault, what), Counter()).update(["tried", outcome])
        if outcome != "clean":
            self.examples.append(f"{fault}, {what}: {outcome}: {detail}"[:600])
            print(self.examples[-1], flush=True)
        if sum(row["tried"] for row in self.rows.values()) % 100 == 0:
            self.write()

    def write(self) -> None:
        """Replace the numbers of this part in ``faults.json``, and the table in the page where that is its place."""
        if self.out is None:
            return
        numbers = [{"fault": fault, "what": what, **row} for (fault, what), row in self.rows.items()]
        self.out.mkdir(parents=True, exist_ok=True)
        path = self.out / "faults.json"
        kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        kept[self.part] = {"command": self.command, "rows": numbers, "examples": self.examples}
        fresh = path.with_suffix(f".{self.part}")  # another process may write other parts
        fresh.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
        fresh.replace(path)
        page = ROOT / "docs" / "reliability.md"
        if self.out == ROOT / "results":
            before, _, rest = page.read_text(encoding="utf-8").partition("<!-- table -->\n")
            after = rest.partition("<!-- end -->")[2]
            page.write_text(f"{before}<!-- table -->\n{table(kept)}\n<!-- end -->{after}", encoding="utf-8")


def table(parts: dict[str, Any]) -> str:
    """All numbers as Markdown."""
    lines = [f"| fault | to what | {' | '.join(COLUMNS)} |", f"|---|---|{'--:|' * len(COLUMNS)}"]
    total: Counter[str] = Counter()
    for row in (row for part in parts.values() for row in part["rows"]):
        numbers = [int(row.get(name, 0)) for name in COLUMNS]
        total.update(dict(zip(COLUMNS, numbers, strict=True)))
        lines.append(f"| {row['fault']} | {row['what']} | {' | '.join(f'{n:,}' for n in numbers)} |")
    lines.append(f"| **all** | | {' | '.join(f'**{total[name]:,}**' for name in COLUMNS)} |")
    return "\n".join(lines)


def outcome_of(call: Callable[[], Any], fine: Callable[[str], bool], marks: list[str]) -> tuple[str, str]:
    """What a call does.

    Args:
        call: it.
        fine: whether a result, given by its digest, may be accepted.
        marks: names of processes that were started.
    """
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, len(marks)
    outcome, detail = "clean", ""
    try:
        found = digest(call())
        if not fine(found):
            outcome, detail = "silent", "accepted"
    except PartiganError as error:
        detail = str(error)
        if "\n" in detail:
            outcome = "other"
        elif isinstance(error.__cause__, MemoryError):
            outcome = "unbounded"
    except Exception as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "partigan" in frame.filename]
        place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
        outcome, detail = "other", f"{type(error).__name__} at {place}: {error}"
    if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before > 1024 * MEGABYTES:
        outcome = "unbounded"
    if len(marks) > began:
        outcome, detail = "executed", str(marks[began:])
    return outcome, detail


class Worker:
    """A copy of this process with limits, that tries cases one by one.

    Args:
        cases: given the number of a case, tries it and gives outcome and detail.
    """

    def __init__(self, cases: Callable[[int, list[str]], tuple[str, str]]) -> None:
        self._cases = cases
        self._start()

    def _start(self) -> None:
        self._mine, theirs = multiprocessing.Pipe()
        self._pid = os.fork()
        if self._pid == 0:
            self._mine.close()
            self._work(theirs)
        theirs.close()

    def _work(self, pipe: Connection) -> None:
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        taken = 4096 * int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (taken + 2**32, taken + 2**32))
        marks: list[str] = []
        sys.addaudithook(lambda event, _: marks.append(event) if event in STARTING else None)
        try:
            while True:
                pipe.send(self._cases(pipe.recv(), marks))
        except (EOFError, OSError):
            os._exit(0)
        except BaseException:
            os._exit(1)

    def attempt(self, number: int) -> tuple[str, str]:
        """Try a case; a worker that does not answer or that grew is replaced."""
        self._mine.send(number)
        outcome, detail = "hung", f"case {number}"
        if self._mine.poll(SECONDS):
            try:
                outcome, detail = self._mine.recv()
            except (EOFError, OSError):
                outcome, detail = "crashed", f"case {number}"
        if outcome in ("hung", "crashed", "unbounded"):
            self.close()
            self._start()
        return outcome, detail

    def close(self) -> None:
        """End it."""
        self._mine.close()
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
