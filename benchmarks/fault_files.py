"""Small files of every kind that partigan reads, what reads them, and ways to damage them."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
import yaml

from authors import arguments, tensors
from helpers import toy_hits
from partigan import config, evaluate, fit_classifier, load, presets, train
from partigan.commands.compare import Comparison
from partigan.commands.tables import import_table
from partigan.data.batch import Batch
from partigan.data.calorimeter import geometry
from partigan.data.hitmap_files import write_hitmaps
from partigan.data.jets import write_jets
from partigan.data.sources import source
from partigan.data.tabular import SUFFIXES, write_blocks
from partigan.evaluation import protocols
from partigan.files import MANIFEST, manifest_of
from partigan.kinds import find, kind_of
from partigan.models.checkpoint import Checkpoints
from partigan.models.classifier import load_reference
from partigan.models.importing.mpgan import import_weights
from partigan.simulate.airshower import simulate_airshower
from partigan.simulate.calorimeter import simulate_calorimeter
from partigan.simulate.toys import simulate_toy
from partigan.simulate.traces import simulate_traces
from partigan.training.log import read_log
from toy_jets import toy_jets

Rng = np.random.Generator
LOG = "run/metrics.jsonl"
NEEDS = {".csv": "numpy", ".parquet": "pyarrow", ".root": "uproot"}
COLUMNS = {suffix: SUFFIXES[suffix] for suffix, module in NEEDS.items() if find_spec(module) is not None}
SHORT = {"trainer.max_steps": 4, "trainer.validations": 2, "trainer.batch_size": 16, "trainer.accelerator": "cpu"}


@dataclass(frozen=True)
class Target:
    """A file, and what reads it.

    Attributes:
        reader: what reads it.
        file: that is damaged, below the folder of all files.
        call: reads it; given the folder.
        summed: whether checksums cover it, so that a change that changes what is read must be refused.
        main: its dataset, where it is HDF5.
        optional: whether it may be missing or empty.
    """

    reader: str
    file: str
    call: Callable[[Path], Any]
    summed: bool = False
    main: str = ""
    optional: bool = False


def digest(value: Any) -> str:
    """What was read, in short."""
    found = hashlib.sha256()

    def add(part: Any) -> None:
        if isinstance(part, torch.Tensor | np.ndarray):
            array = np.asarray(part.float() if isinstance(part, torch.Tensor) and part.is_floating_point() else part)
            found.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
        elif isinstance(part, dict):
            for name in sorted(part, key=str):
                add(name)
                add(part[name])
        elif isinstance(part, list | tuple):
            for each in part:
                add(each)
        elif is_dataclass(part):
            add({field.name: getattr(part, field.name) for field in fields(part)})
        else:
            found.update(repr(part).encode())

    add(value)
    return found.hexdigest()


def _samples(kind: str, file: str) -> Callable[[Path], Any]:
    """Everything that commands read of a file of samples."""

    def call(folder: Path) -> Any:
        kind_of(folder / file)
        given = source(folder / file, find(kind))
        given.describe(), given.attributes(), given.label  # texts that HDF5 keeps without checksum
        return given.read("all"), given.read("test")

    return call


def _columns(file: str) -> Callable[[Path], Any]:
    """All that ``import-table`` reads of a file of columns."""

    def call(folder: Path) -> Any:
        out = folder / "columns.h5"
        import_table([str(folder / file)], out, ("a", "b"), ("c",), "w", cuts=("a < 0.9",), overwrite=True)
        return find("tables").format.read(out, "all")

    return call


def _reports(folder: Path) -> Any:
    found = Comparison.of([folder / "report", folder / "other"])
    return found.columns(), found.overlays()


def _configuration(folder: Path) -> Any:
    resolved = config.resolve(config.read(str(folder / "mine.yaml")), {"particles": 8, "features": 3})
    config.build(resolved)
    return resolved


def _imported(folder: Path) -> Any:
    import_weights(folder / "G.pt", folder / "args.txt", folder / "imported", overwrite=True)
    return load(folder / "imported").sample(8, 1)


def _protocol(folder: Path) -> Any:
    return protocols.protocol("jets", str(folder / "protocol.yaml"))


TARGETS = (
    Target("jets, our HDF5", "jets.h5", _samples("jets", "jets.h5"), True, "particle_features"),
    Target("jets, JetNet's HDF5", "jetnet.h5", _samples("jets", "jetnet.h5"), False, "particle_features"),
    Target("tables", "table.h5", _samples("tables", "table.h5"), True, "rows"),
    Target("images", "images.h5", _samples("images", "images.h5"), True, "images"),
    Target("traces", "traces.h5", _samples("traces", "traces.h5"), True, "traces"),
    Target("calorimeter showers", "showers.hdf5", _samples("calorimeter", "showers.hdf5"), True, "showers"),
    Target("calorimeter binning", "binning.xml", lambda folder: geometry(str(folder / "binning.xml"))),
    Target("air showers, HDF5", "maps.h5", _samples("airshower", "maps.h5"), True, "maps"),
    Target("air showers, npz", "maps.npz", _samples("airshower", "maps.npz")),
    Target("hitmaps, HDF5", "hits.h5", _samples("pxd-crop", "hits.h5"), True, "u"),
    Target("hitmaps, ROOT", "hits.root", _samples("pxd-crop", "hits.root")),
    Target("hitmaps, PNG", "hits/1.1.1/0.png", _samples("pxd-crop", "hits"), True),
    Target("run: config.yaml", "run/config.yaml", lambda folder: load(folder / "run").sample(8, 1), True),
    Target("run: transform.json", "run/transform.json", lambda folder: load(folder / "run").sample(8, 1), True),
    Target("run: manifest.json", "run/manifest.json", lambda folder: load(folder / "run").sample(8, 1), True),
    Target("run: weights", "run/generator.safetensors", lambda folder: load(folder / "run").sample(8, 1), True),
    Target("run: checkpoint", "run/checkpoints/000000004.safetensors", lambda folder: _newest(folder), True),
    Target(
        "run: metrics.jsonl",
        "run/metrics.jsonl",
        lambda folder: read_log(folder / "run" / "metrics.jsonl"),
        optional=True,
    ),
    Target("folder: manifest", f"run/{MANIFEST}", lambda folder: manifest_of(folder / "run")),
    Target("classifier: moments", "classifier/moments.safetensors", lambda folder: _reference(folder), True),
    Target("preset of a user", "mine.yaml", _configuration),
    Target("protocol of a user", "protocol.yaml", _protocol),
    Target("report: metrics.json", "report/metrics.json", _reports),
    Target("report: verdict.json", "report/verdict.json", _reports, optional=True),
    Target("report: histograms.json", "report/histograms.json", _reports, optional=True),
    Target("authors' weights", "G.pt", _imported),
    Target("authors' arguments", "args.txt", _imported),
    *(Target(f"columns, {form}", f"columns{suffix}", _columns(f"columns{suffix}")) for suffix, form in COLUMNS.items()),
)


def _newest(folder: Path) -> Any:
    return Checkpoints(folder / "run" / "checkpoints").newest()


def _reference(folder: Path) -> Any:
    return load_reference(folder / "classifier", None).moments


def make(folder: Path) -> None:
    """Make all files."""
    folder.mkdir(parents=True, exist_ok=True)
    write_jets(folder / "jets.h5", [toy_jets(60, 8, 0)], {"kind": "jets", "flavour": "t"})
    with h5py.File(folder / "jetnet.h5", "w") as file:
        file["particle_features"], file["jet_features"] = toy_jets(60, 8, 1)
        file["particle_features"].attrs["features"] = ["etarel", "phirel", "ptrel", "mask"]
    rng = torch.Generator().manual_seed(0)
    for kind, name, shape in (("tables", "table.h5", (3,)), ("images", "images.h5", (1, 6, 6))):
        batch = Batch(torch.rand(60, *shape, generator=rng), condition=torch.arange(60) % 4, weight=torch.ones(60))
        attributes, state = {"kind": kind}, {"features": ["a", "b", "c"]}
        find(kind).format.write(folder / name, [batch], attributes, state)
    simulate_traces(60, folder / "traces.h5")
    simulate_calorimeter(60, folder / "showers.hdf5")
    (folder / "binning.xml").write_text(geometry("ds1-photons").text, encoding="utf-8")
    simulate_airshower(60, folder / "maps.h5")
    maps = find("airshower").format.read(folder / "maps.h5", "all").x.numpy()
    silent = np.where(maps[:, :1] > 0, maps, np.nan)
    np.savez(folder / "maps.npz", signal=silent[:, 0], time=1e-9 * silent[:, 1], logE=np.linspace(18.5, 20, len(maps)))
    for name in ("hits.h5", "hits.root", "hits"):
        write_hitmaps(folder / name, [toy_hits(4, 200, busy=(0, 3))], {"kind": "pxd"} if name == "hits.h5" else {})
    columns = {name: np.random.default_rng(index).uniform(size=60) for index, name in enumerate("abcw")}
    for suffix in COLUMNS:
        write_blocks(folder / f"columns{suffix}", [columns])
    train(
        "mdma",
        folder / "jets.h5",
        folder / "run",
        threads=1,
        overrides={**SHORT, "system.generator.blocks": 1, "system.critic.blocks": 1, "trainer.checkpoint_seconds": 0},
    )
    fit_classifier(folder / "table.h5", folder / "classifier", kind="tables", threads=1, overrides=SHORT)
    for name, seed in (("report", 1), ("other", 2)):
        simulate_toy("ring", 400, folder / f"{name}.h5", seed)
        evaluate(folder / "report.h5", folder / name, folder / f"{name}.h5", metrics=["protocol", "ks"], threads=1)
    (folder / "mine.yaml").write_text(yaml.safe_dump(config.expanded(presets.read("mdma"))), encoding="utf-8")
    shutil.copy(protocols.FOLDER / "mdma.yaml", folder / "protocol.yaml")
    (folder / "args.txt").write_text(str(options := arguments("fc", "t")), encoding="utf-8")
    torch.save(tensors(options), folder / "G.pt")


NUMBERS = ("0", "-1", "1e30", "-1e30", "1e999", "NaN", str(10**30), str(2**63), "0.5", "1000000000", "''")
VALUES = ("null", "[]", "{}", "true", '"x"', '"[/b]\\u001b[2J$\\\\pt$"', "[" * 3000, '{"a":' * 500, "*a", "!!set {a}")
EXTREME = (
    *(bytes([byte]) * 8 for byte in (0, 255)),
    b"\xff" * 7 + b"\x7f",
    *(np.array([x] * 2, "f4").tobytes() for x in (np.nan, 1e30)),
)


def mutated(content: bytes, rng: Rng) -> bytes:
    """A file with damage of some kind."""
    kinds = [_flipped, _bytes_set, _extreme, _cut, _removed, _repeated, _zeroed, _appended, _swapped]
    if _is_text(content):
        kinds = [_number, _number, _value, _value, _line, *kinds]
    found = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        found = kinds[int(rng.integers(len(kinds)))](found, rng) or bytearray(b"")
    return bytes(found)


def _is_text(content: bytes) -> bool:
    try:
        return content.decode().isprintable() or b"\n" in content
    except UnicodeDecodeError:
        return False


def _span(content: bytearray, rng: Rng) -> tuple[int, int]:
    first = int(rng.integers(len(content) + 1))
    return first, min(len(content), first + int(2 ** rng.uniform(0, 10)))


def _flipped(content: bytearray, rng: Rng) -> bytearray:
    for place in rng.integers(len(content), size=rng.integers(1, 9)) if content else ():
        content[place] ^= 1 << int(rng.integers(8))
    return content


def _bytes_set(content: bytearray, rng: Rng) -> bytearray:
    first, last = _span(content, rng)
    content[first:last] = rng.bytes(last - first)
    return content


def _extreme(content: bytearray, rng: Rng) -> bytearray:
    first = int(rng.integers(len(content) + 1)) // 4 * 4
    content[first : first + 8] = EXTREME[int(rng.integers(len(EXTREME)))]
    return content


def _cut(content: bytearray, rng: Rng) -> bytearray:
    return content[: int(rng.integers(len(content) + 1))]


def _removed(content: bytearray, rng: Rng) -> bytearray:
    first, last = _span(content, rng)
    return content[:first] + content[last:]


def _repeated(content: bytearray, rng: Rng) -> bytearray:
    first, last = _span(content, rng)
    return content[:last] + content[first:]


def _zeroed(content: bytearray, rng: Rng) -> bytearray:
    first, last = _span(content, rng)
    content[first:last] = bytes(last - first)
    return content


def _appended(content: bytearray, rng: Rng) -> bytearray:
    return content + rng.bytes(int(rng.integers(1, 100)))


def _swapped(content: bytearray, rng: Rng) -> bytearray:
    one, two = sorted(rng.integers(len(content) + 1, size=2))
    return content[two:] + content[one:two] + content[:one]


def _replaced(content: bytearray, rng: Rng, pattern: bytes, by: tuple[str, ...]) -> bytearray:
    found = list(re.finditer(pattern, content))
    if not found:
        return content
    match = found[int(rng.integers(len(found)))]
    content[match.start() : match.end()] = by[int(rng.integers(len(by)))].encode()
    return content


def _number(content: bytearray, rng: Rng) -> bytearray:
    return _replaced(content, rng, rb"-?\d+(\.\d+)?(e[-+]?\d+)?", NUMBERS)


def _value(content: bytearray, rng: Rng) -> bytearray:
    return _replaced(content, rng, rb"(?<=[:,\[] )[^,\n\]}]+|\"[^\"]*\"", VALUES)


def _line(content: bytearray, rng: Rng) -> bytearray:
    lines = content.split(b"\n")
    del lines[int(rng.integers(len(lines)))]
    return bytearray(b"\n".join(lines))


def _remade(file: h5py.File, name: str, values: Any) -> None:
    del file[name]
    file[name] = values


def _unwritten(file: h5py.File, name: str, shape: tuple[int, ...], dtype: Any) -> None:
    del file[name]
    found = file.create_dataset(name, shape, dtype, chunks=(min(shape[0], 1000), *shape[1:]))
    if shape[0] > 10**6:
        found[:10] = 0


def _virtual(file: h5py.File, name: str) -> None:
    shape, dtype = file[name].shape, file[name].dtype
    layout = h5py.VirtualLayout(shape, dtype)
    layout[...] = h5py.VirtualSource("nowhere.h5", name, shape)
    del file[name]
    file.create_virtual_dataset(name, layout)


def _external(file: h5py.File, name: str) -> None:
    shape, dtype = file[name].shape, file[name].dtype
    del file[name]
    file.create_dataset(name, shape, dtype, external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])


HDF5: dict[str, Callable[[h5py.File, str], Any]] = {
    "dataset removed": lambda file, name: file.pop(name),
    "a group instead": lambda file, name: (file.pop(name), file.create_group(name)),
    "a dead link": lambda file, name: (file.pop(name), file.update({name: h5py.SoftLink("/nowhere")})),
    "a link to another file": lambda file, name: (
        file.pop(name),
        file.update({name: h5py.ExternalLink("/dev/zero", "/x")}),
    ),
    "data in another file": _external,
    "virtual, without sources": _virtual,
    "rows missing": lambda file, name: _unwritten(file, name, file[name].shape, file[name].dtype),
    "of 10^12 rows": lambda file, name: _unwritten(file, name, (10**12, *file[name].shape[1:]), file[name].dtype),
    "texts": lambda file, name: _remade(file, name, ["a", "b"]),
    "nothing": lambda file, name: _remade(file, name, h5py.Empty("f4")),
    "a number": lambda file, name: _remade(file, name, 3),
    "another length": lambda file, name: _remade(file, name, file[name][:-1]),
    "pairs": lambda file, name: _remade(file, name, np.zeros(60, [("a", "f4"), ("b", "i4")])),
    "NaN": lambda file, name: _remade(file, name, np.full(file[name].shape, np.nan)),
    "infinite as float32": lambda file, name: _remade(file, name, np.full(file[name].shape, 1e300)),
    "a split that is none": lambda file, name: file.attrs.update({"split_test": [5, 2**62]}),
    "splits that overlap": lambda file, name: file.attrs.update({"split_train": [0, 40], "split_test": [30, 60]}),
    "another kind": lambda file, name: file.attrs.update({"kind": "evil.KIND"}),
}
"""Damage that every reader of HDF5 must refuse."""


def spoil(path: Path, how: str, main: str) -> None:
    """Put something else in the place of a file, or damage an HDF5 file through h5py."""
    if how in HDF5:
        with h5py.File(path, "r+") as file:
            HDF5[how](file, main)
        return
    path.unlink()
    if how == "a pipe":
        os.mkfifo(path)
    elif how == "a directory":
        path.mkdir()
    elif how == "empty":
        path.touch()
    elif how != "missing":
        path.symlink_to({"a device": "/dev/zero", "a dead symlink": "nowhere", "a symlink to itself": path.name}[how])


PLACES = ("a pipe", "a directory", "a device", "empty", "missing", "a dead symlink", "a symlink to itself")
ABSENT = PLACES[3:]
