from __future__ import annotations

import torch
from torch import nn

from helpers import shaken
from partigan.nets.contracts import Coder, Translator
from partigan.nets.tables import TableTranslator
from partigan.nets.traces import TraceTranslator
from partigan.nets.translation import BothWays, SharedEncoder


class Shift(Translator, Coder):
    """x + the shift."""

    def __init__(self, shift: float) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.tensor(shift))

    def forward(
        self, x: torch.Tensor, condition: torch.Tensor | None = None, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        return x + self.shift


def test_there_and_back_share_their_weights() -> None:
    x = torch.zeros(2, 1)
    both = BothWays(Shift(1.0), Shift(-3.0))
    assert both(x)[0] == 1
    assert both.reversed()(x)[0] == -3
    assert both.reversed().reversed()(x)[0] == 1
    coded = SharedEncoder(Shift(10.0), Shift(1.0), Shift(2.0))
    assert coded(x)[0] == 11
    assert coded.reversed()(x)[0] == 12
    with torch.no_grad():
        coded.encoder.shift.fill_(20.0)
    assert coded.reversed()(x)[0] == 22


def test_both_ways_hand_on_noise_and_ends() -> None:
    both, x = BothWays(*(shaken(TraceTranslator, bins=16, width=4).float() for _ in "ab")), torch.zeros(2, 1, 16)
    both.reach(((-1.0, -1.0, 1.0), (0.0, 2.0)), ((-3.0, -3.0, 3.0), (0.0, 5.0)))
    assert both.ends.tolist() == [0.0, 2.0]  # type: ignore[union-attr]
    assert both.reversed().ends.tolist() == [0.0, 5.0]  # type: ignore[union-attr]
    noise = both.noise(torch.Generator().manual_seed(0)).expand(2, 1, 16)
    assert torch.equal(both(x, noise=noise), both.there(x, noise=noise))
    assert torch.equal(both(x, noise=noise), both(x, noise=noise))
    assert not torch.equal(both(x), both(x))
    quiet = BothWays(Shift(1.0), Shift(2.0))
    assert quiet.noise(torch.Generator()).numel() == 0
    assert quiet(x, noise=torch.zeros(2, 0)).shape == x.shape
    assert quiet.ends is None


def test_deployed_forms_lead_both_ways() -> None:
    both = BothWays(TableTranslator(features=2), TableTranslator(features=2)).deployed()
    assert not any(parameter.requires_grad for parameter in both.parameters())
    assert both.reversed()(torch.zeros(3, 2)).shape == (3, 2)
