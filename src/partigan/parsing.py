"""Mistakes in options, each said in one line."""

from __future__ import annotations

import difflib
import re
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser

from partigan import presets
from partigan.errors import PartiganError


def readable(error: ArgumentError, parser: ArgumentParser) -> PartiganError:
    """One line of a parser's error; an unknown option is shown with the nearest known one."""
    text = " ".join(str(error).split())
    unknown = re.search(r"unrecognized arguments?: (-*)([^\s=]+)", text, re.IGNORECASE)
    if unknown is None:
        if wrong := re.search(
            r'key "([\w.]+)": Expected a (?:[\w.]+\[(.*?)\]|<class \'(\w+)\'>)\. Got value: (.+)', text
        ):
            kind = f"one of {wrong[2]}" if wrong[2] else f"of type {wrong[3]}"
            return PartiganError(f"--{wrong[1]}: {wrong[4]!r} is not {kind}")
        if wrong := re.search(r'key "([\w.]+)": Does not validate.*typing\.Literal\[(.*?)\].* Given value: (.+)', text):
            return PartiganError(f"--{wrong[1]}: {wrong[3]!r} is not one of {wrong[2]}")
        missing = re.search(r"arguments are required: (.*)", text)
        options = ", ".join(f"--{name.rpartition('.')[2]}" for name in missing[1].split(", ")) if missing else ""
        return PartiganError(f"missing: {options}; --help shows all options" if missing else text)
    if not unknown[1]:
        hint = f"write --config {unknown[2]}" if unknown[2] in presets.names() else "options begin with --"
        return PartiganError(f"{unknown[2]!r} stands alone; {hint}")
    known = [action.dest for action in parser._actions if not action.dest.endswith(".help")]
    return unknown_option(unknown[2], known)


def unknown_option(name: str, known: Any, path: str = "") -> PartiganError:
    """The error for a mistyped name, with the nearest one."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    parent = path.removesuffix(name)
    hint = f"did you mean {parent + near[0]!r}?" if near else f"there are {', '.join(sorted(known))}"
    return PartiganError(f"unknown option {parent + name!r}; {hint}")
