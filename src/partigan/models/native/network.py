"""A generator whose samples are made by compiled C."""

from __future__ import annotations

import ctypes
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import torch
from torch import Tensor

from partigan.compiling import library
from partigan.errors import PartiganError
from partigan.models.native.emitting import Source, emit
from partigan.models.native.recording import record
from partigan.nets.contracts import Generator
from partigan.randomness import rng_for

LEAST = 3  # particles of the largest cloud
PIECE = 64  # samples of a thread come in multiples of it
CHECKED = 37  # samples that are compared with torch's
HAVE = "MDMA, EPiC-GAN, GAPT, MPGAN, r-GAN, TreeGAN, calo-mdma and generators of tables"
AGREEMENT = 1e-5  # largest difference, relative to the largest value


@torch.inference_mode(False)
def source(generator: Generator, condition: Tensor | None, mask: Tensor | None) -> Source:
    """A generator in C.

    Args:
        generator: in its deployed form.
        condition: those of samples, as the network sees them, ``(samples, conditions)``; None = it takes none.
        mask: of clouds, ``(samples, particles)``; None for others.

    Raises:
        PartiganError: the generator has no native form.
    """
    name, rng = type(generator).__name__, rng_for("native")
    one = None if condition is None else condition[:1].clone()  # tensors of inference mode can do less
    try:
        if mask is None:
            return emit(record(generator, [(generator.noise(1, None, rng), one, None)], ()))
        numbers = recorded_particles(mask.shape[1])
        masks = [torch.arange(number)[None] < max(number - 1, 1) for number in numbers]
        noise = [generator.noise(1, each, rng).clone(memory_format=torch.contiguous_format) for each in masks]
        return emit(record(generator, [(made, one, real) for made, real in zip(noise, masks, strict=True)], numbers))
    except PartiganError as error:
        raise PartiganError(
            f"{name} has no native form, since it {error}; {HAVE} have one; take --engine torch"
        ) from error


def recorded_particles(most: int) -> tuple[int, int, int]:
    """Three numbers of particles that tell how sizes depend on them.

    Args:
        most: particles of the largest cloud.

    Raises:
        PartiganError: that is too few.
    """
    if most < LEAST:
        raise PartiganError(f"makes clouds of at most {most} particles")
    return (most, (most + LEAST) // 2, LEAST) if most > 5 else (most, most - 1, most - 2)


class NativeGenerator(Generator):
    """The deployed form of a generator, with its forward pass in C; samples are those of torch to 1e-5.

    A lane of a vector is a sample, sizes are known when the code is compiled, and clouds take as many steps as they
    have particles. Threads share the samples, each of which is the same for any number of threads.

    Args:
        generator: in its deployed form; it draws the noise.
        condition: as for `source`.
        mask: as for `source`.

    Raises:
        PartiganError: no native form, no compiler, or samples that are not torch's.
    """

    equivariant: ClassVar[bool] = True
    masked: ClassVar[bool] = True

    def __init__(self, generator: Generator, condition: Tensor | None, mask: Tensor | None) -> None:
        super().__init__()
        made = source(generator, condition, mask)
        self.generator, self._weights = generator, made.weights.contiguous()
        self._library = library(made.code)
        for name in ("partigan_noise", "partigan_values"):
            getattr(self._library, name).restype = ctypes.c_long
        self._clouds, self._shape = mask is not None, torch.Size()
        self._check(condition, mask)

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """The generator's."""
        return self.generator.noise(size, mask, rng)

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Samples, as the generator's."""
        size, noise = len(noise), noise.contiguous()
        width = self._width(noise[0].numel(), mask) if self._clouds else 0
        out = torch.empty(size, self._library.partigan_values(width))
        given = None if condition is None else condition.float().contiguous()
        number = None
        if self._clouds:
            number = torch.full((size,), width) if mask is None else mask.sum(1)
            number = number.to(torch.int32)
        threads = torch.get_num_threads()
        rows = max(-(-size // threads // PIECE) * PIECE, PIECE)
        pieces = [range(low, min(low + rows, size)) for low in range(0, size, rows)]

        def work(piece: range) -> int:
            places = [_place(each, piece.start) for each in (noise, given, number)]
            end = (ctypes.c_void_p(self._weights.data_ptr()), _place(out, piece.start))
            return int(self._library.partigan_samples(ctypes.c_long(len(piece)), width, *places, *end))

        if len(pieces) > 1:
            with ThreadPoolExecutor(len(pieces)) as pool:
                failed = any(list(pool.map(work, pieces)))
        else:
            failed = any(map(work, pieces))
        if failed:
            raise PartiganError("there is not enough memory for the native form; take --engine torch")
        return out.view(size, width, -1) if self._clouds else out.view(size, *self._shape)

    def deployed(self) -> NativeGenerator:
        """Itself."""
        return self

    def _width(self, values: int, mask: Tensor | None) -> int:
        """Particles of the arrays."""
        if mask is not None:
            return mask.shape[1]
        most = int(ctypes.c_int.in_dll(self._library, "partigan_particles").value)
        return next(width for width in range(1, most + 1) if self._library.partigan_noise(width) == values)

    @torch.inference_mode()
    def _check(self, condition: Tensor | None, mask: Tensor | None) -> None:
        """Compare with torch: clouds of one particle, of the most, and of all between; take note of the shape."""
        if mask is not None:
            mask = torch.arange(mask.shape[1]) < torch.linspace(1, mask.shape[1], CHECKED).round()[:, None]
        seen = None if condition is None else condition[torch.arange(CHECKED) % len(condition)]
        noise = self.noise(CHECKED, mask, rng_for("check"))
        wanted: Tensor = self.generator(noise, seen, mask)
        self._shape = wanted.shape[1:]
        found = self(noise, seen, mask)
        difference = float((wanted - found).abs().max() / wanted.abs().max().clamp_min(1e-30))
        if not difference <= AGREEMENT:
            name = type(self.generator).__name__
            raise PartiganError(
                f"{name} has no native form: its samples differ from torch's by {difference:.1g}; take --engine torch"
            )


def _place(values: Tensor | None, row: int) -> ctypes.c_void_p | None:
    """The address of a row."""
    return None if values is None else ctypes.c_void_p(values[row:].data_ptr())
