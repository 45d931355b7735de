"""Stages of images."""

from __future__ import annotations

from typing import Any

import pytest

from partigan.errors import PartiganError
from partigan.nets.images.dcgan import DCGANGenerator
from partigan.nets.images.sizes import Sizes


def test_sizes() -> None:
    """Base and factors of the sizes that the project knows, and what is said of others."""
    for size, base, factors in [
        ((8, 8), (4, 4), [(2, 2)]),
        ((28, 28), (7, 7), [(2, 2)] * 2),
        ((256, 768), (4, 12), [(2, 2)] * 6),
        ((9, 9), (3, 3), [(3, 3)]),
        ((3, 96), (3, 12), [(1, 2)] * 3),
        ((12, 6), (6, 3), [(2, 2)]),
        ((45, 16), (5, 4), [(3, 2)] * 2),
    ]:
        found = Sizes.of(*size)
        assert (found.base, list(found.factors)) == (base, factors)
        assert found.at(found.stages) == size
    assert Sizes.of(9, 9, [(3, 3), (3, 3)]).base == (1, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"height": 11, "width": 11}, "11 x 11 .* pad or crop to 10 x 10 or "),
        ({"height": 250, "width": 768}, " or 256 x 768"),
        ({"height": 8, "width": 8, "factors": [(3, 3)]}, "not a multiple of the factors"),
        ({"height": 8, "width": 8, "multipliers": [4, 2]}, "need 1 multipliers, not 2"),
        ({"height": 8, "width": 8, "norm": "spectral"}, "norm = 'spectral'"),
    ],
    ids=str,
)
def test_bad_sizes_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(PartiganError, match=message):
        DCGANGenerator(**arguments)
