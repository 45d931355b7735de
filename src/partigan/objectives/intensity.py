"""Terms on the charges of generated hitmaps."""

from __future__ import annotations

from torch import Tensor

from partigan.errors import PartiganError
from partigan.objectives.terms import Term, Turn


class IntensityCut(Term):
    """Keep charges out of the range that the cut after generation removes.

    The mean squared distance of the generator's output from what is left of it after the cut: a pixel between dark and
    threshold becomes dark, all others stay. The defaults are those of
    `partigan.data.transforms.hitmaps.LogIntensity`, where a pixel below 1 ADU lies below -0.75 and the threshold of
    7 ADU at -0.25.

    Args:
        threshold: least value of a hit in the normalised space.
        dark: largest value of a pixel that is not hit.

    Raises:
        PartiganError: there is nothing between ``dark`` and ``threshold``.

    References:
        PE-GAN, section 5.
    """

    def __init__(self, threshold: float = -0.25, dark: float = -0.75) -> None:
        if dark >= threshold:
            raise PartiganError(f"dark = {dark} of IntensityCut; it must be below threshold = {threshold}")
        self.threshold, self.dark = threshold, dark

    def generator(self, turn: Turn) -> Tensor:
        """The mean over all pixels."""
        x = turn.fake.x
        removed = (x - self.dark).clamp_min(0) * (x < self.threshold)
        return removed.square().mean()
