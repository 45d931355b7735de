"""What a network does to one sample, as a list of steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter, tree_map

from partigan.errors import PartiganError
from partigan.models.native.sizes import Size
from partigan.nets.contracts import recorded

ALIKE = {"zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones", "new_full", "new_empty"}


@dataclass(frozen=True)
class Lane:
    """A view of memory that differs from sample to sample.

    Attributes:
        storage: number of the memory.
        offset: of the first element.
        sizes: of each dimension.
        strides: of each dimension.
    """

    storage: int
    offset: Size
    sizes: tuple[Size, ...]
    strides: tuple[Size, ...]


@dataclass(frozen=True, eq=False)
class Fixed:
    """Numbers that are the same for all samples.

    Attributes:
        values: contiguous; those of the largest cloud, where they differ with the number of particles.
        sizes: of each dimension.
        strides: of each dimension in ``values``.
    """

    values: Tensor
    sizes: tuple[Size, ...]
    strides: tuple[Size, ...]


View = Lane | Fixed


@dataclass(frozen=True)
class Step:
    """One operation: its name in ATen, arguments with views in place of tensors, and where results go."""

    name: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    results: tuple[Lane, ...]


@dataclass(frozen=True)
class Program:
    """What a network does to one sample.

    Attributes:
        steps: in order.
        inputs: noise, conditions and mask; None for those that it does not take.
        output: the sample.
        storages: size of each memory.
        particles: of the largest cloud; 0 where samples are no clouds.
    """

    steps: tuple[Step, ...]
    inputs: tuple[Lane | None, Lane | None, Lane | None]
    output: Lane
    storages: dict[int, Size]
    particles: int


@dataclass(frozen=True)
class _Seen:
    """A tensor of one recording; ``values`` of one that is the same for all samples."""

    storage: int
    offset: int
    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    total: int
    values: Tensor | None = None


class Recorder(TorchDispatchMode):
    """Sees every operation of ATen, without torch's compiler, whose import takes seconds."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False


class _Recorder(Recorder):
    """Records every operation on what comes from the inputs; all others are done with once and for all."""

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        super().__init__()
        self.kept: list[Tensor] = [*inputs]  # no memory is used twice
        self.numbers: dict[int, int] = {}
        self.steps: list[tuple[str, Any, Any, Any]] = []
        for each in inputs:
            self._number(each)

    def _number(self, tensor: Tensor) -> int:
        return self.numbers.setdefault(tensor.untyped_storage()._cdata, len(self.numbers))

    def _varies(self, tensor: Tensor) -> bool:
        return tensor.untyped_storage()._cdata in self.numbers

    def seen(self, tensor: Tensor) -> _Seen:
        """A tensor as it is now."""
        offset, sizes, strides = int(tensor.storage_offset()), tuple(tensor.shape), tuple(tensor.stride())
        if self._varies(tensor):
            total = tensor.untyped_storage().nbytes() // tensor.element_size()
            return _Seen(self._number(tensor), offset, sizes, strides, total)
        return _Seen(-1, offset, sizes, strides, 0, tensor.detach().to(torch.float32).contiguous().clone())

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = function.overloadpacket.__name__
        tensors = [each for each in tree_iter((args, kwargs)) if isinstance(each, Tensor)]
        varies = any(map(self._varies, tensors))
        if varies and function._schema.is_mutable and not self._varies(args[0]):
            whole = self.seen(args[0])
            self._number(args[0])
            self.steps.append(("copy_", (self.seen(args[0]), whole), {}, [self.seen(args[0])]))
        before = tree_map(lambda each: self.seen(each) if isinstance(each, Tensor) else each, (args, kwargs))
        made = function(*args, **kwargs)
        results = [each for each in tree_iter(made) if isinstance(each, Tensor)]
        self.kept += results
        if name == "_local_scalar_dense" and varies and not isinstance(made, bool):
            raise PartiganError("decides by the values of samples")
        if not varies or name in ALIKE or not results:
            return made
        old = {each.untyped_storage()._cdata for each in tensors}
        moves = all(each.untyped_storage()._cdata in old for each in results)
        if not moves or function._schema.is_mutable:
            for each in results:
                self._number(each)
            self.steps.append((name, *before, [self.seen(each) for each in results]))
        return made


@contextmanager
def plainly() -> Iterator[None]:
    """Attention in its parts, and the same for all samples."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH), torch.no_grad(), recorded():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def _recorded(network: nn.Module, inputs: Sequence[Tensor | None]) -> tuple[_Recorder, _Seen]:
    """One recording, and the output."""
    given = [each for each in inputs if each is not None]
    with plainly(), _Recorder(given) as recorder:
        made = network(*inputs)
    return recorder, recorder.seen(made)


def record(network: nn.Module, inputs: Sequence[Sequence[Tensor | None]], particles: Sequence[int]) -> Program:
    """What a network in its inference form does to one sample.

    It is run once on a single sample, so that every operation is that of a sample; clouds are recorded at three numbers
    of particles, which tell how sizes depend on it. What does not depend on the sample is computed here.

    Args:
        network: called as ``network(noise, condition, mask)``.
        inputs: of each run: noise, conditions and mask of one sample, None where it takes none.
        particles: number of particles in each run; the first is the largest. Empty where samples are no clouds.

    Raises:
        PartiganError: the network does different things to different samples.
    """
    runs = [_recorded(network, each) for each in inputs]
    first = runs[0][0]
    if any([step[0] for step in run.steps] != [step[0] for step in first.steps] for run, _ in runs):
        raise PartiganError("does different things for different numbers of particles")
    storages: dict[int, Size] = {}

    def size(*values: int) -> Size:
        return Size.through(particles or (0,), values)

    def shape(seen: Sequence[_Seen]) -> tuple[tuple[Size, ...], tuple[Size, ...]]:
        if len({len(each.sizes) for each in seen}) > 1:
            raise PartiganError("does different things for different numbers of particles")
        sizes, strides = (
            tuple(size(*(getattr(each, name)[d] for each in seen)) for d in range(len(seen[0].sizes)))
            for name in ("sizes", "strides")
        )
        return sizes, tuple(Size() if n == Size(1) else stride for n, stride in zip(sizes, strides, strict=True))

    def view(*seen: _Seen) -> View:
        sizes, strides = shape(seen)
        if any((each.values is None) != (seen[0].values is None) for each in seen):
            raise PartiganError("does different things for different numbers of particles")
        if seen[0].values is not None:
            return _fixed([each.values for each in seen if each.values is not None], sizes)
        storages[seen[0].storage] = size(*(each.total for each in seen))
        return Lane(seen[0].storage, size(*(each.offset for each in seen)), sizes, strides)

    def merged(*parts: Any) -> Any:
        if isinstance(parts[0], _Seen):
            return view(*parts)
        if isinstance(parts[0], list | tuple):
            return tuple(merged(*each) for each in zip(*parts, strict=True))
        if isinstance(parts[0], dict):
            return {key: merged(*(part[key] for part in parts)) for key in parts[0]}
        if any(part != parts[0] for part in parts):
            return size(*parts)
        return parts[0]

    steps = tuple(
        Step(each[0][0], *(merged(*(step[part] for step in each)) for part in (1, 2, 3)))
        for each in (list(column) for column in zip(*(run.steps for run, _ in runs), strict=True))
    )
    seen_inputs = [
        [None if tensor is None else run.seen(tensor) for tensor in given]
        for (run, _), given in zip(runs, inputs, strict=True)
    ]
    columns: list[Any] = [*zip(*seen_inputs, strict=True)]
    noise, condition, mask = (None if each[0] is None else cast(Lane, view(*each)) for each in columns)
    output = view(*(seen for _, seen in runs))
    if not isinstance(output, Lane):
        raise PartiganError("makes the same of all noise")
    return Program(steps, (noise, condition, mask), output, storages, particles[0] if particles else 0)


def _fixed(values: Sequence[Tensor], sizes: tuple[Size, ...]) -> Fixed:
    """Numbers that are the same for all samples, of recordings at several numbers of particles."""
    largest = values[0]
    if (
        any(each.shape != largest.shape for each in values)
        and len({*torch.cat([v.flatten() for v in values]).tolist()}) == 1
    ):
        return Fixed(largest.flatten()[:1], sizes, (Size(),) * len(sizes))
    for each in values:
        part = largest[tuple(slice(0, width) for width in each.shape)]
        if part.shape != each.shape or not torch.equal(part, each):
            raise PartiganError("has constants that differ with the number of particles")
    return Fixed(largest, sizes, tuple(Size(stride) for stride in largest.stride()))
