"""The base of all normalisations, and what several of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from partigan.data.batch import Batch
from partigan.errors import PartiganError


class Transform(nn.Module, ABC):
    """Physical units to the space in which networks work, and back.

    `fit` sets the constants, once, from the training split. They are buffers or plain numbers, so that ``.to(device)``
    and ``copy.deepcopy`` work; there are no parameters. A batch and the transform must be on the same device.

    Attributes:
        constants: names of the fitted constants.
        masked: True if clouds keep their mask in the normalised space; False if networks see and make padding like
            particles.
        packs: True if generators make samples in a packed form, which files can be written from, and the inverse
            unpacks them.
    """

    constants: ClassVar[tuple[str, ...]] = ()
    masked: bool = True
    packs: bool = False

    @abstractmethod
    def fit(self, sample: Batch) -> None:
        """Set the constants from a sample in physical units."""

    @abstractmethod
    def forward(self, sample: Batch) -> Batch:
        """Physical units to normalised space."""

    @abstractmethod
    def inverse(self, sample: Batch) -> Batch:
        """Normalised space to physical units."""

    def condition(self, condition: Tensor) -> Tensor:
        """What networks see of conditions, as `forward` gives it; by default as they are."""
        return condition

    def held(self, sample: Batch) -> Batch:
        """What training keeps in memory; by default the normalised sample."""
        return self.forward(sample)

    def batch(self, held: Batch, rng: torch.Generator) -> Batch:
        """A normalised batch from rows of what `held` gave; noise, if any, is drawn anew from ``rng``."""
        return held

    def state(self) -> dict[str, Any]:
        """The fitted constants as JSON: numbers and lists of numbers."""
        values = {name: getattr(self, name) for name in self.constants}
        return {name: value.tolist() if isinstance(value, Tensor) else value for name, value in values.items()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Set the constants to those that `state` gave.

        Raises:
            PartiganError: a constant is missing, unknown or impossible.
        """
        for name in sorted({*self.constants} ^ state.keys()):
            raise self._refused(name, "is missing" if name in self.constants else "is unknown")
        values = {name: self._read(name, state[name]) for name in self.constants}
        for name, fault in self.faults(values):
            raise self._refused(name, fault)
        for name, value in values.items():
            setattr(self, name, value if isinstance(getattr(self, name), Tensor) else state[name])

    def faults(self, values: dict[str, Tensor]) -> Iterator[tuple[str, str]]:
        """Name each impossible constant of a complete and finite state, and what is wrong with it.

        Args:
            values: the constants, as tensors.
        """
        return iter(())

    def _read(self, name: str, value: Any) -> Tensor:
        """A constant of a state as a tensor like the present one."""
        present = getattr(self, name)
        like = present if isinstance(present, Tensor) else torch.zeros((), dtype=torch.float64)
        try:
            read = like.new_tensor(value)
        except (TypeError, ValueError, RuntimeError, OverflowError) as error:
            raise self._refused(name, f"is neither a number nor a regular list of numbers ({error})") from error
        if not read.isfinite().all():
            raise self._refused(name, "is not finite")
        if read.dim() > 0 and not isinstance(present, Tensor):
            raise self._refused(name, "is a list, not a number")
        return read

    def _refused(self, name: str, fault: str) -> PartiganError:
        return PartiganError(
            f"the constant {name!r} of {type(self).__name__} {fault}; restore transform.json, or train anew"
        )


def with_source(change: Callable[[Batch], Batch], sample: Batch) -> Batch:
    """A change of samples, made to what they start from, too.

    Args:
        change: normalises samples.
        sample: pairs, or samples without source.
    """
    changed = change(sample)
    return changed if sample.source is None else replace(changed, source=change(sample.start).x)


def wrong_shapes(values: dict[str, Tensor], *shapes: tuple[str, tuple[int, ...]]) -> Iterator[tuple[str, str]]:
    """Constants whose shape is not the given one, for `Transform.faults`."""
    for name, shape in shapes:
        if values[name].shape != shape:
            yield name, f"has the shape {tuple(values[name].shape)}, not {shape}"


def varying_rows(sample: Batch, x: Tensor) -> Tensor:
    """All rows, or all real particles, ``(rows, features)`` in double precision.

    Args:
        sample: where the mask comes from.
        x: features of the sample, perhaps changed.

    Raises:
        PartiganError: a feature does not vary.
    """
    rows = (x.flatten(0, -2) if sample.mask is None else x[sample.mask]).double()
    if not (rows.std(0) > 0).all():
        raise PartiganError("the training sample has a feature that does not vary; it cannot be normalised")
    return rows


def zero_padded(sample: Batch, x: Tensor) -> Batch:
    """The sample with features ``x``, zero where padded."""
    return replace(sample, x=x if sample.mask is None else x * sample.mask[..., None])
