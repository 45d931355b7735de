"""Break partigan on purpose and count what happens: damaged files, kills, races, full disks, attempts to run code.

    python benchmarks/faults.py                                             # everything, about an hour on one core
    python benchmarks/faults.py files kills --mutations 300 --kills 3 --out /tmp/faults

Files are damaged with a seed, by the thousand, and read by processes with limits of time and memory. Commands are
killed with SIGKILL at random moments, resumed, and have to end with the same bytes; two at a time they race for an
output; they write to disks that are too small. The numbers go to ``results/faults.json`` and into the table of
``docs/reliability.md``.

clean        one line that says what is wrong, or the right result all the same
other        another exception than `PartiganError`
hung         no answer within 30 s
crashed      the process died
unbounded    more than 500 MB of memory
silent       damage that a checksum, schema or range can know, accepted
lost         a file of somebody else, or a finished one, gone; or another result than without the fault
executed     a process started, or code of the file run
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.append(str(Path(__file__).parents[1] / "tests"))

import fault_files as files
from attempts import SLOTS, SOURCE, TEXTS, WORDS, attempts, put
from fault_clusters import clusters
from fault_jobs import Jobs, disks, kills, races
from fault_report import ROOT, Report, Worker, outcome_of, table
from partigan import generate, load, train
from partigan.config import build, read, resolve
from partigan.progress import quiet
from partigan.simulate import jets, pxd
from partigan.simulate.airshower import simulate_airshower
from partigan.simulate.calorimeter import simulate_calorimeter
from partigan.simulate.cherenkov import simulate_cherenkov
from partigan.simulate.toys import simulate_toy
from partigan.simulate.traces import simulate_traces


def mutations(report: Report, made: Path, number: int, seed: int) -> None:
    """Damage every file ``number`` / files times, and in every way that is known to be bad."""
    for index, target in enumerate(files.TARGETS):
        count = number // len(files.TARGETS) + (index < number % len(files.TARGETS))
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "files"
            shutil.copytree(made, folder)
            good = {files.digest(target.call(folder))}
            if target.file.startswith("run/checkpoints"):  # the one before is as good
                newest = (folder / target.file).rename(folder / "newest")
                good.add(files.digest(target.call(folder)))
                newest.rename(folder / target.file)
            path = folder / target.file
            content = path.read_bytes()
            places = [*files.PLACES, *(files.HDF5 if target.main else ())]

            def case(
                number: int,
                marks: list[str],
                index: int = index,
                path: Path = path,
                content: bytes = content,
                places: list[str] = places,
                good: set[str] = good,
            ) -> tuple[str, str]:
                target = files.TARGETS[index]
                _restored(path, content)
                if number < 0:
                    files.spoil(path, places[number], target.main)
                else:
                    changed = files.mutated(content, np.random.default_rng((seed, index, number)))
                    path.write_bytes(changed)
                    if changed == content:
                        return "clean", "nothing changed"
                strict = target.summed if number >= 0 else not (target.optional and places[number] in files.ABSENT)
                folder = path.parents[len(Path(target.file).parts) - 1]
                return outcome_of(lambda: target.call(folder), lambda found: not strict or found in good, marks)

            worker = Worker(case)
            for each in range(-len(places), count):
                outcome, detail = worker.attempt(each)
                what = f"{places[each]}: " if each < 0 else f"number {each}: "
                report.add("special file" if each < 0 else "damaged file", target.reader, outcome, what + detail)
            worker.close()


def _restored(path: Path, content: bytes) -> None:
    """Put the good content back."""
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)
    path.write_bytes(content)


def codes(report: Report, folder: Path) -> None:
    """All attempts to run code through a configuration, at every place of one."""
    mark = folder / "mark"
    (folder / "evil.py").write_text(SOURCE.format(mark=str(mark)), encoding="utf-8")
    sys.path.insert(0, str(folder))
    content = resolve(read("toys"))
    tries = [(name, value, slot) for name, value in attempts(folder, mark).items() for slot in SLOTS]

    def case(number: int, marks: list[str]) -> tuple[str, str]:
        name, value, slot = tries[number]
        tried = put(content, slot, value)
        harmless = slot in TEXTS and (name in WORDS or name.startswith("a name of"))  # words that nothing is made of
        outcome = outcome_of(lambda: build(tried) and None, lambda _: harmless, marks)
        return ("executed", "the mark is there") if mark.exists() or "evil" in sys.modules else outcome

    worker = Worker(case)
    for number, (name, _, slot) in enumerate(tries):
        outcome, detail = worker.attempt(number)
        report.add("code in a configuration", "config.build", outcome, f"{name} at {slot}: {detail}")
        mark.unlink(missing_ok=True)
    worker.close()


LARGE = 10**30


def bounds(report: Report, folder: Path) -> None:
    """Numbers that nobody can mean."""
    out, run = folder / "bounded.h5", folder / "files" / "run"
    calls: dict[str, Callable[[], Any]] = {
        "simulate jets, n": lambda: jets.simulate_jets("t", LARGE, out),
        "simulate jets, particles": lambda: jets.simulate_jets("t", 10, out, particles=LARGE),
        "simulate jets, workers": lambda: jets.simulate_jets("t", 10, out, workers=LARGE),
        "simulate pxd, events": lambda: pxd.simulate_pxd(LARGE, out),
        "simulate traces, n": lambda: simulate_traces(LARGE, out),
        "simulate airshower, n": lambda: simulate_airshower(LARGE, out),
        "simulate calorimeter, n": lambda: simulate_calorimeter(LARGE, out),
        "simulate cherenkov, n": lambda: simulate_cherenkov(LARGE, out),
        "simulate toy, n": lambda: simulate_toy("ring", LARGE, out),
        "simulate toy, seed": lambda: simulate_toy("ring", 10, out, seed=LARGE),
        "generate, n": lambda: generate(run, LARGE, out),
        "generate, threads": lambda: generate(run, 10, out, threads=LARGE),
        "sample, size": lambda: load(run).sample(LARGE),
        "sample, 10^12": lambda: load(run).sample(10**12),
        **{
            f"train, {name}": lambda name=name: train(  # type: ignore[misc]
                "toys", folder / "files" / "table.h5", folder / "bounded", threads=1, overrides={name: LARGE}
            )
            for name in ("trainer.validations", "trainer.batch_size", "trainer.snapshots", "system.generator.width")
        },
    }
    names = list(calls)
    worker = Worker(lambda number, marks: outcome_of(calls[names[number]], lambda _: False, marks))
    for number, name in enumerate(names):
        command, _, argument = name.partition(", ")
        outcome, detail = worker.attempt(number)
        report.add("a number of 10^30", command, outcome, f"{argument}: {detail}")
    worker.close()


PARTS = ("files", "numbers", "code", "kills", "races", "disks", "clusters")


def main() -> None:
    """Break everything and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=", ".join(PARTS))
    parser.add_argument("--mutations", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=100, help="of each command")
    parser.add_argument("--races", type=int, default=20, help="of each command")
    parser.add_argument("--disks", type=int, default=20, help="too small ones for each command")
    parser.add_argument("--clusters", type=int, default=20, help="of each fault")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=ROOT / "results")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name, quiet():
        folder = Path(name)
        if not {"files", "numbers"}.isdisjoint(options.parts):
            files.make(folder / "files")
        jobs = Jobs(folder) if not {"kills", "races", "disks"}.isdisjoint(options.parts) else None
        calls: dict[str, Callable[[Report], None]] = {
            "files": lambda report: mutations(report, folder / "files", options.mutations, options.seed),
            "numbers": lambda report: bounds(report, folder),
            "code": lambda report: codes(report, folder),
            "kills": lambda report: kills(report, jobs, folder, options.kills, options.seed),  # type: ignore[arg-type]
            "races": lambda report: races(report, jobs, folder, options.races),  # type: ignore[arg-type]
            "clusters": lambda report: clusters(report, folder, options.clusters, options.seed),
            "disks": lambda report: disks(report, jobs, folder, options.disks, options.seed),  # type: ignore[arg-type]
        }
        for part in options.parts:
            report = Report(part, " ".join(["python", "benchmarks/faults.py", *sys.argv[1:]]), options.out)
            calls[part](report)
            report.write()
            print(table({part: {"rows": [{"fault": a, "what": b, **row} for (a, b), row in report.rows.items()]}}))


if __name__ == "__main__":
    main()
