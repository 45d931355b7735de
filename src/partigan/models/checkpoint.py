"""Checkpoints to resume from, bit for bit: tensors in safetensors, everything else as JSON in its header."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from partigan.errors import PartiganError
from partigan.files import atomic
from partigan.progress import tell
from partigan.reading import readable, size_of

KEPT = 2
_STATE, _CHECKSUM = "state", "crc32"


def save_tensors(path: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Write named tensors, and JSON values in the file's header, atomically."""
    with atomic(path) as temporary:
        contiguous = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
        text = json.dumps({**state, _CHECKSUM: _checksum(contiguous, json.dumps(state))})
        try:
            save_file(contiguous, temporary, metadata={_STATE: text})  # of several entries the order would vary
        except SafetensorError as error:
            raise PartiganError(f"cannot write {path}: {error}; is the disk full?") from error


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_tensors` wrote.

    Raises:
        PartiganError: the file is missing or damaged; of the damage that a checksum can show, all.
    """
    size_of(path)
    with readable(path, "safetensors"), safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        state = json.loads((file.metadata() or {}).get(_STATE, "{}"))
    if not isinstance(state, dict) or state.pop(_CHECKSUM, None) != _checksum(tensors, json.dumps(state)):
        raise PartiganError(f"{path} is damaged: its content does not have its checksum; make or fetch it again")
    return tensors, state


def _checksum(tensors: dict[str, Tensor], text: str) -> str:
    """CRC-32 of a text and of names, types, shapes and bytes of tensors."""
    found = zlib.crc32(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        found = zlib.crc32(f"{name} {tensor.dtype} {list(tensor.shape)}".encode(), found)
        found = zlib.crc32(tensor.flatten().view(torch.uint8).numpy().data, found)
    return f"{found:08x}"


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
        """Tensors and state of the newest checkpoint that is whole; None where there is none at all.

        Raises:
            PartiganError: there are some, and all are damaged.
        """
        faults = []
        for path in reversed(self._files()):
            try:
                found = load_tensors(path)
            except PartiganError as error:
                faults.append(str(error))
                continue
            for fault in faults:
                tell(f"{fault}; going on from {path.name}")
            return found
        if faults:
            raise PartiganError(f"no checkpoint is whole: {'; '.join(faults)}; give --overwrite to train anew")
        return None

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
