"""A run as a model of basf2's generator of PXD background: one module of Python, and one dictionary of tensors."""

from __future__ import annotations

import io
import json
import sys
from types import ModuleType
from typing import Any

import torch

from partigan import __version__
from partigan.config import typed
from partigan.errors import PartiganError
from partigan.kinds.pxd import makes_events
from partigan.models.basf2.event import EventModel
from partigan.models.bundling import Bundle, bundle
from partigan.models.model import Model
from partigan.run import Run, known_run
from partigan.trust import class_named

CHECKED = 1  # seed of the event that is compared
FILE = "generator"
_HEADER = '''"""A model of basf2's generator of PXD background, made by partigan {version} from {run}.

`Model` takes no arguments and the state in {file}.pt; `generate(model)` gives an event, charges in ADU of the 40
sensors 1.1.1, 1.1.2, ..., 2.12.2, (40, 250, 768) uint8 on the CPU. Random numbers are torch's global ones. The code is
that of partigan without its annotations; change it there.
"""'''
_ENDING = '''class Model({base}):
    """A generator of PXD background."""

    def __init__(self):
        super().__init__(
            {network},
            {transform},
            {conditions}(),
            {size},
        )


def generate(model):
    """An event, (40, 250, 768) uint8."""
    return model.event()
'''


def basf2_files(model: Model) -> dict[str, str | bytes]:
    """A generator of whole hitmaps for basf2, by name of the file.

    It is loaded as basf2 does and compared with the model before anything is written.

    Args:
        model: from `load`.

    Raises:
        PartiganError: it makes no whole hitmaps of the PXD, needs other packages than torch and numpy, or makes other
            events than the model.
    """
    if not makes_events(model.kind):
        raise PartiganError(f"basf2 takes whole hitmaps of the PXD; this is a run of the kind {model.kind.name}")
    run = Run(known_run(model.name))
    stored, config = run.transform, run.config
    fitted = json.dumps({"state": stored["state"], "conditions": stored["conditions"]}).encode()
    objects = typed(config, trust=True)  # as when the model was loaded
    network, transform = objects["system"]["init_args"][run.product], objects["transform"]
    conditions = type(model.kind.conditions)
    made = bundle([EventModel, conditions, *_classes(network), *_classes(transform)], ["event"])
    ending = _ENDING.format(
        base=made.name(EventModel),
        network=_expression(network, made),
        transform=_expression(transform, made),
        conditions=made.name(conditions),
        size=len(fitted),
    )
    header = _HEADER.format(version=__version__, run=run.path.name, file=FILE)
    code = "\n\n".join((header, made.code, ending))
    state = {f"network.{name}": value for name, value in model.network.state_dict().items()}
    state["fitted"] = torch.frombuffer(bytearray(fitted), dtype=torch.uint8)
    compare(code, state, model, fitted)
    content = io.BytesIO()
    torch.save({name: value.detach().cpu().clone() for name, value in state.items()}, content)
    return {f"{FILE}.py": code, f"{FILE}.pt": content.getvalue()}


def compare(code: str, state: dict[str, torch.Tensor], model: Model, fitted: bytes) -> None:
    """Compare an event of the code with one of the model, for the same random numbers.

    Raises:
        PartiganError: it cannot be run, or makes another one.
    """
    own = EventModel(model.generator, model.transform, model.kind.conditions, len(fitted))
    own.load_state_dict({"fitted": state["fitted"]}, strict=False)
    module = ModuleType(f"partigan_{FILE}")
    sys.modules[module.__name__] = module  # where classes of fields look for themselves
    before = torch.get_rng_state()
    try:
        exec(compile(code, f"{FILE}.py", "exec"), vars(module))
        adapter = vars(module)["Model"]()
        adapter.load_state_dict(state)
        adapter.eval().requires_grad_(False)
        events = []
        for each in (own, adapter):
            torch.manual_seed(CHECKED)
            events.append(each.event())
    except Exception as error:
        raise PartiganError(f"the module fails: {type(error).__name__}: {error}") from error
    finally:
        torch.set_rng_state(before)
        del sys.modules[module.__name__]
    if not torch.equal(*events):
        raise PartiganError("the module makes other events than the run")


def _classes(value: Any) -> list[type]:
    """All classes in an object of a configuration."""
    if isinstance(value, dict):
        own = [class_named(value["class_path"], trust=True)] if "class_path" in value else []
        return own + [found for each in value.values() for found in _classes(each)]
    return [found for each in value for found in _classes(each)] if isinstance(value, list | tuple) else []


def _expression(value: Any, made: Bundle) -> str:
    """Code that makes an object of a configuration."""
    if isinstance(value, dict) and "class_path" in value:
        given = {name: _expression(each, made) for name, each in value.get("init_args", {}).items()}
        inside = ", ".join(f"{name}={each}" for name, each in given.items())
        return f"{made.name(class_named(value['class_path'], trust=True))}({inside})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name!r}: {_expression(each, made)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_expression(each, made) for each in value) + "]"
    if isinstance(value, tuple):
        return "(" + "".join(_expression(each, made) + ", " for each in value) + ")"
    return repr(value)
