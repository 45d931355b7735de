"""JSON and YAML of ours: read within bounds, into plain values, and held against a schema."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from partigan.errors import PartiganError
from partigan.reading import readable, size_of

JSON_BYTES, YAML_BYTES = 2**26, 2**15  # far more than files of ours have
DEPTH, NODES, SCALAR = 60, 5_000, 4096  # of YAML: levels, values with aliases written out, characters of a value


def _text(path: Path, limit: int, form: str) -> str:
    """Content of a file that is not larger than ``limit`` bytes."""
    if size_of(path) > limit:
        raise PartiganError(f"{path} is larger than {limit >> 10} kB; no such file of partigan is")
    with readable(path, form, "mend it"):
        return path.read_text(encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Read JSON.

    Raises:
        PartiganError: the file is missing, not JSON, or larger or deeper than any of ours.
    """
    text = _text(Path(path), JSON_BYTES, "JSON")
    with readable(path, "JSON", "mend it"):
        return json.loads(text)


def read_lines(path: str | Path) -> list[Any]:
    """Read JSON values, one a line; a last line without its end is one that is still written, or was cut off.

    Raises:
        PartiganError: as of `read_json`, with the number of the line.
    """
    found: list[Any] = []
    for line in _text(Path(path), JSON_BYTES, "JSON").split("\n")[:-1]:
        with readable(f"{path}, line {len(found) + 1},", "JSON", "mend it"):
            found.append(json.loads(line))
    return found


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML file of options.

    Raises:
        PartiganError: the file is missing, not YAML, not a mapping, or larger or deeper than any of ours.
    """
    text = _text(Path(path), YAML_BYTES, "YAML")
    with readable(path, "YAML", "mend it"):
        content = parse_yaml(text)
    if not isinstance(content, dict):
        raise PartiganError(f"{path} is not a mapping of options; see partigan/presets/mdma.yaml for one")
    return content


def parse_yaml(text: str) -> Any:
    """Plain values from YAML: texts, numbers, booleans, lists and mappings; a date is a text.

    Raises:
        ValueError: it is not YAML, or out of bounds.

    Example:
        >>> parse_yaml("{lr: 0.1, day: 2024-01-01, betas: [0, 1]}")
        {'lr': 0.1, 'day': '2024-01-01', 'betas': [0, 1]}
    """
    try:
        return yaml.load(text, _Bounded)  # a SafeLoader with bounds
    except (yaml.YAMLError, RecursionError, TypeError) as error:  # a list or mapping cannot be a name
        raise ValueError(str(error)) from error


class _Bounded(yaml.SafeLoader):  # type: ignore[misc]
    """Plain values only, in bounds that hold for aliases written out, too: ten lines can stand for 10^9 values."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._nodes = 0
        self._sizes: dict[int, int] = {}  # of finished nodes, by identity

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """A node of the document, counted."""
        alias, before = self.check_event(yaml.AliasEvent), self._nodes
        if self.check_event(yaml.ScalarEvent) and len(self.peek_event().value) > SCALAR:
            raise ValueError(f"it has a value of more than {SCALAR} characters")
        self._depth += 1
        if self._depth > DEPTH:
            raise ValueError(f"it has more than {DEPTH} levels")
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        if alias and id(node) not in self._sizes:
            raise ValueError("it has a value that contains itself")
        self._nodes += self._sizes[id(node)] if alias else 1
        if self._nodes > NODES:
            raise ValueError(f"it has more than {NODES} values")
        self._sizes[id(node)] = self._nodes - before
        return node


_KEPT = ("null", "bool", "int", "float", "str", "seq", "map")
_Bounded.yaml_constructors = {
    tag: make
    for tag, make in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or tag.rpartition(":")[2] in _KEPT
}
_Bounded.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in pairs if not tag.endswith(":timestamp")]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True)
class Rule:
    """A schema with a condition.

    Attributes:
        schema: of the value.
        holds: the condition, asked of a value that has the schema.
        expected: what errors say that a value must be.
    """

    schema: Any
    holds: Callable[[Any], bool]
    expected: str


def check(value: Any, schema: Any, where: str) -> None:
    """Hold a value against a schema.

    Args:
        value: from JSON or YAML.
        schema: a type (``float`` takes whole numbers, ``object`` everything); a tuple of alternatives; ``[schema]`` for
            a list; ``{"name": schema, "name?": schema}`` for a mapping with these entries, and with ``str: schema`` all
            others; or a `Rule`.
        where: file and key, for messages.

    Raises:
        PartiganError: names the first key whose value is not as the schema says, and what is expected.

    Example:
        >>> check({"step": 3}, {"step": int, "loss?": float}, "log.jsonl")
        >>> check({"step": "3"}, {"step": int}, "log.jsonl")
        Traceback (most recent call last):
            ...
        partigan.errors.PartiganError: log.jsonl: step = '3'; expected a whole number
    """
    if (fault := _fault(value, schema, ())) is not None:
        path, wrong, expected = fault
        name = ".".join(path) or "the whole"
        shown = repr(wrong) if len(repr(wrong)) < 60 else f"{repr(wrong)[:57]}..."
        raise PartiganError(f"{where}: {name} = {shown}; expected {expected}")


_Fault = tuple[tuple[str, ...], Any, str]


def _fault(value: Any, schema: Any, path: tuple[str, ...]) -> _Fault | None:
    """The first place where a value is not as its schema says: its path, what is there, and what is expected."""
    if isinstance(schema, Rule):
        inner = _fault(value, schema.schema, path)
        return inner or (None if schema.holds(value) else (path, value, schema.expected))
    if isinstance(schema, tuple):
        faults = [_fault(value, each, path) for each in schema]
        deepest = max(faults, key=lambda fault: 0 if fault is None else len(fault[0]))
        return None if None in faults else deepest if len(deepest[0]) > len(path) else (path, value, _names(schema))  # type: ignore[index]
    if isinstance(schema, list):
        if not isinstance(value, list):
            return path, value, "a list"
        return next((f for n, v in enumerate(value) if (f := _fault(v, schema[0], (*path, str(n))))), None)
    if isinstance(schema, Mapping):
        return _fault_of_mapping(value, schema, path)
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    fits = numeric and isinstance(value, int | schema) if schema in (int, float) else isinstance(value, schema)
    return None if fits else (path, value, _names(schema))


def _fault_of_mapping(value: Any, schema: Mapping[Any, Any], path: tuple[str, ...]) -> _Fault | None:
    """As `_fault`, of a mapping."""
    if not isinstance(value, Mapping):
        return path, value, "a mapping"
    known = {name.removesuffix("?"): each for name, each in schema.items() if isinstance(name, str)}
    for name, entry in value.items():
        each = known.get(name, schema.get(str))
        if each is None:
            return (*path, str(name)), entry, f"no entry but {', '.join(known)}"
        if (fault := _fault(entry, each, (*path, str(name)))) is not None:
            return fault
    missing = [name for name in known if name in schema and name not in value]
    return ((*path, missing[0]), None, _names(known[missing[0]])) if missing else None


def _names(schema: Any) -> str:
    """What a schema, or alternatives, is called in messages."""
    words = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", type(None): "nothing"}
    said = [
        each.expected
        if isinstance(each, Rule)
        else "a list"
        if isinstance(each, list)
        else "a mapping"
        if isinstance(each, Mapping)
        else words.get(each, "a value")
        for each in (schema if isinstance(schema, tuple) else (schema,))
    ]
    return " or ".join(said)
