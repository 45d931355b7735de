"""What the checks of files cost: 100,000 jets of 30 particles, and a run.

    python benchmarks/reading.py [--old PATH_TO_SRC_OF_0.1.0] [--repeats 15] [--json results/reading.json]

Each way to read has its turn in every round, in this process; the table gives the medians of the times over that of the
same round's ``read_jets``. ``--old`` adds the reader of version 0.1.0, which knew no checksums and no heaps; it is
imported from its source under another name. ``--json`` writes the table beside the JSON, too.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import h5py
import torch

from partigan import load, train
from partigan.data import hdf5, heaps
from partigan.data.jets import read_jets, write_jets
from partigan.progress import quiet
from partigan.simulate.toys import simulate_toy
from toy_jets import toy_jets

JETS, PARTICLES = 100_000, 30


def old_reader(source: Path) -> Callable[[Path], Any]:
    """``read_jets`` of another checkout, whose modules are imported in place of ours and then put aside."""
    ours = {name: sys.modules.pop(name) for name in [*sys.modules] if name.split(".")[0] == "partigan"}
    sys.path.insert(0, str(source))
    try:
        spec = importlib.util.find_spec("partigan.data.jets")
        assert spec is not None
        assert str(source) in str(spec.origin)
        module: ModuleType = importlib.import_module("partigan.data.jets")
        return module.read_jets  # type: ignore[no-any-return]
    finally:
        sys.path.remove(str(source))
        for name in [name for name in sys.modules if name.split(".")[0] == "partigan"]:
            del sys.modules[name]
        sys.modules.update(ours)


def plain(path: Path) -> None:
    """Both datasets, without any check but HDF5's own."""
    with h5py.File(path) as file:
        for name in ("particle_features", "jet_features"):
            file[name][...]


def without_checksums(source: Path, path: Path) -> Path:
    """The same file as version 0.1.0 wrote it."""
    with h5py.File(source) as file, h5py.File(path, "w") as other:
        for name, found in file.items():
            made = other.create_dataset(name, data=found[...], chunks=found.chunks)
            made.attrs.update(found.attrs)
        other.attrs.update(file.attrs)
    return path


def unlooked(path: Path) -> None:
    """``read_jets`` without the search for heaps."""
    with mock.patch.object(hdf5, "check_heaps", return_value=None):
        read_jets(path)


def looked(path: Path) -> None:
    """``read_jets`` of a file that was not looked through before."""
    heaps.looked_through.cache_clear()
    read_jets(path)


def measured(calls: dict[str, Callable[[], Any]], base: str, repeats: int) -> dict[str, dict[str, float]]:
    """Median seconds of each call, and its median ratio to the base in the same round."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats + 1):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - began)
    found = {}
    for name, times in seconds.items():
        ratios = [a / b for a, b in zip(times[1:], seconds[base][1:], strict=True)]  # the first round warms up
        found[name] = {"seconds": statistics.median(times[1:]), "ratio": statistics.median(ratios)}
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--old", type=Path)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name, quiet():
        folder = Path(name)
        ours, bare = folder / "jets.h5", folder / "bare.h5"
        write_jets(ours, [toy_jets(JETS // 10, PARTICLES, seed) for seed in range(10)], {"flavour": "toy"})
        without_checksums(ours, bare)
        calls: dict[str, Callable[[], Any]] = {
            "read_jets": lambda: looked(ours),
            "read_jets, the file again": lambda: read_jets(ours),
            "read_jets, no checksums and no heaps": lambda: unlooked(bare),
            "h5py": lambda: plain(ours),
            "h5py, no checksums": lambda: plain(bare),
        }
        if options.old:
            old = old_reader(options.old)
            calls["read_jets of 0.1.0, no checksums"] = lambda: old(bare)
        found = {f"{JETS:,} jets": measured(calls, "read_jets", options.repeats)}
        data = simulate_toy("ring", 1000, folder / "ring.h5")
        run = train("toys", data, folder / "run", threads=1, overrides={"trainer.max_steps": 10})
        loads = {"load": lambda: load(run.path), "load, verify=False": lambda: load(run.path, verify=False)}
        found["a run of `toys`"] = measured(loads, "load", options.repeats)
        loads = {"load": lambda: load("pxd-fast"), "load, verify=False": lambda: load("pxd-fast", verify=False)}
        found["the run `pxd-fast`"] = measured(loads, "load", options.repeats)
    lines = ["| what | how | ms | over the first |", "|---|---|--:|--:|"]
    for what, rows in found.items():
        for how, row in rows.items():
            lines.append(f"| {what} | {how} | {1000 * row['seconds']:.1f} | {row['ratio']:.2f} |")
    print("\n".join(lines))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        options.json.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
