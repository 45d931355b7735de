"""Translators put together of others."""

from __future__ import annotations

import torch
from torch import Tensor

from partigan.nets.contracts import Coder, Ends, NoisyTranslator, Translator


class BothWays(NoisyTranslator):
    """Two translators, there and back, as one: CycleGAN's, of which ``refine --backward`` uses the second.

    Phases and losses name them as its parts, ``translator/there`` and ``translator/back``.

    Args:
        there: the one that it is called as.
        back: the other.

    References:
        J.-Y. Zhu et al., CycleGAN, arXiv:1703.10593.
    """

    def __init__(self, there: Translator, back: Translator) -> None:
        super().__init__()
        self.there, self.back = there, back

    def noise(self, rng: torch.Generator) -> Tensor:
        """That of ``there``, or nothing."""
        return self.there.noise(rng) if isinstance(self.there, NoisyTranslator) else torch.zeros(0)

    def forward(
        self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None, noise: Tensor | None = None
    ) -> Tensor:
        """What ``there`` makes of ``x``."""
        drawn = (noise,) if isinstance(self.there, NoisyTranslator) else ()
        changed: Tensor = self.there(x, condition, mask, *drawn)
        return changed

    def reach(self, there: Ends, back: Ends) -> None:
        """Each takes note of where it leads."""
        self.there.reach(there, back)
        self.back.reach(back, there)

    @property
    def ends(self) -> Tensor | None:
        """Those of ``there``."""
        return self.there.ends

    def reversed(self) -> Translator:
        """The same the other way."""
        return BothWays(self.back, self.there)


class SharedEncoder(Translator):
    """One encoder for two kinds of samples and a decoder for each, such as simulation and data.

    A sample is translated by encoding it and decoding the code with the other decoder. Phases and losses name the parts
    ``translator/encoder``, ``translator/there`` and ``translator/back``.

    Args:
        encoder: samples of both kinds to codes; called like a translator.
        there: codes to samples like those that are to be reached.
        back: codes to samples like those that it starts from.

    References:
        J. Glombitza, M. Erdmann, lecture on Wasserstein GANs in physics (shared encoder, a decoder for simulation and
        one for data); M.-Y. Liu et al., UNIT, arXiv:1703.00848.
    """

    def __init__(self, encoder: Coder, there: Coder, back: Coder) -> None:
        super().__init__()
        self.encoder, self.there, self.back = encoder, there, back

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """The code of ``x``, decoded with ``there``."""
        changed: Tensor = self.there(self.encoder(x, condition, mask), condition, mask)
        return changed

    def reversed(self) -> Translator:
        """The same encoder with the decoders exchanged."""
        return SharedEncoder(self.encoder, self.back, self.there)
