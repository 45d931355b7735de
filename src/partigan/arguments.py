"""Options of commands from the signatures and docstrings of the functions that they call."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from partigan.cluster import PLACES
from partigan.errors import PartiganError

_SEVERAL: dict[str, tuple[Any, type, Any]] = {
    "Sequence[str]": ("+", str, "NAME"),
    "Sequence[int]": ("+", int, "NUMBER"),
    "tuple[float, float]": (2, float, ("FROM", "TO")),
    "tuple[float, float] | None": (2, float, ("FROM", "TO")),
}
"""Annotations of arguments that take several words: how many, of which type, and their names in the help."""


def add_options(parser: ArgumentParser, function: Any, *skip: str) -> None:
    """Options from a function's signature and docstring; booleans are flags, sequences take several words."""
    taken = inspect.signature(function).parameters
    flags = {"resume", "overwrite", "trust", "strict"} & {*taken}
    lists = [name for name, each in taken.items() if each.annotation in _SEVERAL and name not in skip]
    left: set[str | int] = {name for name in (*flags, *lists, "verify", *skip) if name in taken}
    parser.add_function_arguments(function, as_positional=False, skip=left)
    helps = {
        "resume": "resume an interrupted job",
        "overwrite": "replace an existing output",
        "trust": "follow class paths outside partigan",
        "strict": "refuse conditions outside the range of training, instead of a warning",
    }
    for name in lists:
        said = re.search(rf"^ +{name}: (.*)", function.__doc__, re.MULTILINE)
        text, given = said[1] if said else "", taken[name].default
        number, kind, word = _SEVERAL[taken[name].annotation]
        needed = given is inspect.Parameter.empty
        given = None if needed or given is None else [*given]
        look = {"type": kind, "default": given, "required": needed, "metavar": word, "help": text}
        parser.add_argument(f"--{name}", nargs=number, **look)
    for name in sorted(flags):
        parser.add_argument(f"--{name}", action="store_true", help=helps[name])
    if {"workers", "resume"} <= {*taken}:
        text = "leave the chunks as a folder of parts, which every command takes as one file"
        parser.add_argument("--parts", action="store_true", help=text)
        parser.add_argument("--cluster", metavar="WHERE", help=f"make the chunks on a cluster: {PLACES}")
    if "verify" in taken:
        text = "use a run even if its files were changed since it was made"
        parser.add_argument("--no_verify", dest="verify", action="store_false", default=True, help=text)


def configured(parser: ArgumentParser, function: Any, arguments: list[str], required: bool) -> dict[str, str]:
    """Options of a function that trains; those of a configuration's sections are taken out of ``arguments``.

    Args:
        parser: of the command.
        function: what trains.
        arguments: of the command.
        required: whether a configuration must be given.
    """
    from partigan.systems.options import TrainerOptions

    add_options(parser, function, "config", "data", "overrides", "start")
    text = "preset ('partigan list' shows all) or YAML file; any of its options can be given, too, such as "
    text += "--system.generator.latent 32 or --system.objective objectives.losses.Hinge"
    parser.add_argument("--config", type=str, required=required, help=text)
    parser.add_class_arguments(TrainerOptions, "trainer")
    return _overrides(arguments)


def without_trainer(options: Namespace) -> dict[str, Any]:
    """Parsed options without those of the trainer, which are overrides of the configuration."""
    return {name: value for name, value in vars(options).items() if name != "trainer"}


def _overrides(arguments: list[str]) -> dict[str, str]:
    """Options of the sections of a configuration, ``--system.objective X`` or ``--trainer.max_steps=3``, taken out."""
    from partigan.presets import SECTIONS

    found, rest, words = {}, [], iter(arguments)
    for word in words:
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or name.split(".")[0] not in SECTIONS:
            rest.append(word)
            continue
        if not equals:
            value = next(words, "")
            if not value or (value.startswith("--") and len(value) > 2):
                raise PartiganError(f"--{name} needs a value: --{name} VALUE")
        found[name] = value
    arguments[:] = rest
    return found


def files(entries: list[str]) -> Any:
    """One file, or files by class from texts CLASS=FILE."""
    if len(entries) == 1 and ("=" not in entries[0] or Path(entries[0]).exists()):
        return Path(entries[0])
    return named(entries, "--data", "g=g.h5 q=q.h5")


def named(entries: list[str], option: str, example: str) -> dict[str, Path]:
    """Paths by name, from texts NAME=PATH."""
    pairs = [entry.partition("=")[::2] for entry in entries]
    names = [name for name, path in pairs if name and path]
    if len(set(names)) < len(entries):
        raise PartiganError(f"{option} {' '.join(entries)}: give every path a name of its own: {option} {example}")
    return {name: Path(path) for name, path in pairs}
