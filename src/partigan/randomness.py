"""Random generators that are a function of what they are for: nothing to save, nothing to restore."""

from __future__ import annotations

import zlib

import numpy as np
import torch

from partigan.errors import PartiganError


def rng_for(purpose: str, *numbers: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A `torch.Generator` seeded by a purpose and non-negative integers, such as ("turn", seed, step)."""
    entropy = (zlib.crc32(purpose.encode()), len(numbers), *numbers)
    low, high = (int(word) for word in np.random.SeedSequence(entropy).generate_state(2))
    return torch.Generator(device).manual_seed((high & 0x7FFFFFFF) << 32 | low)


def check_seed(seed: int) -> None:
    """Raise a `PartiganError` for a seed that cannot be one."""
    if not 0 <= seed < 2**31:
        raise PartiganError(f"seed = {seed}; it is between 0 and 2^31")
