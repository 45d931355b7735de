"""Maps of air showers in files: HDF5 of partigan, and the ``.npz`` files of tutorials and exercises.

HDF5 files are in the layout of `partigan.data.samples`, with ``maps (showers, channels, rows, columns)``: the signal of
every station in VEM, then its arrival time in ns. A silent station is 0 in both.

``.npz`` files hold one of
- ``shower_maps (showers, rows, columns, 1)``: signals, 0 = silent; where the largest is below ``LOGARITHMIC`` they are
  lg(1 + signal);
- ``signal`` and, optionally, ``time (showers, rows, columns)``: NaN = silent; times in s.
Beside either, ``logE`` (lg(E/eV)) or ``energy`` (EeV), ``showeraxis (showers, 3)`` and ``mass`` become conditions:
lg(E/EeV), zenith angle in rad, ln A.

References:
    deep-learning-physics.org, exercises 18.2, 11.1, 7.2 and 8.2.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from partigan.data.batch import Batch
from partigan.data.samples import checked, read_samples
from partigan.data.splits import Rows, stored_rows
from partigan.errors import PartiganError
from partigan.reading import assure_memory, readable, size_of

LOGARITHMIC = 12.0
"""Signals are in VEM where one is above it: triggered stations have a hundred or more."""
LAYOUT = "'shower_maps', or 'signal' and, optionally, 'time' are needed"
_NS = 1e9  # in a second
_ARRAYS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "log_energy": lambda x: x - 18,
    "zenith": lambda x: np.arccos(np.clip(x[:, 2] / np.linalg.norm(x, axis=1), -1, 1)),
    "log_mass": np.log,
}
_UNITS = {"log_energy": "lg(E/EeV)", "zenith": "rad", "log_mass": "ln A"}


def is_arrays(path: Path) -> bool:
    """Whether a path is a ``.npz`` file of air showers."""
    if path.suffix != ".npz" or not path.is_file():
        return False
    names = _shapes(path)
    return "shower_maps" in names or "signal" in names


def read_showers(path: Path, split: Rows, finite: bool = True) -> Batch:
    """Showers of a split, checked; signals in VEM, times in ns.

    Args:
        path: HDF5 or ``.npz`` file.
        split: train, valid, test, all, or rows.
        finite: refuse what no shower can have; False to count the failures of a generator.

    Raises:
        PartiganError: the file is missing or damaged, a dataset or key is missing, or values cannot be; the message
            names the first bad row.
    """
    if path.suffix == ".npz":
        return sensible(_read_arrays(path, split), f"{path}: ")
    sample = read_samples(path, split, "maps", 4, finite)
    return sensible(sample, f"{path}: ") if finite else sample


def number_in_arrays(path: Path) -> int:
    """The number of showers in a ``.npz`` file."""
    shapes = _shapes(path)
    return shapes[_main(path, shapes)][0]


def columns_of_arrays(path: Path) -> dict[str, str]:
    """The conditions in a ``.npz`` file, with their units."""
    return {name: _UNITS[name] for name in _conditions(_shapes(path))}


def channels_of_arrays(path: Path) -> list[str]:
    """``signal``, and ``time`` where there is one."""
    return ["signal", *["time"] * ("time" in (shapes := _shapes(path)) and "shower_maps" not in shapes)]


def sensible(sample: Batch, where: str = "") -> Batch:
    """The same showers; raises a `PartiganError` for maps that no array can have.

    Args:
        sample: maps ``(showers, channels, rows, columns)``.
        where: the file, for messages.
    """
    x = sample.x
    if x.dim() != 4 or x.shape[1] not in (1, 2):
        raise PartiganError(
            f"{where}maps of air showers are (showers, channels, rows, columns) with the channels signal and, "
            f"optionally, time, not {list(x.shape)}"
        )
    checked(sample, where, "maps")
    if (bad := (x[:, 0] < 0).flatten(1).any(1)).any():
        raise PartiganError(
            f"{where}{int(bad.sum())} showers have signals below 0, the first in row {int(bad.byte().argmax())}; a "
            "silent station has signal 0"
        )
    if (bad := ((x[:, :1] == 0) & (x[:, 1:] != 0)).flatten(1).any(1)).any():
        raise PartiganError(
            f"{where}{int(bad.sum())} showers have an arrival time at a station without signal, the first in row "
            f"{int(bad.byte().argmax())}; a silent station is 0 in both"
        )
    return sample


def _main(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """The array that holds the signals."""
    for name, dimensions in (("shower_maps", 4), ("signal", 3)):
        if name in shapes:
            shape = shapes[name]
            if len(shape) != dimensions or 0 in shape or (dimensions == 4 and shape[3] != 1):
                wanted = "(showers, rows, columns, 1)" if dimensions == 4 else "(showers, rows, columns)"
                raise PartiganError(f"{path}: {name} has the shape {list(shape)}; {wanted} is needed")
            return name
    raise PartiganError(f"{path} has {', '.join(shapes) or 'nothing'}; {LAYOUT}")


def _conditions(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, str]:
    """The arrays of which conditions are made, by the names of these."""
    found = {"log_energy": "logE" if "logE" in shapes else "energy", "zenith": "showeraxis", "log_mass": "mass"}
    return {name: key for name, key in found.items() if key in shapes}


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all arrays, of which only the headers are read."""
    size_of(path)
    shapes: dict[str, tuple[int, ...]] = {}
    with readable(path, "numpy arrays (.npz)"), zipfile.ZipFile(path) as file:
        for name in file.namelist():
            with zipfile.Path(file, name).open("rb") as array:
                version = np.lib.format.read_magic(array)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shapes[name.removesuffix(".npy")] = read(array)[0]
    return shapes


def _read_arrays(path: Path, split: Rows) -> Batch:
    """Showers of a ``.npz`` file."""
    shapes = _shapes(path)
    main, beside = _main(path, shapes), _conditions(shapes)
    names = [main, *["time"] * (main == "signal" and "time" in shapes), *beside.values()]
    for name in names:
        wanted = shapes[main] if name == "time" else (shapes[main][0], *[3] * (name == "showeraxis"))
        if name != main and shapes[name] != wanted:
            raise PartiganError(f"{path}: {name} has the shape {list(shapes[name])}, {list(wanted)} is needed")
    assure_memory(8 * sum(int(np.prod(shapes[name])) for name in names), f"reading {path}")
    first, last = stored_rows({}, shapes[main][0], split, path, "showers")
    with readable(path, "numpy arrays (.npz)"), np.load(path, allow_pickle=False) as file:
        arrays = {name: np.asarray(file[name][first:last], dtype=np.float64) for name in names}
    conditions = []
    for name, key in beside.items():
        with np.errstate(divide="ignore", invalid="ignore"):  # of what is not above 0; the next line tells
            values = np.log10(arrays[key]) if key == "energy" else _ARRAYS[name](arrays[key])
        if not (fine := np.isfinite(values)).all():
            raise PartiganError(f"{path}: {key} row {first + int((~fine).argmax())} is NaN, infinite or not above 0")
        conditions.append(values)
    maps = _maps(path, arrays, main, first)
    condition = torch.from_numpy(np.stack(conditions, 1)).float() if conditions else None
    return Batch(torch.from_numpy(maps).float(), condition=condition)


def _maps(path: Path, arrays: Mapping[str, NDArray[Any]], main: str, first: int) -> NDArray[Any]:
    """Signals and, where there are any, times: ``(showers, channels, rows, columns)``, 0 where silent."""
    signal = arrays[main]
    if main == "shower_maps":
        _all_finite(path, main, signal, first)
        signal = signal[..., 0]
        return np.asarray((10**signal - 1 if signal.max() < LOGARITHMIC else signal)[:, None])
    silent = np.isnan(signal)
    maps = [np.where(silent, 0.0, signal)]
    if "time" in arrays:
        time = arrays["time"]
        if (wrong := (np.isnan(time) != silent).reshape(len(time), -1).any(1)).any():
            raise PartiganError(
                f"{path}: signal and time of row {first + int(wrong.argmax())} are NaN at different stations; a silent "
                "station is NaN in both"
            )
        maps.append(np.where(silent | (maps[0] == 0), 0.0, time * _NS))
    for name, values in zip(("signal", "time"), maps, strict=False):
        _all_finite(path, name, values, first)
    return np.stack(maps, axis=1)


def _all_finite(path: Path, name: str, values: NDArray[Any], first: int) -> None:
    if not (fine := np.isfinite(values).reshape(len(values), -1).all(1)).all():
        raise PartiganError(
            f"{path}: {name} row {first + int((~fine).argmax())}: NaN or infinite values ({int((~fine).sum())} such "
            "rows); remove these showers"
        )
