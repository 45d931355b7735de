"""Views of memory as loops and indices in C, and where each memory lies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from partigan.models.native.recording import Fixed, Lane, Program, View
from partigan.models.native.sizes import NONE, ONE, Size

ALIGNED = 16  # vectors
END = -1  # in place of a memory: the end of all


def index(strides: Iterable[Size], letter: str = "i") -> str:
    """The place of the element of running indices."""
    parts = [
        f"{letter}{d}" if stride == ONE else f"{letter}{d} * ({stride.text()})"
        for d, stride in enumerate(strides)
        if stride != NONE
    ]
    return " + ".join(parts) or "0"


def loops(sizes: Sequence[Size], body: str, letter: str = "i") -> str:
    """Loops over indices around a body."""
    for d in reversed(range(len(sizes))):
        if sizes[d] == ONE:
            body = f"{{ enum {{ {letter}{d} = 0 }}; {body} }}"
        else:
            body = f"for (int {letter}{d} = 0; {letter}{d} < {sizes[d].text()}; {letter}{d}++) {{ {body} }}"
    return body


def broadcast(view: View, sizes: tuple[Size, ...]) -> View:
    """The view in a shape that it is broadcast to."""
    missing = len(sizes) - len(view.sizes)
    strides = (NONE,) * missing + tuple(
        NONE if own == ONE else stride for own, stride in zip(view.sizes, view.strides, strict=True)
    )
    if isinstance(view, Lane):
        return Lane(view.storage, view.offset, sizes, strides)
    return Fixed(view.values, sizes, strides)


def flipped(view: Any) -> Any:
    """The view with its last two dimensions exchanged."""
    order = [*range(len(view.sizes) - 2), len(view.sizes) - 1, len(view.sizes) - 2]
    sizes, strides = (tuple(part[d] for d in order) for part in (view.sizes, view.strides))
    if isinstance(view, Lane):
        return Lane(view.storage, view.offset, sizes, strides)
    return Fixed(view.values, sizes, strides)


def collapsed(sizes: Sequence[Size], strides: Sequence[Sequence[Size]]) -> tuple[list[Size], list[list[Size]]]:
    """The same elements with as few dimensions as possible."""
    kept = [d for d, size in enumerate(sizes) if size != ONE]
    new_sizes: list[Size] = []
    new: list[list[Size]] = [[] for _ in strides]
    for d in kept:
        pairs = list(zip(new, strides, strict=True))
        together = bool(new_sizes) and all(part[-1] == each[d].times(sizes[d]) for part, each in pairs)
        size = new_sizes[-1].times(sizes[d]) if together else None
        if size is not None:
            new_sizes[-1] = size
            for part, each in pairs:
                part[-1] = each[d]
        else:
            new_sizes.append(sizes[d])
            for part, each in pairs:
                part.append(each[d])
    return new_sizes, new


def dense(lane: Lane) -> Lane | None:
    """The lane, where its elements follow each other."""
    expected: Size | None = ONE
    for size, stride in zip(reversed(lane.sizes), reversed(lane.strides), strict=True):
        if size == ONE:
            continue
        if expected is None or stride != expected:
            return None
        expected = expected.times(size)
    return lane


def arena(program: Program) -> dict[int, int]:
    """Where each memory begins, in vectors: those that are not needed at the same time share places."""
    most = max(program.particles, 1)
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for number, step in enumerate(program.steps):
        for view in lanes((step.arguments, step.options, step.results)):
            first.setdefault(view.storage, number)
            last[view.storage] = number
    for lane in program.inputs:
        if lane is not None:
            first[lane.storage] = -1
            last.setdefault(lane.storage, -1)
    first.setdefault(program.output.storage, -1)
    last[program.output.storage] = len(program.steps)
    places = {END: 0}
    taken: list[tuple[int, int, int]] = []
    for storage in sorted(first, key=lambda each: first[each]):
        length = -(-program.storages[storage].at(most) // ALIGNED) * ALIGNED
        alive = sorted((low, high) for low, high, until in taken if until >= first[storage])
        place = 0
        for low, high in alive:
            if place + length <= low:
                break
            place = max(place, high)
        places[storage] = place
        taken.append((place, place + length, last[storage]))
        places[END] = max(places[END], place + length)
    return places


def lanes(value: Any) -> Iterable[Lane]:
    """All views of samples' memory in nested arguments."""
    if isinstance(value, Lane):
        yield value
    elif isinstance(value, dict):
        yield from lanes(tuple(value.values()))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from lanes(each)
