"""What a configuration may name without trust, decided on the class that a path leads to and not on the text.

Whoever writes a configuration can let partigan call any class that it may name, with any plain arguments. So without
trust it may name only the concrete classes of the ``ROLES``, where they are defined, and the ``OPTIMISERS`` of torch.
All arguments of such a class are numbers, words and other such classes.
Nothing but modules of partigan is imported to find that out.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import torch
from torch import nn

from partigan.blame import said
from partigan.data.transforms.transform import Transform
from partigan.errors import PartiganError
from partigan.nets.contracts import Coder, Critic, Product
from partigan.nets.history import History
from partigan.objectives.augmentations import Augmentation
from partigan.objectives.losses import Objective
from partigan.objectives.terms import Term
from partigan.systems.schedules import Schedule
from partigan.systems.system import Loss, OptimizerFactory, System

ROLES: dict[str, tuple[type, ...]] = {
    "partigan.data.transforms": (Transform,),
    "partigan.nets": (Product, Critic, Coder, History),
    "partigan.objectives": (Objective, Term, Augmentation),
    "partigan.systems": (System, Loss, Schedule),
}
"""The bases of classes that a configuration may name, by the package that defines them."""

OPTIMISERS = (
    *("ASGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop", "SGD"),
    "Muon",  # of torch 2.9 and newer
)
"""The optimisers of ``torch.optim`` that a configuration may name."""

_WORD = re.compile(r"[\w/+-]*")  # what a text in a configuration may be that is no class path
_ENTRIES = {"class_path", "init_args"}  # of a mapping that names a class
_OURS = "partigan."
_AGAIN = "; train a run of another version of partigan again"


def class_named(path: Any, trust: bool = False) -> Any:
    """The class of a full import path.

    Args:
        path: module and name.
        trust: import modules outside partigan, and take classes without a role.

    Raises:
        PartiganError: there is none, or it is not trusted.
    """
    if not isinstance(path, str):
        raise PartiganError(f"{path!r} is no class path; write a text such as nets.tables.TableGenerator")
    module, _, name = path.rpartition(".")
    if trust or module in _modules():
        found = _imported(path, module, name)
        if trust or _has_role(found, module, name):
            return found
    elif module == "torch.optim" and name in OPTIMISERS and hasattr(torch.optim, name):
        return getattr(torch.optim, name)
    advice = f"check its name{_AGAIN}" if path.startswith(_OURS) else "look at its code, then give --trust to run it"
    raise PartiganError(
        f"the configuration uses {path[:80]!r}, which is not a class of partigan for configurations; {advice}"
    )


@cache
def _modules() -> frozenset[str]:
    """The modules that define classes with a role."""
    top = Path(__file__).parents[1]
    files = (file for home in ROLES for file in (top / home.replace(".", "/")).rglob("*.py"))
    return frozenset(".".join(file.relative_to(top).with_suffix("").parts) for file in files)


def _imported(path: str, module: str, name: str) -> Any:
    """Whatever stands at a path."""
    advice = _AGAIN if module.startswith(_OURS) else ", and PYTHONPATH for one of your own"
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise PartiganError(f"there is no class {path!r}: {error}; check the path{advice}") from error
    except Exception as error:  # whatever the user's module does when it is imported
        raise PartiganError(f"{path} cannot be imported: {said(error)}; mend {module}") from error
    if not inspect.isclass(found):
        raise PartiganError(f"{path!r} is a {type(found).__name__}, not a class; name a class (--trust or not)")
    return found


def _has_role(found: Any, module: str, name: str) -> bool:
    """True for a concrete class of one of the roles that is defined where its path says."""
    bases = next((bases for home, bases in ROLES.items() if f"{module}.".startswith(f"{home}.")), ())
    return (
        (found.__module__, found.__qualname__) == (module, name)
        and issubclass(found, bases)
        and not inspect.isabstract(found)
        and not name.startswith("_")
        and _takes_plain_values(found)
    )


@cache
def _takes_plain_values(found: Any) -> bool:
    """True where all arguments of a class are plain: none of type Any, no path, and no function but an optimiser's."""
    hints = get_type_hints(found if is_dataclass(found) else found.__init__)
    open_ended = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(found).parameters.items()
    return all(_plain(hints.get(name)) for name, parameter in parameters if parameter.kind not in open_ended)


def _plain(hint: Any) -> bool:
    """True for types of numbers and words, of classes with a role, and of collections of them."""
    if hint in (int, float, bool, str, type(None), nn.Module, OptimizerFactory):
        return True
    if inspect.isclass(hint) and not get_args(hint):
        bases = tuple(base for bases in ROLES.values() for base in bases)
        return issubclass(hint, bases) or (is_dataclass(hint) and _takes_plain_values(hint))
    inner = [each for each in get_args(hint) if each is not ...]
    return get_origin(hint) is Literal or (
        get_origin(hint) in (list, tuple, dict, Sequence, Union, UnionType) and all(map(_plain, inner))
    )


def refuse_foreign(value: Any) -> None:
    """Raise for anything in a configuration that could lead to somebody's code.

    Only plain values may be there: numbers, words, lists and mappings of them, and mappings that name a class.

    Raises:
        PartiganError: a class that is not trusted, or a text that could be parsed as something else than a word.
    """
    if isinstance(value, Mapping):
        if "class_path" in value:
            class_named(value["class_path"])
            if more := sorted(map(str, value.keys() - _ENTRIES)):
                raise PartiganError(
                    f"{value['class_path']} has the entry {more[0]!r}; class_path and init_args are all"
                )
            value = {"init_args": value.get("init_args")}
        for key, entry in value.items():
            if not isinstance(key, str):
                raise PartiganError(f"the configuration has the name {key!r}; names must be words")
            refuse_foreign(key)
            refuse_foreign(entry)
    elif isinstance(value, list | tuple):
        for entry in value:
            refuse_foreign(entry)
    elif isinstance(value, str):
        if not _WORD.fullmatch(value):
            raise PartiganError(
                f"the configuration has the text {value[:60]!r} where a word or a number belongs; write a class with "
                "its arguments as a mapping, or give --trust"
            )
    elif not (value is None or isinstance(value, bool | int | float)):
        raise PartiganError(
            f"the configuration has a {type(value).__name__} where a word or a number belongs; give --trust to use it"
        )
