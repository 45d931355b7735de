"""The systems of the literature, one YAML each, named as people call them."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from partigan.errors import PartiganError
from partigan.files import read_yaml

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Names of all presets."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def read(name: str, _reading: tuple[str, ...] = ()) -> dict[str, Any]:
    """A preset by name, or any YAML file by path, with its ``base`` merged in.

    A file whose ``base`` names another changes single entries of that one: mappings are merged, lists and values
    replaced; where a ``class_path`` changes, the arguments of the old class are dropped.

    Raises:
        PartiganError: there is no such preset or file (the nearest name is suggested), or it is not YAML.
    """
    path = FOLDER / f"{name}.yaml"
    if not path.exists():
        path = Path(name)
        if path.suffix not in (".yaml", ".yml") or not path.exists():
            near = difflib.get_close_matches(name, names(), n=1, cutoff=0.0)
            raise PartiganError(
                f"there is no preset or YAML file {name!r}; did you mean {near[0]!r}? 'partigan list' shows all"
            )
    content = read_yaml(path)
    base = content.pop("base", None)
    if base in (*_reading, name):
        raise PartiganError(f"{path} is its own base, by way of {' and '.join(_reading)}")
    return content if base is None else _merged(read(base, (*_reading, name)), content)


def _merged(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    if "class_path" in change and change["class_path"] != base.get("class_path"):
        return change
    merged = dict(base)
    for key, value in change.items():
        old = base.get(key)
        merged[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged
