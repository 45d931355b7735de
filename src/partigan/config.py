"""Configuration: short YAML and options -> a resolved configuration -> objects.

Short form: a class with its arguments is ``{nets.tables.TableGenerator: {latent: 2}}``, without arguments just
``objectives.losses.Hinge``; ``partigan.`` may be left out, and so may defaults and the class of a GAN. The resolved
form, which a run stores, has ``class_path`` with the full path and ``init_args`` with every argument.

`partigan.trust` decides which class paths are followed without trust.
"""

from __future__ import annotations

import copy
import inspect
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser, Namespace
from torch import nn

from partigan import presets
from partigan.blame import said
from partigan.data.transforms.transform import Transform
from partigan.documents import check, parse_yaml
from partigan.errors import PartiganError
from partigan.objectives.terms import Term
from partigan.parsing import unknown_option
from partigan.presets import SECTIONS
from partigan.systems.options import Rules, TrainerOptions
from partigan.systems.system import System
from partigan.trust import class_named, refuse_foreign

COMMON = "partigan.systems.gan.GAN"  # the system where a configuration names none
_WORDS = ("about", "kind")  # sections without classes
_DECIDED = ("particles", "features", "channels", "height", "width", "classes", "conditions")  # arguments, by the data
_OPTION = (str, float, bool, type(None))
_TRAINER = {"rules?": {str: _OPTION}, str: _OPTION}
Place = tuple[Any, ...]  # names and numbers that lead to a part of a configuration
_CLASS = re.compile(r"\w+(\.\w+)*\.[A-Z]\w*")


def read(config: str | Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A configuration in its expanded form, with every ``base`` merged in and options changed.

    Args:
        config: name of a preset, path of a YAML file, or the content of one.
        overrides: options to change, by dotted name, such as ``system.generator.latent``.

    Raises:
        PartiganError: there is no such preset or file, it is not YAML, or an option is unknown.
    """
    chain: tuple[str, ...] = (config,) if isinstance(config, str) else ()
    layers = [presets.read(config) if isinstance(config, str) else presets.checked(config, "the configuration")]
    while (base := layers[-1].pop("base", None)) is not None:
        if base in chain:
            raise PartiganError(f"{chain[0]} is its own base, by way of {' and '.join(chain)}")
        chain = (*chain, base)
        layers.append(presets.read(base))
    content: dict[str, Any] = {}
    for layer in reversed(layers):  # from the base up: a null takes out what those before it have
        content = merged(content, expanded(layer))
    if isinstance(system := content.get("system"), Mapping) and "class_path" not in system:
        content["system"] = {"class_path": COMMON, "init_args": system}
    return changed(content, overrides or {})


def expanded(value: Any) -> Any:
    """Short forms of classes written out as ``class_path`` and ``init_args``, all the way down."""
    if isinstance(value, str):
        return _spec(value) if _CLASS.fullmatch(value) else value
    if isinstance(value, list):
        return [expanded(entry) for entry in value]
    if not isinstance(value, Mapping):
        return value
    if "class_path" in value:
        return {**value, **_spec(value["class_path"], value.get("init_args"))}
    if len(value) == 1 and isinstance(name := next(iter(value)), str) and _CLASS.fullmatch(name):
        return _spec(name, value[name])
    return {key: entry if key in _WORDS else expanded(entry) for key, entry in value.items()}


def _spec(path: Any, arguments: Any = None) -> dict[str, Any]:
    """A class with its arguments, by its whole path: that of partigan where partigan has a module of that name."""
    if not (isinstance(path, str) and isinstance(arguments, Mapping | None)):
        raise PartiganError(
            f"{str(path)[:60]!r} with {str(arguments)[:60]!r} is no class with its arguments; write a mapping such as "
            "{nets.tables.TableGenerator: {latent: 2}}"
        )
    full = f"partigan.{path}" if path.partition(".")[0] in _PACKAGES else path
    return {"class_path": full, "init_args": expanded(arguments or {})}


_PACKAGES = {"data", "nets", "objectives", "systems"}


def merged(base: Any, change: Any) -> Any:
    """A configuration with single entries changed, both in their expanded form.

    Mappings are merged, everything else is replaced. A change without a class path changes arguments of the class that
    is there; another class drops the arguments of the old one.
    """
    if not (isinstance(base, Mapping) and isinstance(change, Mapping)):
        return change
    if "class_path" in base and "class_path" not in change:
        return {**base, "init_args": merged(base.get("init_args", {}), change)}
    if change.get("class_path", base.get("class_path")) != base.get("class_path"):
        return change
    return {**base, **{key: merged(base[key], value) if key in base else value for key, value in change.items()}}


def changed(config: dict[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with options changed by dotted name, such as ``system.generator.latent``.

    Args:
        config: in its expanded form.
        overrides: values by name; texts are read as YAML.

    Raises:
        PartiganError: an unknown option; the nearest name is suggested.
    """
    for path, value in overrides.items():
        if isinstance(value, str):
            try:
                value = parse_yaml(value)
            except ValueError as error:
                reason = " ".join(str(error).split())
                raise PartiganError(f"--{path}: {value[:60]!r} cannot be read: {reason}") from error
        names = path.split(".")
        change: Any = value if names[0] in _WORDS else expanded(value)
        for name in reversed(names):
            change = {name: change}
        _check_names(config, names, path)
        config = merged(config, change)
    return config


def _check_names(config: Any, names: list[str], path: str) -> None:
    """Raise for a dotted name that leads nowhere."""
    for depth, name in enumerate(names):
        if depth == 0:
            known: Any = SECTIONS
        elif names[0] == "trainer" and depth == 1:
            known = inspect.signature(TrainerOptions).parameters
        elif isinstance(config, Mapping) and "class_path" in config:
            try:
                known = inspect.signature(class_named(config["class_path"])).parameters
            except PartiganError:
                return  # somebody's class; the parser checks its options, where it is trusted
            config = config.get("init_args", {})
        else:
            return  # names of one's own, such as labels of terms, or types that the parser checks
        if name not in known:
            raise unknown_option(name, known, ".".join(names[: depth + 1]))
        config = config.get(name, {}) if isinstance(config, Mapping) else {}


def resolve(
    config: Mapping[str, Any], arguments: Mapping[str, Any] | None = None, trust: bool = False
) -> dict[str, Any]:
    """A resolved configuration, as plain values: full class paths, every argument.

    Args:
        config: in its expanded form.
        arguments: those that the data decide, such as the number of particles; networks and terms that take them and
            do not give them get them. None = before the data are read; what is needed and not given is 1.
        trust: follow class paths outside partigan and torch's optimisers; see `partigan.trust`.

    Raises:
        PartiganError: an unknown option (the nearest one is suggested), a value of the wrong type, or a class that is
            not trusted.
    """
    content = copy.deepcopy(dict(config))
    if unknown := [key for key in content if key not in SECTIONS]:
        raise unknown_option(unknown[0], SECTIONS)
    if content.get("system") is None or content.get("transform") is None:
        raise PartiganError("say what to train: --config with a preset ('partigan list' shows all) or a YAML file")
    if not trust:
        refuse_foreign({key: content[key] for key in ("transform", "system")})
    decided = [*_decided(content["system"], trust)]
    for place, accepted in decided:
        wanted = (name for name, default in accepted.items() if default is inspect.Parameter.empty and name in _DECIDED)
        filled = {name: 1 for name in wanted if arguments is None or name in arguments}
        _at(content["system"], place).setdefault("init_args", {}).update(filled)
    parser, parsed = _parsed(content, trust)
    if arguments is not None:  # after the parser, which takes seconds and has seen the rest before
        for place, accepted in decided:
            for name in arguments.keys() & accepted.keys():
                given, value = _at(parsed.system, (*place, "init_args")), copy.deepcopy(arguments[name])
                given[name] = float(value) if isinstance(given[name], float) else value
        _keep(parser, parsed, trust)
    kept = {key: content[key] for key in ("about", "kind") if key in content}
    values = {**kept, **_values(parsed)}
    TrainerOptions(**{**values["trainer"], "rules": Rules(**values["trainer"]["rules"])})  # refuses what cannot be
    return values


def _decided(value: Any, trust: bool, place: Place = ()) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Places of networks and terms, and the defaults of those of their arguments that are not given."""
    entries: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        if "class_path" in value and issubclass(found := class_named(value["class_path"], trust), nn.Module | Term):
            known, given = inspect.signature(found).parameters, value.get("init_args", {})
            yield place, {name: parameter.default for name, parameter in known.items() if name not in given}
        entries = value.items()
    elif isinstance(value, list):
        entries = enumerate(value)
    for name, entry in entries:
        yield from _decided(entry, trust, (*place, name))


def _at(value: Any, place: Place) -> Any:
    """What is at a place of a configuration, as given or as parsed, where a dataclass may have become a class."""
    for name in place:
        if isinstance(value, Namespace) and "class_path" in value and name not in ("class_path", "init_args"):
            value = value["init_args"]
        value = value[name]
    return value


def build(config: Mapping[str, Any], trust: bool = False) -> tuple[System, Transform, TrainerOptions]:
    """The objects that a resolved configuration describes: networks and phases, normalisation, options of training.

    Raises:
        PartiganError: a class refuses its arguments, or is not trusted.
    """
    parser, parsed = _parsed(dict(config), trust)
    try:
        built = parser.instantiate(parsed)
    except (PartiganError, KeyboardInterrupt):
        raise
    except Exception as error:  # a class of the literature, of torch or of the user refuses its arguments
        raise PartiganError(f"the configuration cannot be built: {said(error)}") from error
    return built.system, built.transform, built.trainer


def typed(config: Mapping[str, Any], trust: bool = False) -> dict[str, Any]:
    """The sections of a resolved configuration with arguments of their types, such as tuples where a file has lists.

    Raises:
        PartiganError: as for `build`.
    """
    found: dict[str, Any] = _values(_parsed(dict(config), trust)[1], lists=False)
    return found


def _parsed(content: Mapping[str, Any], trust: bool) -> tuple[ArgumentParser, Namespace]:
    """The sections with classes, checked and typed.

    Parsing nested classes takes seconds, and a training asks for the same more than once: as given, and resolved. What
    was parsed is kept, for its resolved form, too.
    """
    sections = {key: content[key] for key in ("transform", "system", "trainer") if key in content}
    try:
        key = json.dumps([sections, trust])
    except (TypeError, ValueError):  # values that no file can hold: the parser says which
        return _parse(sections, trust)
    if key not in _KEPT:
        if len(_KEPT) > 100:
            _KEPT.clear()
        _KEPT[key] = _parse(sections, trust)
        _keep(*_KEPT[key], trust)
    parser, parsed = _KEPT[key]
    return parser, copy.deepcopy(parsed)


def _keep(parser: ArgumentParser, parsed: Namespace, trust: bool) -> None:
    """Keep what was parsed for its resolved form."""
    _KEPT[json.dumps([_values(parsed), trust])] = parser, copy.deepcopy(parsed)


_KEPT: dict[str, tuple[ArgumentParser, Namespace]] = {}


def _parse(sections: Mapping[str, Any], trust: bool) -> tuple[ArgumentParser, Namespace]:
    sections = copy.deepcopy(dict(sections))
    check(sections.get("trainer", {}), _TRAINER, "trainer")  # the parser would take a text for a file to read
    if not trust:
        refuse_foreign(sections)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--transform", type=Transform)
    parser.add_argument("--system", type=System)
    parser.add_argument("--trainer", type=TrainerOptions, default=TrainerOptions())
    try:
        parsed = parser.parse_object(sections)
    except ArgumentError as error:
        raise _readable(error, trust) from error
    if not trust:
        refuse_foreign(_values(parsed))  # the parser knows classes by other names than their paths
    return parser, parsed


def _values(parsed: Any, lists: bool = True) -> Any:
    """Namespaces as dictionaries, all the way down; tuples as lists, or as they are."""
    if isinstance(parsed, Namespace):
        return {key: _values(value, lists) for key, value in vars(parsed).items()}
    if isinstance(parsed, dict):
        return {key: _values(value, lists) for key, value in parsed.items()}
    if isinstance(parsed, tuple) and not lists:
        return tuple(_values(value, lists) for value in parsed)
    return [_values(value, lists) for value in parsed] if isinstance(parsed, (list, tuple)) else parsed


def _readable(error: Exception, trust: bool) -> PartiganError:
    """One line of a parser's error: the option, and what is wrong with it."""
    text = " ".join(str(error).split())
    if unknown := re.search(r"unrecognized arguments?: -*([^\s=]+)|option '([\w.]+)'", text, re.IGNORECASE):
        paths = re.findall(r"class_path '([\w.]+)'", text[: unknown.start()])
        known = list(inspect.signature(class_named(paths[-1], trust)).parameters) if paths else []
        return unknown_option(unknown[1] or unknown[2], known or [*SECTIONS])
    reasons = (
        (r"Import path (?:partigan\.)?(\S+) does not correspond to a subclass of (\w+)", "{0} is not a class of {1}"),
        (r"Expected a <class '(\w+)'>\. Got value: (.*?)(?= - |$)", "{1!r} is not of type {0}"),
        (r"Expected a <class '(float|int|bool|str)'> .{0,80}?Given value: (\S+)", "{1!r} is not of type {0}"),
        (r"Expected a <class 'dict'>", "give names with their values, as a mapping"),
        (r"Expected a <class 'list'>", "give a list"),
        (r"Key \"(\w+)\" is required", "{0} is missing"),
        (r"arguments are required: ([\w, ]+)", "{0} is missing"),
        (
            r"Parameter '(\w+)' from '([\w.]+)' does not specify a type",
            "write the type of {0} in {1}, such as {0}: int",
        ),
    )
    for pattern, words in reasons:
        if found := re.search(pattern, text):
            keys = re.findall(r'Parser key "([^"]+)"', text[: found.start()])
            return PartiganError(f"{'.'.join(keys) or 'the configuration'}: {words.format(*found.groups())}")
    return PartiganError(text[:400])
