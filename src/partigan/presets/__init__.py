"""The systems of the literature, one short YAML each, named as people call them."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from partigan.documents import check, read_yaml
from partigan.errors import PartiganError

FOLDER = Path(__file__).parent
SECTIONS = ("about", "kind", "transform", "system", "trainer")  # of a configuration
_CLASS = (str, {str: object}, type(None))
_SCHEMA: dict[Any, Any] = {
    "base?": str,
    "about?": {str: (str, float)},
    "kind?": (str, type(None)),
    "transform?": _CLASS,
    "system?": _CLASS,
    "trainer?": {str: object},
    str: object,  # misspelt ones, to which `config` knows the nearest name
}


def names() -> list[str]:
    """Names of all presets."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def read(name: str) -> dict[str, Any]:
    """The content of a preset by name, or of any YAML file by path.

    Raises:
        PartiganError: there is no such preset or file (the nearest name is suggested), or it is not YAML.
    """
    path = FOLDER / f"{name}.yaml"
    if not os.path.exists(path):  # False also for what cannot be a name
        path = Path(name)
        if path.suffix not in (".yaml", ".yml") or not os.path.exists(path):
            near = difflib.get_close_matches(name, names(), n=1, cutoff=0.0)
            raise PartiganError(
                f"there is no preset or YAML file {name!r}; did you mean {near[0]!r}? 'partigan list' shows all"
            )
    return checked(read_yaml(path), str(path))


def checked(content: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The content of a configuration, whose sections have the types that they should have.

    Args:
        content: as it was read.
        where: file, for messages.

    Raises:
        PartiganError: a section of another type.
    """
    check(content, _SCHEMA, where)
    return dict(content)


@cache
def about(name: str) -> dict[str, str]:
    """Title, paper, status and kind of data of a preset, without building or resolving anything."""
    content = read(name)
    base = about(content["base"]) if "base" in content else {}
    return {**base, **content.get("about", {}), **({"kind": content["kind"]} if "kind" in content else {})}
