"""Kinds of data: what training, sampling and evaluation have to know of jets, hitmaps, showers."""

from __future__ import annotations

from partigan.errors import PartiganError
from partigan.kinds.kind import Kind


def kind_named(name: str) -> Kind:
    """A kind of data by its name."""
    from partigan.kinds.hitmaps import PXD, PXDCrops, PXDParts
    from partigan.kinds.images import Images
    from partigan.kinds.jets import Jets
    from partigan.kinds.tables import Tables

    kinds: dict[str, type[Kind]] = {kind.name: kind for kind in (Jets, PXD, PXDCrops, PXDParts, Tables, Images)}
    if name not in kinds:
        raise PartiganError(f"unknown kind of data {name!r}; there are {', '.join(kinds)}")
    return kinds[name]()
