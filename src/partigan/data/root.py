"""ROOT files: the boundary around uproot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from partigan.errors import PartiganError
from partigan.extras import require
from partigan.reading import readable, size_of


@contextmanager
def open_root(path: Path) -> Iterator[Any]:
    """An open ROOT file, as uproot gives it.

    Raises:
        PartiganError: uproot is missing, or the file is, or it is damaged or truncated.
    """
    require("root", "uproot", "awkward")
    import uproot

    size = size_of(path)
    with readable(path, "ROOT"), uproot.open({path: None}) as file:
        if file.file.fEND > size:
            raise PartiganError(f"{path}: truncated, {size} of {file.file.fEND} bytes; make or fetch it again")
        yield file
