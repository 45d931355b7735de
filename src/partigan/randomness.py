"""Random generators that are a function of what they are for: nothing to save, nothing to restore."""

from __future__ import annotations

import numpy as np
import torch


def rng_for(*purpose: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A `torch.Generator` seeded by non-negative integers such as (seed, step, phase)."""
    low, high = (int(word) for word in np.random.SeedSequence(purpose).generate_state(2))
    return torch.Generator(device).manual_seed((high & 0x7FFFFFFF) << 32 | low)
