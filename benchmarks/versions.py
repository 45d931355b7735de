"""This checkout against version 0.1.0: training and generation with `mdma-fast`, jets a second, side by side.

    python benchmarks/versions.py --old PATH_TO_SRC_OF_0.1.0 [--threads 1] [--repeats 7] [--data top.h5]
        [--json results/versions.json]

Each version has a process of its own, whose PYTHONPATH says which partigan it imports. Every repeat starts both anew,
because where a process happens to lie in memory is worth several per cent. They take turns of a few seconds, each first
in every other repeat; a short turn warms up. Both train on the same file, without validations, and generate 16,384
jets at a time with the untrained generator of the same seed. Without --data, Pythia simulates the jets where it is
installed; else they are toys. The ratio is that of two turns that follow each other, new over old. ``--json`` writes
the table beside the JSON, too.

The other checkout must have the layout of version 0.1.0 (`partigan.training.train`, `partigan.sampling`).
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch

PRESET, SEED, TOTAL = "mdma-fast", 1, 10_000
CPU = {"trainer.accelerator": "cpu"}
GENERATED = 16_384  # two blocks of jets
WARM = 0.5  # seconds of the turn that warms up
VERSIONS = ("old", "new")


class Jobs(NamedTuple):
    """What is measured of one version; both take a running number.

    Attributes:
        step: a training step.
        batch: jets of a step.
        sample: generates ``GENERATED`` jets.
    """

    step: Callable[[int], Any]
    batch: int
    sample: Callable[[int], Any]


def old(data: Path) -> Jobs:
    """The jobs of version 0.1.0."""
    from partigan.sampling import Sampler
    from partigan.training.train import prepare

    from partigan.config import parse_training
    from partigan.data.loader import Loader
    from partigan.kinds import kind_named
    from partigan.run import Run
    from partigan.training.trainer import Players

    kind = kind_named("jets")
    real = kind.read(data, "train")
    config, arguments = parse_training(PRESET, CPU), kind.network_arguments(real)
    system, transform, trainer, held = prepare(Run(Path("unused")), config, {}, real, arguments, False, SEED)
    generator = copy.deepcopy(system.networks["generator"]).eval()
    sampler = Sampler(generator, transform, kind, kind.conditions(data))
    players, loader = Players(trainer.fabric, system), Loader(held, trainer.batch_size, SEED, transform=transform)
    return Jobs(
        lambda number: players.train_step(number, TOTAL, loader, SEED, trainer.gradient_clip),
        trainer.batch_size,
        lambda number: sampler.sample(GENERATED, SEED, number),
    )


def new(data: Path) -> Jobs:
    """The jobs of this checkout."""
    from partigan.config import read
    from partigan.data.loader import Loader
    from partigan.kinds.jets import JETS
    from partigan.models.model import Model
    from partigan.run import Run
    from partigan.systems.system import DATA
    from partigan.training.players import Feed, Players
    from partigan.training.session import Session

    real = JETS.format.training(data)
    session = Session(Run("unused"), read(PRESET, CPU), SEED)
    session.prepare({DATA: real}, JETS.conditions.arguments(real), {})
    state = JETS.conditions.state(real, JETS.format.describe(data))
    model = Model(copy.deepcopy(session.system.networks["generator"]), session.transform, JETS, state)
    options = session.trainer.options
    loader = Loader(session.transform.held(real), options.batch_size, SEED, transform=session.transform)
    feed = Feed({DATA: loader}, SEED, session.physical)
    players = Players(session.trainer.fabric, session.system, feed, options.gradient_clip)
    return Jobs(
        lambda number: players.train_step(number, TOTAL),
        options.batch_size,
        lambda number: model.sample(GENERATED, SEED, number * GENERATED),
    )


def work(version: str, data: Path, threads: int) -> None:
    """Answer every line of the input, such as ``training 4.0``, with the jets a second of a turn."""
    import partigan

    torch.set_num_threads(threads)
    jobs = {"old": old, "new": new}[version](data)
    cases = {"training": (jobs.step, jobs.batch), "generation": (jobs.sample, GENERATED)}
    done = dict.fromkeys(cases, 0)
    print(Path(str(partigan.__file__)).parents[1], flush=True)
    for line in sys.stdin:
        case, seconds = line.split()
        (job, jets), first, began = cases[case], done[case], time.perf_counter()
        while done[case] == first or time.perf_counter() - began < float(seconds):
            job(done[case])
            done[case] += 1
        print((done[case] - first) * jets / (time.perf_counter() - began), flush=True)


class Worker:
    """The process of one version.

    Args:
        version: old or new.
        source: folder of its partigan.
        data: file of jets.
        threads: torch's threads.

    Raises:
        RuntimeError: the process ends, or imports another partigan.
    """

    def __init__(self, version: str, source: Path, data: Path, threads: int) -> None:
        command = [sys.executable, __file__, "--worker", version, "--data", str(data), "--threads", str(threads)]
        environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": str(threads)}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True)
        if Path(found := self._line()) != source:
            self.close()
            raise RuntimeError(f"the {version} process imports partigan from {found}, not from {source}")

    def turn(self, case: str, seconds: float) -> float:
        """Jets a second."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{case} {seconds}\n")
        self.process.stdin.flush()
        return float(self._line())

    def _line(self) -> str:
        assert self.process.stdout is not None
        if not (line := self.process.stdout.readline()):
            raise RuntimeError(f"a process ended: {self.process.args}")
        return line.strip()

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


def jets_file(path: Path, jets: int) -> str:
    """Write a file of jets; says what they are."""
    if find_spec("pythia8mc") and find_spec("fastjet"):
        from partigan import simulate_jets

        simulate_jets("t", jets, path, particles=30, seed=SEED)
        return "top jets from Pythia"
    from partigan.data.jets import write_jets
    from toy_jets import toy_jets

    first, second = (int(share * jets) for share in (0.7, 0.85))
    splits = {"split_train": (0, first), "split_valid": (first, second), "split_test": (second, jets)}
    write_jets(path, [toy_jets(jets)], splits)
    return "toy jets"


def table(found: dict[str, Any]) -> str:
    """Markdown: medians, and the least and largest ratio."""
    lines = [
        f"{PRESET}, {found['data']}, {found['threads']} threads, torch {found['torch']}, medians of "
        f"{found['repeats']} turns of {found['seconds']:g} s, ratios with least and largest\n",
        "| | old, jets/s | new, jets/s | new over old |\n|---|---|---|---|",
    ]
    for case, rates in found["jets_per_second"].items():
        medians = [statistics.median(rates[version]) for version in VERSIONS]
        ratios = found["ratios"][case]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        lines.append(f"| {case} | {medians[0]:,.0f} | {medians[1]:,.0f} | {spread} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Let the versions take turns, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--old", type=Path, help="folder src of a checkout of version 0.1.0")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=4.0, help="of a turn")
    parser.add_argument("--data", type=Path, help="a file of jets")
    parser.add_argument("--jets", type=int, default=20_000, help="to simulate where there is no file")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--worker", choices=VERSIONS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker, options.data, options.threads)
        return
    if options.old is None:
        parser.error("give --old, the folder src of the other checkout")
    sources = {"old": options.old.resolve(), "new": Path(__file__).resolve().parents[1] / "src"}
    with tempfile.TemporaryDirectory() as folder:
        data = options.data or Path(folder) / "jets.h5"
        about = str(data) if options.data else jets_file(data, options.jets)
        cases = ("training", "generation")
        rates: dict[str, dict[str, list[float]]] = {case: {name: [] for name in VERSIONS} for case in cases}
        for repeat in range(options.repeats):
            with ExitStack() as stack:
                workers = {name: Worker(name, source, data, options.threads) for name, source in sources.items()}
                for worker in workers.values():
                    stack.callback(worker.close)
                order = VERSIONS if repeat % 2 == 0 else VERSIONS[::-1]
                for case in cases:
                    for name in order:
                        workers[name].turn(case, WARM)
                    for name in order:
                        rates[case][name].append(workers[name].turn(case, options.seconds))
    ratios = {case: [b / a for a, b in zip(r["old"], r["new"], strict=True)] for case, r in rates.items()}
    plan = {"threads": options.threads, "repeats": options.repeats, "seconds": options.seconds, "data": about}
    found = {**plan, "torch": torch.__version__, "jets_per_second": rates, "ratios": ratios}
    print(table(found), end="")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        options.json.with_suffix(".md").write_text(table(found), encoding="utf-8")


if __name__ == "__main__":
    main()
