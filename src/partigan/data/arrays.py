"""Arrays in memory as a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from partigan.data.batch import Batch
from partigan.errors import PartiganError

_KEYS = ("x", "mask", "condition", "labels", "conditions", "weight", "source", "truth")
_DIMENSIONS = {"mask": 2, "labels": 1, "conditions": 2, "weight": 1, "truth": 2}


def batch_of(given: Any) -> Batch:
    """Arrays as a batch of one length, not yet checked by the kind of data."""
    if isinstance(given, Batch):
        given = {field.name: getattr(given, field.name) for field in fields(given)}
    if not isinstance(given, Mapping):
        given = {"x": given}
    if given.get("x") is None or (strange := [name for name in given if name not in _KEYS]):
        wrong = repr(strange[0]) if given.get("x") is not None else "no 'x'"
        raise PartiganError(f"arrays are given as {', '.join(_KEYS)}; there is {wrong}")
    parts = {name: _tensor(values, name) for name, values in given.items() if values is not None}
    conditions = [name for name in ("condition", "labels", "conditions") if name in parts]
    if len(conditions) > 1:
        raise PartiganError(f"there are {' and '.join(conditions)}; give one of them")
    for name, part in parts.items():
        if part.dim() != (dimensions := _DIMENSIONS.get(name, part.dim())):
            raise PartiganError(f"{name} has the shape {list(part.shape)}; it must have {dimensions} dimensions")
        if part.dim() == 0 or len(part) == 0 or len(part) != len(parts["x"]):
            shapes = f"{name} has the shape {list(part.shape)}, x {list(parts['x'].shape)}"
            raise PartiganError(f"{shapes}; give one row for each sample")
    if "mask" in parts and parts["mask"].shape != parts["x"].shape[:2]:
        raise PartiganError(f"the mask has the shape {list(parts['mask'].shape)}, x {list(parts['x'].shape)}")
    condition = parts[conditions[0]] if conditions else None
    if condition is not None and condition.dtype == torch.bool:
        condition = condition.long()
    if "labels" in parts and condition is not None and condition.is_floating_point():
        raise PartiganError("labels must be whole numbers; give real numbers as conditions, (samples, features)")
    if "conditions" in parts and condition is not None:
        condition = condition.float()
    mask = parts.get("mask")
    floats = {name: parts[name].float() for name in ("x", "weight", "source", "truth") if name in parts}
    return Batch(mask=None if mask is None else mask > 0.5, condition=condition, **floats)


def _tensor(values: Any, name: str) -> Tensor:
    """An array as a tensor on the CPU: float32, int64 or bool."""
    try:
        array = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise PartiganError(f"{name} is no array of numbers: {error}") from error
    if array.dtype.kind not in "biuf":
        raise PartiganError(f"{name} is a {type(values).__name__} of {array.dtype}, not an array of numbers")
    kept = {"f": np.float32, "b": np.bool_}.get(array.dtype.kind, np.int64)
    return torch.from_numpy(np.array(array, dtype=kept))
