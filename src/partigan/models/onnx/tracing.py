"""What a network does to a batch, as a list of operations whose sizes depend on the batch and on its particles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from partigan.errors import PartiganError
from partigan.models.native.recording import Recorder, plainly
from partigan.models.native.sizes import NONE, Size

BATCHES = (2, 3)  # samples of the batches that are recorded

TOLD = ("size", "split_size", "split_sizes", "dtype", "layout", "device", "pin_memory", "memory_format")  # by results


@dataclass(frozen=True)
class Amount:
    """``least + each * batch``, where both may depend on the number of particles.

    Example:
        >>> Amount.through((3, 5, 7), {(b, n): b * n for b in BATCHES for n in (3, 5, 7)})
        Amount(least=Size(constant=0, linear=0, square=0), each=Size(constant=0, linear=1, square=0))
    """

    least: Size
    each: Size

    @classmethod
    def through(cls, particles: Sequence[int], values: dict[tuple[int, int], int]) -> Amount:
        """What a number is, from its values for batches and numbers of particles.

        Raises:
            PartiganError: it is no polynomial of first degree in the one and of second degree in the other.
        """
        low, high = BATCHES
        slope = [(values[high, n] - values[low, n]) / (high - low) for n in particles]
        start = [values[low, n] - low * s for n, s in zip(particles, slope, strict=True)]
        if any(x != int(x) for x in (*slope, *start)):
            raise PartiganError("has sizes that are no polynomial of the batch")
        return cls(*(Size.through(particles, [int(x) for x in part]) for part in (start, slope)))

    @property
    def constant(self) -> int | None:
        """The number, where it is always the same."""
        same = self.each == NONE and self.least == Size(self.least.constant)
        return self.least.constant if same else None


@dataclass(frozen=True)
class Array:
    """A tensor of a network.

    Attributes:
        number: which.
        kind: of its numbers.
        shape: of each dimension.
        values: where they are always the same.
    """

    number: int
    kind: torch.dtype
    shape: tuple[int | Amount, ...]
    values: Tensor | None = None


@dataclass(frozen=True)
class Operation:
    """One operation of ATen: its name, arguments by name with arrays in place of tensors, and what it makes."""

    name: str
    given: dict[str, Any]
    made: tuple[Array, ...]


@dataclass(frozen=True)
class Trace:
    """What a network does to a batch: its inputs, the operations in order, the output."""

    inputs: tuple[Array | None, ...]
    operations: tuple[Operation, ...]
    output: Array


@dataclass(frozen=True)
class _Seen:
    """A tensor of one recording."""

    number: int
    tensor: Tensor
    varies: bool


class _Recorder(Recorder):
    """Notes every operation."""

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        super().__init__()
        self.known: dict[int, _Seen] = {}
        self.steps: list[tuple[str, dict[str, Any], list[_Seen]]] = []
        for each in inputs:
            self._seen(each, True)

    def _seen(self, tensor: Tensor, varies: bool) -> _Seen:
        """A tensor, which is kept, so that no other takes its place."""
        return self.known.setdefault(id(tensor), _Seen(len(self.known), tensor, varies))

    def seen(self, value: Any) -> Any:
        """The same arguments with what is known of tensors."""
        return tree_map(lambda each: self._seen(each, False) if isinstance(each, Tensor) else each, value)

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        names = [each.name for each in function._schema.arguments]
        defaults = {each.name: each.default_value for each in function._schema.arguments if each.has_default_value()}
        given = self.seen({**defaults, **dict(zip(names, args, strict=False)), **kwargs})
        given = {key: value for key, value in given.items() if key not in TOLD}
        parts: list[_Seen] = []
        tree_map(lambda each: parts.append(each) if isinstance(each, _Seen) else None, given)
        varies = any(each.varies for each in parts)
        made = function(*args, **kwargs)
        name = function.overloadpacket.__name__
        if name == "_local_scalar_dense":
            if varies and not isinstance(made, bool):
                raise PartiganError("decides by the values of samples")
            return made
        results = [each for each in (made if isinstance(made, list | tuple) else [made]) if isinstance(each, Tensor)]
        seen = [self._seen(each, varies) for each in results]
        if results:
            self.steps.append((name, given, seen))
        return made


def trace(
    network: Callable[..., Tensor],
    inputs: Callable[[int, int], Sequence[Tensor | None]],
    particles: Sequence[int],
) -> Trace:
    """What a network does to a batch.

    It runs on batches of two sizes, clouds with three numbers of particles, which tell how sizes depend on both. What
    does not depend on the inputs is computed here.

    Args:
        network: called with the inputs.
        inputs: of a batch of so many samples with so many particles.
        particles: numbers of particles; (0, 0, 0) where samples are no clouds.

    Raises:
        PartiganError: the network does different things to different samples.
    """
    runs: dict[tuple[int, int], tuple[_Recorder, list[Any], _Seen]] = {}
    for batch in BATCHES:
        for number in dict.fromkeys(particles):
            given = list(inputs(batch, number))
            with plainly(), _Recorder([each for each in given if each is not None]) as recorder:
                made = torch.func.functionalize(network)(*given)
            runs[batch, number] = (recorder, recorder.seen(given), recorder.seen(made))
    first = next(iter(runs.values()))[0]
    if any([step[0] for step in run.steps] != [step[0] for step in first.steps] for run, *_ in runs.values()):
        raise PartiganError("does different things for different numbers of samples or particles")

    def amount(values: Sequence[int]) -> int | Amount:
        if all(value == values[0] for value in values):
            return values[0]
        return Amount.through(particles, dict(zip(runs, values, strict=True)))

    known: dict[int, Array] = {}

    def array(parts: Sequence[_Seen]) -> Array:
        number, tensors = parts[0].number, [each.tensor for each in parts]
        if number not in known:
            if any(each.number != number for each in parts) or len({each.dim() for each in tensors}) > 1:
                raise PartiganError("does different things for different numbers of samples or particles")
            shape = tuple(amount(sizes) for sizes in zip(*(each.shape for each in tensors), strict=True))
            same = not any(each.varies for each in parts) and all(torch.equal(each, tensors[0]) for each in tensors[1:])
            known[number] = Array(number, tensors[0].dtype, shape, tensors[0].detach() if same else None)
        return known[number]

    def merged(parts: Sequence[Any]) -> Any:
        if isinstance(parts[0], _Seen):
            return array(parts)
        if isinstance(parts[0], list | tuple):
            return tuple(merged(each) for each in zip(*parts, strict=True))
        if isinstance(parts[0], dict):
            return {key: merged([part[key] for part in parts]) for key in parts[0]}
        if all(part == parts[0] for part in parts):
            return parts[0]
        if not all(isinstance(part, int) for part in parts):
            raise PartiganError("has numbers that depend on the batch or its particles")
        return amount(parts)

    entered = tuple(merged([run[1] for run in runs.values()]))
    operations = tuple(
        Operation(steps[0][0], merged([step[1] for step in steps]), merged([step[2] for step in steps]))
        for steps in zip(*(run.steps for run, *_ in runs.values()), strict=True)
    )
    return Trace(entered, operations, array([run[2] for run in runs.values()]))
