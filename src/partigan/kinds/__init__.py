"""Kinds of data: what training, sampling and evaluation have to know of jets, hitmaps, tables and images."""

from __future__ import annotations

import difflib
from dataclasses import replace
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from partigan.blame import said
from partigan.data.hdf5 import is_hdf5, open_hdf5
from partigan.errors import PartiganError
from partigan.kinds.kind import Kind
from partigan.reading import size_of

KINDS = {
    "jets": "partigan.kinds.jets.JETS",
    "cherenkov": "partigan.kinds.cherenkov.CHERENKOV",
    "tables": "partigan.kinds.tables.TABLES",
    "images": "partigan.kinds.images.IMAGES",
    "traces": "partigan.kinds.traces.TRACES",
    "calorimeter": "partigan.kinds.calorimeters.CALORIMETER",
    "airshower": "partigan.kinds.airshowers.AIRSHOWER",
    "airshower-labelled": "partigan.kinds.airshowers.AIRSHOWER_LABELLED",
    "airshower-signal": "partigan.kinds.airshowers.AIRSHOWER_SIGNAL",
    "pxd": "partigan.kinds.pxd.PXD",
    "pxd-crop": "partigan.kinds.pxd.PXD_CROP",
    "pxd-clusters": "partigan.kinds.pxd_clusters.PXD_CLUSTERS",
    "pxd-layers": "partigan.kinds.pxd_clusters.PXD_LAYERS",
}
"""The kinds that come with partigan. For a file that says nothing of itself the first that recognises it is taken."""


def find(name: str, trust: bool = False) -> Kind:
    """A kind of data by its name.

    Args:
        name: one of ``KINDS``, or the import path of a `Kind` or of a function or class that gives one. The kind that
            is found has this name.
        trust: import modules outside partigan.

    Raises:
        PartiganError: there is no such kind, or its module is outside partigan and not trusted.

    Example:
        >>> find("jets").evaluation.selection
        ('w1m', 'fpd')
    """
    if isinstance(name, str) and name in KINDS:
        found = resolve_name(KINDS[name])
        assert isinstance(found, Kind)
        return found
    if not isinstance(name, str) or "." not in name:
        near = difflib.get_close_matches(str(name), KINDS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(KINDS)}"
        raise PartiganError(f"unknown kind of data {name!r}; {hint}")
    if not (trust or name in KINDS.values()):
        raise PartiganError(
            f"the kind of data {name} is not part of partigan; look at its code, then give --trust to run it"
        )
    kind = _imported(name)
    return kind if name in KINDS.values() else replace(kind, name=name)


def _imported(name: str) -> Kind:
    try:
        found: Any = resolve_name(name)
        kind = found if isinstance(found, Kind) else found()
    except Exception as error:  # whatever the user's module does
        raise PartiganError(
            f"the kind of data {name} cannot be imported: {said(error)}; check the path, and PYTHONPATH"
        ) from error
    if not isinstance(kind, Kind):
        raise PartiganError(f"{name} is a {type(kind).__name__}, not a partigan.kinds.kind.Kind, and gives none")
    return kind


def kind_of(path: str | Path, trust: bool = False) -> Kind:
    """The kind of data in a file: by its attribute ``kind``, else the first kind that recognises its layout.

    Args:
        path: the file.
        trust: import modules outside partigan that the file names.

    Raises:
        PartiganError: there is no such file, or no kind recognises it.
    """
    path = Path(path)
    if not path.is_dir():
        size_of(path)
    if is_hdf5(path):
        with open_hdf5(path, "") as file:
            said = file.attributes.get("kind")
        if said is not None:
            return find(str(said), trust)
    for name in KINDS:
        if (kind := find(name)).format.recognises(path):
            return kind
    raise PartiganError(f"{path} has the layout of no kind of data that partigan knows; give --kind")


def chosen(name: str | None, given: Any, trust: bool = False) -> Kind:
    """A kind of data by name; where none is given, that of a file.

    Args:
        name: of the kind; None = as the file says.
        given: what the samples come from; see `partigan.data.sources.source`.
        trust: import modules outside partigan.

    Raises:
        PartiganError: no name, and arrays, which do not say what they are.
    """
    if name is not None:
        return find(name, trust)
    if not isinstance(given, str | Path):
        raise PartiganError("say what the arrays are: kind tables, images or jets")
    return kind_of(given, trust)
