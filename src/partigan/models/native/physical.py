"""A model as one C library in physical units, with its noise and an example."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import ClassVar, Literal

import torch
from torch import Tensor

from partigan.data.batch import Batch
from partigan.data.transforms.transform import Transform
from partigan.errors import PartiganError
from partigan.models.model import EXAMPLES, Model
from partigan.models.native.network import source
from partigan.nets.contracts import Generator
from partigan.randomness import rng_for

SHOWN = 5  # samples of the test vector
PLAIN = ("generator.h", "example.c", "CMakeLists.txt")


class PhysicalGenerator(Generator):
    """A deployed generator with the way to and from physical units.

    Args:
        generator: in its deployed form.
        transform: the fitted normalisation.
    """

    equivariant: ClassVar[bool] = True
    masked: ClassVar[bool] = True

    def __init__(self, generator: Generator, transform: Transform) -> None:
        super().__init__()
        self.generator, self.transform = generator, transform

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """The generator's."""
        return self.generator.noise(size, mask, rng)

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Samples in physical units."""
        seen = None if condition is None else self.transform.condition(condition)
        return self.transform.inverse(Batch(self.generator(noise, seen, mask), mask, seen)).x


def c_files(model: Model) -> dict[str, str]:
    """Everything that a C program needs to make samples, by name of the file.

    Args:
        model: with a generator.

    Raises:
        PartiganError: it has no native form, or noise that is not normal.
    """
    plain = model.deployed()
    assert isinstance(plain, Generator)
    if plain.normal is None:
        raise PartiganError(f"{type(plain).__name__} has no form in C: its noise is not of independent normal numbers")
    physical = PhysicalGenerator(plain, model.transform)
    condition, mask = model.kind.conditions.draw(model.conditions, EXAMPLES, rng_for("native"))
    mask = mask if model.transform.masked else None
    made = source(physical, condition, mask)
    ending = (
        _read("draw.c").replace("@MEAN@", f"{plain.normal[0]:.9g}").replace("@DEVIATION@", f"{plain.normal[1]:.9g}")
    )
    generator = "\n".join((made.code, _array("numbers", made.weights), ending))
    vector = test_vector(physical, condition, mask, "float")
    return {**{name: _read(name) for name in PLAIN}, "generator.c": generator, "test_vector.h": vector}


@torch.inference_mode()
def test_vector(
    physical: Generator, condition: Tensor | None, mask: Tensor | None, labels: Literal["float", "int64_t"]
) -> str:
    """A few samples of torch, and what they are made of, as a header of C.

    Args:
        physical: makes them.
        condition: in physical units, of a few samples or more.
        mask: of clouds.
        labels: what class labels are in C.
    """
    condition, mask = (None if part is None else part[:SHOWN] for part in (condition, mask))
    noise = physical.noise(SHOWN, mask, rng_for("test vector"))
    made = physical(noise, condition, mask)
    parts = [
        f"#define SAMPLES {SHOWN}",
        f"#define WIDTH {0 if mask is None else mask.shape[1]}",
        f"#define NOISE_SHAPE {_listed(noise.shape)}",
        _array("noise", noise),
    ]
    empty = "static const {} *const {} = 0;"
    if condition is None:
        parts.append(empty.format("float", "condition"))
    else:
        kind = "float" if condition.is_floating_point() else labels
        parts += [f"#define CONDITION {kind}", f"#define CONDITION_SHAPE {_listed(condition.shape)}"]
        parts.append(_array("condition", condition, kind))
    counts = None if mask is None else mask.sum(1)
    parts.append(
        empty.format("int", "number")
        if counts is None
        else f"static const int number[SAMPLES] = {_listed(counts.tolist())};"
    )
    return "\n".join((*parts, _array("expected", made), ""))


def _listed(sizes: Sequence[int]) -> str:
    return "{" + ", ".join(map(str, sizes)) + "}"


def _array(name: str, values: Tensor, kind: str = "float") -> str:
    """Numbers as an array in C; nine digits tell all of single precision apart."""
    rows = [", ".join(f"{x:.9g}" for x in row.tolist()) for row in values.detach().float().flatten().split(10)]
    return f"static const {kind} {name}[{max(values.numel(), 1)}] = {{\n" + ",\n".join(rows) + "};"


def _read(name: str) -> str:
    return resources.files("partigan.models.native").joinpath("files", name).read_text(encoding="utf-8")
