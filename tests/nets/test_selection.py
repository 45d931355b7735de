"""The choice among candidates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from helpers import Shifted
from partigan.errors import PartiganError
from partigan.metrics.wasserstein import wasserstein_1d
from partigan.nets.clouds.mdma import MDMAGenerator
from partigan.nets.clouds.observing import ObservableCritic
from partigan.nets.contracts import Critic, CriticOutput
from partigan.nets.selection import SelectingGenerator


class Known(Critic):
    """The logarithm of a density ratio that is known: candidates are shifted by ``shift`` in their first feature."""

    def __init__(self, shift: float) -> None:
        super().__init__()
        self.shift = shift

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        return CriticOutput(self.shift**2 / 2 - self.shift * x[:, :1, 0])


@pytest.mark.parametrize(("shift", "right"), [(0.7, True), (0.0, False), (-0.7, False)])
def test_the_choice_among_candidates_makes_them_samples_of_the_data(shift: float, right: bool) -> None:
    """The data are standard normal; a judge that knows nothing, or the wrong odds, does not mend candidates."""
    chosen = SelectingGenerator(Shifted(particles=1), Known(shift), candidates=32).deployed()
    made = chosen(chosen.noise(20_000, None, torch.Generator().manual_seed(1)))[:, 0, 0]
    data = torch.randn(20_000, generator=torch.Generator().manual_seed(2))
    assert (wasserstein_1d(np.asarray(made), np.asarray(data)) < 0.06) == right


class Odds(Critic):
    """The density ratio of standard normal samples and of candidates of the widths 1 and 2."""

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        square = x[:, :1, 0] ** 2
        return CriticOutput(torch.log(2 / (1 + 0.5 * torch.exp(3 / 8 * square))))


@pytest.mark.parametrize(("widths", "right"), [((1.0, 2.0), True), ((1.0,), False)])
def test_candidates_are_drawn_from_all_widths_alike(widths: tuple[float, ...], right: bool) -> None:
    """A judge that knows the odds of a mixture restores the standard normal from it, and from nothing else."""

    class Plain(MDMAGenerator):
        def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
            return noise

    generator = SelectingGenerator(Plain(particles=1, latent=1), Odds(), candidates=32, widths=widths)
    chosen, rng = generator.deployed(), torch.Generator().manual_seed(1)
    made = chosen(chosen.noise(20_000, None, rng))[:, 0, 0]
    assert (abs(float(made.std()) - 1) < 0.02) == right
    spread = generator.candidate(20_000, None, rng).std()
    assert float(spread) == pytest.approx(2.5**0.5 if right else 1, rel=0.02)
    assert float(generator.noise(20_000, None, rng).std()) == pytest.approx(1, rel=0.02)


def test_one_candidate_is_the_plain_sample() -> None:
    torch.manual_seed(1)
    generator = SelectingGenerator(MDMAGenerator(blocks=1), ObservableCritic(), candidates=1)
    mask = torch.arange(30) < torch.tensor([1, 2, 30, 7])[:, None]
    deployed = generator.deployed()
    noise = deployed.noise(4, mask, torch.Generator().manual_seed(2))
    assert torch.equal(noise[..., :-1], generator.noise(4, mask, torch.Generator().manual_seed(2)))
    torch.testing.assert_close(deployed(noise, mask=mask), generator(noise[..., :-1], mask=mask))


def test_the_chosen_sample_is_a_candidate() -> None:
    torch.manual_seed(1)
    plain = MDMAGenerator(blocks=1)
    deployed = SelectingGenerator(plain, ObservableCritic(), candidates=3).deployed()
    noise = deployed.noise(5, None, torch.Generator().manual_seed(2))
    candidates = torch.stack([plain(part) for part in noise[..., :-3].split(3, dim=2)], dim=1)
    distance = (deployed(noise)[:, None] - candidates).abs().amax((2, 3))
    assert ((distance < 1e-5).sum(1) == 1).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"candidates": 0}, "candidates = 0; give at least one"),
        ({"widths": ()}, r"widths = \[\]; give at least one"),
        ({"widths": (1.0, 0.0)}, r"widths = \[1.0, 0.0\]; give at least one, all above 0"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(PartiganError, match=message):
        SelectingGenerator(MDMAGenerator(), ObservableCritic(), **options)
