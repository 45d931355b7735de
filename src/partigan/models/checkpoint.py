"""Checkpoints to resume from, bit for bit: tensors in safetensors, everything else as JSON in its header."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from partigan.errors import PartiganError
from partigan.files import atomic

KEPT = 2


def save_tensors(path: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Write named tensors, and JSON values in the file's header, atomically."""
    with atomic(path) as temporary:
        contiguous = {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}
        try:
            save_file(contiguous, temporary, metadata={"state": json.dumps(state)})
        except SafetensorError as error:
            raise PartiganError(f"cannot write {path}: {error}; is the disk full?") from error


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_tensors` wrote."""
    try:
        with safe_open(path, framework="pt") as file:
            state = json.loads((file.metadata() or {}).get("state", "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, state  # noqa: SIM118
    except (OSError, SafetensorError, ValueError) as error:
        raise PartiganError(f"{path} cannot be read as safetensors: {error}") from error


class Checkpoints:
    """The newest checkpoints of a run.

    Args:
        folder: where they are, one file for each, named by the training step.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, step: int, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Write a checkpoint, then remove all but the newest ``KEPT``."""
        save_tensors(self.folder / f"{step:09d}.safetensors", tensors, {"step": step, **state})
        for old in self._files()[:-KEPT]:
            old.unlink()

    def newest(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Tensors and state of the newest checkpoint; None where there is none."""
        files = self._files()
        return load_tensors(files[-1]) if files else None

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("[0-9]*.safetensors"))


def pack_module(prefix: str, module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers under a prefix."""
    return {f"{prefix}.{name}": value for name, value in module.state_dict().items()}


def unpack_module(prefix: str, module: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Load what `pack_module` gave.

    Raises:
        PartiganError: names of missing and unexpected tensors, and of those of another shape.
    """
    mine = {name.removeprefix(f"{prefix}."): t for name, t in tensors.items() if name.startswith(f"{prefix}.")}
    fit_state(module, mine, f"the weights do not fit {type(module).__name__}")


def fit_state(module: nn.Module, tensors: dict[str, Tensor], complaint: str, unexpected: Sequence[str] = ()) -> None:
    """Load parameters and buffers by name.

    Args:
        module: where they go.
        tensors: the values by name.
        complaint: how the error begins.
        unexpected: further names that have no place.

    Raises:
        PartiganError: the complaint, with the names that are missing, unexpected or of another shape.
    """
    own = module.state_dict()
    wrong = {
        "missing": [name for name in own if name not in tensors],
        "unexpected": [*unexpected, *(name for name in tensors if name not in own)],
        "of another shape": [
            f"{name} {tuple(tensors[name].shape)} instead of {tuple(own[name].shape)}"
            for name in own
            if name in tensors and tensors[name].shape != own[name].shape
        ],
    }
    if found := [f"{kind}: {_first(names)}" for kind, names in wrong.items() if names]:
        raise PartiganError(f"{complaint} ({'; '.join(found)})")
    module.load_state_dict(tensors)


def _first(names: list[str], shown: int = 5) -> str:
    """The first few of many names."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def pack_optimizer(prefix: str, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The tensors of an optimiser's state, by parameter number; hyper-parameters come from the configuration."""
    return {
        f"{prefix}.{parameter}.{name}": torch.as_tensor(value)
        for parameter, entries in optimizer.state_dict()["state"].items()
        for name, value in entries.items()
        if value is not None
    }


def unpack_optimizer(prefix: str, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Load what `pack_optimizer` gave."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        if key.startswith(f"{prefix}."):
            parameter, name = key.removeprefix(f"{prefix}.").split(".", 1)
            state.setdefault(int(parameter), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
