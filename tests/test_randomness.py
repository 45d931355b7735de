from __future__ import annotations

import pytest

from partigan.errors import PartiganError
from partigan.randomness import check_seed, rng_for


def test_every_purpose_has_a_stream_of_its_own() -> None:
    purposes = [("turn", 1, 5), ("turn", 1, 5, 0), ("sample", 1, 5), ("turn", 5, 1), ("turn", 1), ("turn", 1, 0)]
    seeds = {rng_for(name, *numbers).initial_seed() for name, *numbers in purposes}
    assert len(seeds) == len(purposes)
    assert rng_for("turn", 1, 5).initial_seed() == rng_for("turn", 1, 5).initial_seed()


@pytest.mark.parametrize("seed", [-1, 2**31])
def test_seeds_are_in_range(seed: int) -> None:
    with pytest.raises(PartiganError, match="between 0 and"):
        check_seed(seed)
