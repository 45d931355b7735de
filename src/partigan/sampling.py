"""A trained generator -> samples: conditions, noise, the inverse transform, groups of equal size."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from partigan.data.batch import Batch
from partigan.data.transforms import Transform
from partigan.kinds.kind import Kind
from partigan.nets.contracts import Generator
from partigan.randomness import rng_for

GROUP_VALUES = 2**14  # particles in a group: what a block works on stays in the cache


class Sampler:
    """Draws samples in physical units from a generator.

    Clouds are generated in groups of similar multiplicity, each trimmed to its largest cloud, so that next to
    nothing is spent on padding.

    Args:
        generator: the network, in evaluation mode.
        transform: the fitted normalisation.
        kind: the kind of data.
        conditions: what `Conditions.state` gave for the training sample.
    """

    def __init__(self, generator: Generator, transform: Transform, kind: Kind, conditions: dict[str, Any]) -> None:
        self.generator, self.transform, self.kind, self.conditions = generator, transform, kind, conditions

    def sample(self, size: int, *seed: int) -> Batch:
        """Draw samples; the same seed gives the same ones.

        Args:
            size: number of samples.
            seed: one or more non-negative integers.

        Returns:
            A batch in physical units, on the CPU.
        """
        rng = rng_for("sample", *seed)
        condition, mask = self.kind.conditions.draw(self.conditions, size, rng)
        mask = mask if self.transform.masked else None
        return self.transform.inverse(Batch(self.normalised(size, condition, mask, rng), mask, condition))

    @torch.inference_mode()
    def normalised(self, size: int, condition: Tensor | None, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """Samples with given conditions and masks, in the normalised space."""
        device = next(self.generator.parameters()).device
        if mask is None:
            groups = list(torch.split(torch.arange(size), self.kind.conditions.group))
        else:
            multiplicity = mask.sum(1)
            order = multiplicity.argsort(stable=True)
            widths = multiplicity[order].clamp_min(1)
            # a group ends where the particles so far fill it
            number = (widths.cumsum(0) - 1) // GROUP_VALUES
            groups = list(torch.split(order, torch.bincount(number).tolist()))
        parts, rows = [], []
        for group in groups:
            if len(group) == 0:
                continue
            part_mask = None if mask is None else mask[group][:, : max(int(mask[group].sum(1).max()), 1)]
            part_condition = None if condition is None else condition[group].to(device)
            noise = self.generator.noise(len(group), part_mask, rng).to(device)
            on_device = None if part_mask is None or part_mask.all() else part_mask.to(device)
            parts.append(self.generator(noise, part_condition, on_device).cpu())
            rows.append(group)
        shape = list(parts[0].shape[1:])
        if mask is not None:
            shape[0] = mask.shape[1]
        x = torch.zeros(size, *shape)
        for group, part in zip(rows, parts, strict=True):
            if mask is None:
                x[group] = part
            else:
                x[group, : part.shape[1]] = part
        return x
