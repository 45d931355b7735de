"""An ONNX graph while it is written: names, constants, and shapes that depend on batch and particles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from partigan.errors import PartiganError
from partigan.models.native.sizes import Size
from partigan.models.onnx.tracing import Amount, Array

Sizes = Sequence[int | Amount]
KINDS = {
    torch.float32: TensorProto.FLOAT,
    torch.float64: TensorProto.DOUBLE,
    torch.int64: TensorProto.INT64,
    torch.int32: TensorProto.INT32,
    torch.uint8: TensorProto.UINT8,
    torch.int8: TensorProto.INT8,
    torch.bool: TensorProto.BOOL,
}


class Graph:
    """What is written so far.

    Args:
        batch: input whose first dimension is the batch.
        particles: input whose second dimension is the number of particles; None where samples are no clouds.
    """

    def __init__(self, batch: str, particles: str | None) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.names: dict[int, str] = {}
        self._known: dict[Any, str] = {}
        self._batch, self._particles = batch, particles

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        """A node with one output, and the output's name."""
        return self.several(op, 1, *inputs, **attributes)[0]

    def several(self, op: str, outputs: int, *inputs: str, **attributes: Any) -> list[str]:
        """A node with several outputs."""
        names = [f"v{len(self.nodes)}" + (f"_{k}" if outputs > 1 else "") for k in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, **attributes))
        return names

    def once(self, op: str, *inputs: str, **attributes: Any) -> str:
        """A node that is written once for the same inputs."""
        key = (op, inputs, tuple(attributes.items()))
        if key not in self._known:
            self._known[key] = self.add(op, *inputs, **attributes)
        return self._known[key]

    def constant(self, values: Tensor) -> str:
        """Numbers that are always the same."""
        plain = values.detach().contiguous().numpy()
        key = (plain.dtype.str, plain.shape, plain.tobytes())
        if key not in self._known:
            self._known[key] = name = f"c{len(self.initializers)}"
            self.initializers.append(numpy_helper.from_array(plain, name))
        return self._known[key]

    def number(self, value: float, kind: torch.dtype = torch.float32) -> str:
        """A number without dimensions."""
        return self.constant(torch.tensor(value, dtype=kind))

    def whole(self, values: Sequence[int]) -> str:
        """Whole numbers, as shapes and axes have."""
        return self.constant(torch.tensor(np.array(values, dtype=np.int64)))

    def of(self, value: Any, kind: torch.dtype | None = None) -> str:
        """A tensor or number, cast to a kind where it has another."""
        if isinstance(value, Amount):
            value_name, own = self.add("Squeeze", self.amount(value)), torch.int64
            return value_name if kind in (None, own) else self.once("Cast", value_name, to=KINDS[kind])
        if not isinstance(value, Array):
            return self.number(value, kind or torch.float32)
        if value.values is not None:
            return self.constant(value.values if kind is None else value.values.to(kind))
        name = self.names[value.number]
        return name if kind in (None, value.kind) else self.once("Cast", name, to=KINDS[kind])

    def cast(self, name: str, kind: torch.dtype) -> str:
        """Numbers as another kind."""
        if kind not in KINDS:
            raise PartiganError(f"has numbers of {kind}, which have no form in ONNX")
        return self.once("Cast", name, to=KINDS[kind])

    def amount(self, value: int | Amount) -> str:
        """A whole number, ``(1,)``."""
        if isinstance(value, int):
            return self.whole([value])
        if (constant := value.constant) is not None:
            return self.whole([constant])
        parts = []
        for size, factor in ((value.least, None), (value.each, self._dimension(self._batch, 0))):
            if size != Size():
                found = self._size(size)
                parts.append(found if factor is None else self.once("Mul", found, factor))
        return parts[0] if len(parts) == 1 else self.once("Add", *parts)

    def _size(self, size: Size) -> str:
        """A number that depends on the particles, ``(1,)``."""
        found = self.whole([size.constant])
        for factor, power in ((size.linear, 1), (size.square, 2)):
            if factor:
                n = self._dimension(self._particles or "", 1)
                n = n if power == 1 else self.once("Mul", n, n)
                found = self.once("Add", found, self.once("Mul", n, self.whole([factor])))
        return found

    def _dimension(self, name: str, axis: int) -> str:
        return self.once("Shape", name, start=axis, end=axis + 1)

    def shape(self, sizes: Sizes) -> str:
        """Sizes of all dimensions."""
        if all(isinstance(size, int) for size in sizes):
            return self.whole([int(size) for size in sizes if isinstance(size, int)])
        return self.once("Concat", *(self.amount(size) for size in sizes), axis=0)

    def reshaped(self, name: str, before: Sizes, after: Sizes) -> str:
        """The same numbers in another shape; sizes that vary are left to ONNX where they can be."""
        if tuple(before) == tuple(after):
            return name
        plain = [
            size if isinstance(size, int) else 0 if d < len(before) and before[d] == size else -1
            for d, size in enumerate(after)
        ]
        simple = plain.count(-1) <= 1 and 0 not in [size for size in after if isinstance(size, int)]
        return self.add("Reshape", name, self.whole(plain) if simple else self.shape(after))

    def expanded(self, name: str, before: Sizes, after: Sizes) -> str:
        """Numbers repeated along dimensions of size 1, and along new ones at the start."""
        if tuple(before) == tuple(after):
            return name
        missing = len(after) - len(before)
        sizes = [1 if d >= missing and before[d - missing] == size else size for d, size in enumerate(after)]
        return self.add("Expand", name, self.shape(sizes))

    def filled(self, value: float, kind: torch.dtype, sizes: Sizes) -> str:
        """One number everywhere."""
        single = numpy_helper.from_array(torch.tensor([value], dtype=kind).numpy())
        return self.add("ConstantOfShape", self.shape(sizes), value=single)
