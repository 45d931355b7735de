"""Typed configuration: presets and options to objects, with the nearest name for a mistyped one."""

from __future__ import annotations

import copy
import difflib
import inspect
import json
import re
from importlib import import_module
from typing import Any

from jsonargparse import ActionConfigFile, ArgumentError, ArgumentParser, Namespace  # type: ignore[attr-defined]

from partigan import presets
from partigan.data.transforms import Transform
from partigan.errors import PartiganError
from partigan.training.system import System
from partigan.training.trainer import Trainer

SECTIONS = ("about", "kind", "transform", "system", "trainer")


class _Preset(ActionConfigFile):
    """``--config``: a preset by name, or a YAML file."""

    def __call__(self, parser: Any, cfg: Any, values: Any, option_string: str | None = None) -> None:
        self.apply_config(parser, cfg, self.dest, json.dumps(presets.read(values)))


def add_training_options(parser: ArgumentParser) -> None:
    """The options of a training that presets hold."""
    parser.add_argument("--config", action=_Preset, help="preset ('partigan list' shows all) or YAML file")
    parser.add_argument("--about", type=dict[str, str], default={}, help="title, paper and status of the system")
    parser.add_argument("--kind", type=str, default="jets", help="kind of data")
    parser.add_argument("--transform", type=Transform, help="normalisation with an exact inverse")
    parser.add_argument("--system", type=System, help="networks, objective, terms and optimisers")
    parser.add_class_arguments(Trainer, "trainer")


def parse_training(config: str | dict[str, Any], overrides: dict[str, Any] | None = None) -> dict[str, Any]:
    """A resolved configuration as plain values.

    Args:
        config: name of a preset, path of a YAML file, or the content of one.
        overrides: options to change, by dotted name.

    Raises:
        PartiganError: an unknown option (the nearest one is suggested) or a value of the wrong type.
    """
    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False)
    add_training_options(parser)
    options = [
        f"--{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in (overrides or {}).items()
    ]
    try:
        if isinstance(config, str):
            parsed = parser.parse_args(["--config", config, *options])
        else:
            parsed = parser.parse_args(options, namespace=parser.parse_object(config))
    except ArgumentError as error:
        raise readable(error, parser) from error
    return plain(parsed)


def plain(parsed: Namespace) -> dict[str, Any]:
    """The preset's sections of parsed options as YAML values."""
    chosen = Namespace(**{key: value for key, value in vars(parsed).items() if key in SECTIONS})
    if chosen.get("system") is None or chosen.get("transform") is None:
        raise PartiganError("say what to train: --config with a preset ('partigan list' shows all) or a YAML file")
    return dict(_values(chosen))


def _values(parsed: Any) -> Any:
    """Namespaces as dictionaries, all the way down."""
    if isinstance(parsed, Namespace):
        return {key: _values(value) for key, value in vars(parsed).items()}
    if isinstance(parsed, dict):
        return {key: _values(value) for key, value in parsed.items()}
    return [_values(value) for value in parsed] if isinstance(parsed, (list, tuple)) else parsed


def build(config: dict[str, Any]) -> tuple[System, Transform, Trainer]:
    """The objects that a configuration describes: networks and phases, normalisation, trainer."""
    parser = ArgumentParser(exit_on_error=False)
    add_training_options(parser)
    try:
        parsed = parser.parse_object(copy.deepcopy({key: config[key] for key in SECTIONS if key in config}))
        built = parser.instantiate(parsed)
    except ArgumentError as error:
        raise readable(error, parser) from error
    except PartiganError:
        raise
    except Exception as error:  # a class of the literature, of torch or of the user refuses its arguments
        raise PartiganError(f"the configuration cannot be built: {error}") from error
    return built.system, built.transform, built.trainer


def class_named(path: str) -> Any:
    """The class of an import path."""
    module, _, name = path.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise PartiganError(f"there is no class {path!r}: {error}") from error


def readable(error: Exception, parser: ArgumentParser) -> PartiganError:
    """One line of a parser's error; an unknown option is shown with the nearest known one."""
    text = " ".join(str(error).split())
    unknown = re.search(r"unrecognized arguments?: (-*)([^\s=]+)|option '([\w.]+)'", text, re.IGNORECASE)
    if unknown is None:
        return PartiganError(text.rsplit("': ", 1)[-1] if "Problem with given class_path" in text else text)
    name = unknown.group(2) or unknown.group(3)
    if name in presets.names() and not unknown.group(1):
        return PartiganError(f"{name!r} stands alone; write --config {name}")
    known = [action.dest for action in parser._actions if not action.dest.endswith(".help")]
    for path in re.findall(r"class_path '([\w.]+)'", text):
        known = list(inspect.signature(class_named(path)).parameters)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known))}"
    return PartiganError(f"unknown option {name!r}; {hint}")
