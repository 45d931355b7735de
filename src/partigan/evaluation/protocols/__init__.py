"""Protocols of evaluation, one YAML each: which metrics a paper gives, of how many samples, with which conventions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from partigan.documents import read_yaml
from partigan.errors import PartiganError

FOLDER = Path(__file__).parent


def names(kind: str) -> list[str]:
    """Names of the protocols for a kind of data; a kind without any has one of its own name.

    Example:
        >>> names("jets")
        ['mdma', 'mpgan']
        >>> names("mymodule.MyKind")
        ['mymodule.MyKind']
    """
    return list(_protocols(kind)) or [kind]


def protocol(kind: str, name: str, metrics: Sequence[str] = ()) -> dict[str, Any]:
    """A protocol by name, or the user's own by the path of a YAML file.

    Args:
        kind: name of the kind of data.
        name: one of `names`, or the path of a YAML file with the same entries as the protocols of partigan.
        metrics: that the kind gives, for a kind without protocols.

    Raises:
        PartiganError: there is no such protocol; the file is not YAML, for another kind, or has other entries.
    """
    known = _protocols(kind) or {kind: {"title": kind, "paper": "none", "kind": kind, "metrics": list(metrics)}}
    if name in known:
        return known[name]
    if name.endswith((".yaml", ".yml")):
        return _read(Path(name), kind, next(iter(known.values())))
    raise PartiganError(f"unknown protocol {name!r}; for {kind} there are {', '.join(known)}, or give a YAML file")


def _protocols(kind: str) -> dict[str, dict[str, Any]]:
    """The protocols that come with partigan for a kind of data, by name."""
    found = {path.stem: read_yaml(path) for path in sorted(FOLDER.glob("*.yaml"))}
    return {name: terms for name, terms in found.items() if kind in _kinds(terms)}


def _kinds(terms: dict[str, Any]) -> list[Any]:
    """The kinds of data that a protocol is for."""
    kind = terms.get("kind")
    return kind if isinstance(kind, list) else [kind]


def _read(path: Path, kind: str, like: dict[str, Any]) -> dict[str, Any]:
    """A protocol of the user's own, with the entries of ``like``."""
    terms = read_yaml(path)
    if kind not in _kinds(terms):
        raise PartiganError(f"{path} is a protocol for {terms.get('kind')!r}, not for {kind}; write 'kind: {kind}'")
    if different := sorted(terms.keys() ^ like.keys()):
        raise PartiganError(f"{path}: a protocol for {kind} has the entries {', '.join(like)}; check {different[0]!r}")
    if not isinstance(terms["metrics"], list) or (strange := [n for n in terms["metrics"] if n not in like["metrics"]]):
        wrong = strange[0] if isinstance(terms["metrics"], list) else terms["metrics"]
        raise PartiganError(f"{path}: metrics must be a list of {', '.join(like['metrics'])}; check {wrong!r}")
    return terms
