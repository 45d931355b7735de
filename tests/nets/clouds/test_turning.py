"""Jets in random orientations."""

from __future__ import annotations

import torch
from torch import Tensor

from partigan.nets.clouds.mdma import MDMAGenerator
from partigan.nets.clouds.turning import DECISIVE, TurningGenerator


def test_all_orientations_are_equally_likely() -> None:
    """The jets of the plain generator all lie along one line; those of the deployed form have no harmonics."""

    class Along(MDMAGenerator):
        def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
            return torch.tensor([1.0, 0.3, 0.0]).expand(*noise.shape[:2], 3)

    generator = TurningGenerator(Along(particles=2))
    rng = torch.Generator().manual_seed(1)
    plain, made = (each(each.noise(20_000, None, rng))[:, 0] for each in (generator, generator.deployed()))
    assert (plain == torch.tensor([1.0, 0.3, 0.0])).all()
    torch.testing.assert_close(made[:, :2].norm(dim=1), torch.full((20_000,), 1.09**0.5))
    phase = torch.atan2(made[:, 1], made[:, 0])
    for harmonic in (1, 2, 3, 4):
        assert abs(float((harmonic * phase).cos().mean())) < 0.03
        assert abs(float((harmonic * phase).sin().mean())) < 0.03


def test_turning_changes_nothing_but_the_orientation() -> None:
    torch.manual_seed(1)
    generator = TurningGenerator(MDMAGenerator(particles=12, blocks=1))
    mask = torch.arange(12) < torch.tensor([1, 2, 12, 7])[:, None]
    deployed = generator.deployed()
    noise = deployed.noise(4, mask, torch.Generator().manual_seed(2))
    plain, made = generator.eval()(noise[..., :-DECISIVE], mask=mask), deployed(noise, mask=mask)
    assert torch.equal(made[..., 2], plain[..., 2])
    torch.testing.assert_close(made[..., :2].norm(dim=2), plain[..., :2].norm(dim=2))
    torch.testing.assert_close(*(torch.cdist(x[..., :2], x[..., :2]) for x in (made, plain)), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(made, plain, atol=0.01)
