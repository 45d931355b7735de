"""How fast everything is, on one core, side by side in one run: one command, one page.

    python benchmarks/speed.py [--only monte-carlo generation ...] [--turns 5] [--threads 1] [--json results/speed.json]

- monte-carlo: generators, from noise to physical units, beside the simulators of their training data;
- generation: forward passes by torch, compiled C and ONNX Runtime, noise drawn before, groups of the size that
  `partigan generate` gives torch; the last row is `partigan generate` as a user calls it, to a file;
- growth: the same with more particles, and with fewer jets at once;
- training: a turn of every phase; MDMA and MPGAN beside their plain formulation (`networks.py`);
- metrics: beside plain formulations with numpy and scipy;
- start: commands in processes of their own, beside Python that does nothing.

Networks have fresh weights, but for runs that come with partigan. Jobs take turns of a quarter of a second or of one
call. Times are medians; ratios are of turns that follow each other: median, least and largest. ``--json`` writes the
numbers, and the page beside them; parts that are left out keep what the file has of them.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from partigan.compiling import compiler
from partigan.documents import read_json
from partigan.files import write_json
from side_by_side import table, turns
from speed_generators import Row, generation, growth
from speed_metrics import metrics
from speed_monte_carlo import Samples, monte_carlo, training

CALL = "from partigan.cli import main; main({})"
COMMANDS = {
    "`partigan --help`": CALL.format(["--help"]),
    "`partigan list`": CALL.format(["list"]),
    "`partigan train --help`": CALL.format(["train", "--help"]),
    "`import partigan`": "import partigan",
    '`partigan.load("pxd-fast")`': "import partigan; partigan.load('pxd-fast')",
    "`import torch`, nothing of ours": "import torch",
}
TITLES = {
    "monte-carlo": ("Generators beside simulators", "sample, generator"),
    "generation": ("Forward passes", "generator"),
    "growth": ("With more particles, and fewer jets at once", "generator"),
    "training": ("Steps of training", "preset"),
    "metrics": ("Metrics", "metric"),
    "start": ("Start", "command"),
}


def start(number: int) -> Iterator[Row]:
    """Processes from beginning to end."""

    def process(code: str) -> Callable[[], int]:
        def job() -> int:
            subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
            return 1

        return job

    for name, code in COMMANDS.items():
        yield name, turns({"this": process(code), "Python": process("pass")}, number)


def page(found: dict[str, Any]) -> str:
    """All parts as markdown."""
    lines = [found["machine"]]
    for part, (title, of) in TITLES.items():
        if part in found["parts"]:
            rows, minutes = found["parts"][part]["rows"], found["parts"][part]["seconds"] / 60
            lines += ["", f"## {title}", "", *table(of, rows), "", f"`--only {part}`: {minutes:.1f} minutes"]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=TITLES, default=[*TITLES])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    version = subprocess.run([str(compiler()), "--version"], capture_output=True, text=True, check=True).stdout
    said = f"{platform.machine()}, {options.threads} threads, torch {torch.__version__}, {version.splitlines()[0]}"
    found: dict[str, Any] = {"machine": f"{said}, medians of {options.turns} turns", "parts": {}}
    if options.json and options.json.exists():
        found["parts"] = read_json(options.json).get("parts", {})
    with TemporaryDirectory() as folder:
        samples = Samples(Path(folder))
        parts: dict[str, Callable[[], Iterable[Row]]] = {
            "monte-carlo": lambda: monte_carlo(samples, options.turns),
            "generation": lambda: generation(Path(folder), options.threads, options.turns),
            "growth": lambda: growth(options.turns),
            "training": lambda: training(samples, options.turns),
            "metrics": lambda: metrics(options.turns),
            "start": lambda: start(options.turns),
        }
        for part in options.only:
            began = time.perf_counter()
            rows = {}
            for name, row in parts[part]():
                rows[name] = row
                print(f"{time.perf_counter() - began:.0f} s: {part}, {name}", file=sys.stderr)
            found["parts"][part] = {"rows": rows, "seconds": round(time.perf_counter() - began)}
            if options.json:
                write_json(options.json, found)
                options.json.with_suffix(".md").write_text(page(found), encoding="utf-8")
    print(page({**found, "parts": {part: found["parts"][part] for part in options.only}}))


if __name__ == "__main__":
    main()
