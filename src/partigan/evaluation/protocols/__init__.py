"""Protocols of evaluation, one YAML each: which metrics a paper gives, of how many samples, with which conventions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from partigan.errors import PartiganError
from partigan.files import read_yaml

FOLDER = Path(__file__).parent


def protocols(kind: str) -> dict[str, dict[str, Any]]:
    """The protocols that come with partigan for a kind of data, by name."""
    found = {path.stem: read_yaml(path) for path in sorted(FOLDER.glob("*.yaml"))}
    return {name: terms for name, terms in found.items() if kind in _kinds(terms)}


def protocol_of(kind: str, name: str | None) -> tuple[str, dict[str, Any]]:
    """Name and content of a protocol.

    Args:
        kind: kind of data.
        name: of a protocol of partigan, or the path of a YAML file; None = the kind's first.

    Raises:
        PartiganError: there is no such protocol.
    """
    known = protocols(kind)
    name = next(iter(known), "") if name is None else str(name)
    if name in known:
        return name, known[name]
    if not name.endswith((".yaml", ".yml")):
        raise PartiganError(f"unknown protocol {name!r}; for {kind} there are {', '.join(known)}, or give a YAML file")
    return name, read_protocol(Path(name), kind, next(iter(known.values())))


def _kinds(terms: dict[str, Any]) -> list[Any]:
    """The kinds of data that a protocol is for."""
    kind = terms.get("kind")
    return kind if isinstance(kind, list) else [kind]


def read_protocol(path: Path, kind: str, like: dict[str, Any]) -> dict[str, Any]:
    """A protocol of the user's own.

    Args:
        path: YAML file with the same entries as the protocols of partigan.
        kind: kind of data that it must be for.
        like: a protocol of partigan for this kind.

    Raises:
        PartiganError: it is missing, not YAML, for another kind, or has other entries.
    """
    terms = read_yaml(path)
    if kind not in _kinds(terms):
        raise PartiganError(f"{path} is a protocol for {terms.get('kind')!r}, not for {kind}; write 'kind: {kind}'")
    if different := sorted(terms.keys() ^ like.keys()):
        raise PartiganError(f"{path}: a protocol for {kind} has the entries {', '.join(like)}; check {different[0]!r}")
    if not isinstance(terms["metrics"], list) or (strange := [n for n in terms["metrics"] if n not in like["metrics"]]):
        wrong = strange[0] if isinstance(terms["metrics"], list) else terms["metrics"]
        raise PartiganError(f"{path}: metrics must be a list of {', '.join(like['metrics'])}; check {wrong!r}")
    return terms
