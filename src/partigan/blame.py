"""Whose code an error comes from: a user's class with a mistake is the user's to mend."""

from __future__ import annotations

import re
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from traceback import walk_tb

_PLACES = [str(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
_INSTALLED = tuple(str(Path(place).resolve()) for place in (*_PLACES, str(Path(__file__).parent)))
_CALL = re.compile(r"(?:(\w+)\.)?(\w+)\(\) (?:takes|got|missing) ")


def said(error: BaseException) -> str:
    """An error in one line: its kind where the text alone does not say it, and where in a user's code it comes from."""
    text = " ".join(str(error).split())
    named = f"{type(error).__name__}: {text}" if isinstance(error, LookupError | AssertionError) or not text else text
    where = own_code(error)
    return f"{named} (in {where})" if where else named


def own_code(error: BaseException) -> str:
    """Class, method and line of a user's own code that an error comes from; empty where it comes from none.

    A call that does not fit the arguments of a user's method comes from that method.
    """
    for frame, line in reversed([*walk_tb(error.__traceback__)]):
        if _own(frame.f_code.co_filename):
            return f"{frame.f_code.co_qualname}, {Path(frame.f_code.co_filename).name} line {line}"
    if isinstance(error, TypeError) and (call := _CALL.match(str(error))):
        name, method = call[1] or call[2], call[2]
        for file in _files_of(name):
            advice = "give it the arguments that its base class has"
            return f"{name}.{method}, {file}; {advice}" if call[1] else f"{name}, {file}; check its arguments"
    return ""


def _own(file: str | None) -> bool:
    """True for a file that neither partigan, Python nor an installed package brings."""
    return file is not None and not file.startswith("<") and not str(Path(file).resolve()).startswith(_INSTALLED)


def _files_of(name: str) -> Iterator[str]:
    """The files of users' modules that define something of a name."""
    for module in list(sys.modules.values()):
        file, found = getattr(module, "__file__", None), vars(module).get(name)
        if _own(file) and getattr(found, "__module__", None) == module.__name__:
            yield Path(str(file)).name
