from __future__ import annotations

import pytest
import torch

from partigan.errors import PartiganError
from partigan.nets.images.cyclegan import ResNetTranslator
from partigan.nets.images.pix2pix import PatchCritic, UNet

IMAGES = torch.randn(3, 1, 32, 32, generator=torch.Generator().manual_seed(0))


def _unet(**options: float | str) -> UNet:
    torch.manual_seed(1)
    return UNet(1, 32, 32, filters=2, **options)  # type: ignore[arg-type]


def test_the_stages_of_the_paper() -> None:
    """Section 6.1.1: eight stages, 64 to 512 maps, no norm in the first, the innermost and the last."""
    with torch.device("meta"):
        network = UNet()
    maps = [(stage[1].in_channels, stage[1].out_channels) for stage in network.down]  # type: ignore[union-attr, index]
    assert maps == [(3, 64), (64, 128), (128, 256), (256, 512), *[(512, 512)] * 4]
    back = [(stage[1].in_channels, stage[1].out_channels) for stage in network.up]  # type: ignore[union-attr, index]
    assert back == [(128, 3), (256, 64), (512, 128), (1024, 256), *[(1024, 512)] * 3, (512, 512)]
    normed = [stage for stage, layers in enumerate(network.down) if not isinstance(layers[2], torch.nn.Identity)]  # type: ignore[index]
    assert normed == [*range(1, 7)]
    assert network.dropped == {5: (512, 8, 8), 6: (512, 4, 4), 7: (512, 2, 2)}  # CD512, CD1024, CD1024


def test_dropout_is_the_noise_in_training_and_in_generation() -> None:
    network = _unet()
    for mode in (True, False):
        network.train(mode)
        torch.manual_seed(3)
        first, second = network(IMAGES), network(IMAGES)
        assert not torch.allclose(first, second)
        torch.manual_seed(3)
        assert torch.equal(network(IMAGES), first)
    noise = torch.stack([network.noise(torch.Generator().manual_seed(seed)) for seed in range(3)])
    made = network(IMAGES, noise=noise)
    assert torch.equal(made, network(IMAGES, noise=noise))
    for row in range(3):  # whatever else is in the batch
        torch.testing.assert_close(network(IMAGES[row : row + 1], noise=noise[row : row + 1])[0], made[row])
    assert noise.float().mean().item() == pytest.approx(0.5, abs=0.05)
    still = _unet(dropout=0.0)
    assert torch.equal(still(IMAGES), still(IMAGES))


@pytest.mark.parametrize("norm", ["none", "instance"])
def test_a_residual_translator_begins_at_the_identity(norm: str) -> None:
    for network in (
        _unet(residual=True, norm=norm),
        _unet(residual=True, norm=norm, fine=3),
        ResNetTranslator(1, 32, 32, filters=2, residual=True, norm=norm),  # type: ignore[arg-type]
    ):
        assert torch.equal(network(5 * IMAGES), 5 * IMAGES)


def test_dropout_keeps_the_mean_of_what_it_drops() -> None:
    """One stage of a network whose kept values are scaled by 1 / (1 - p)."""
    network = _unet(dropout=0.25)
    shapes = {stage: torch.ones(4000, *shape) for stage, shape in network.dropped.items()}
    noise = torch.stack([network.noise(torch.Generator().manual_seed(seed)) for seed in range(4000)])
    assert noise.shape[1] == sum(ones[0].numel() for ones in shapes.values())
    assert (noise.float().mean() / 0.75).item() == pytest.approx(1, abs=0.01)


def test_noise_beside_the_image() -> None:
    network = _unet(residual=True, dropout=0.0, noise=2)
    assert network.noise(torch.Generator().manual_seed(0)).shape == (2 * 32 * 32,)
    empty = torch.zeros(2, 1, 32, 32)
    with torch.no_grad():
        network.up[0][1].weight.normal_()  # type: ignore[index, operator]
    assert not torch.allclose(*network(empty), atol=1e-3)


def test_further_convolutions_see_single_pixels() -> None:
    """They do to each pixel the same, wherever it lies in a stride, where the stages before give nothing."""
    fine = _unet(dropout=0.0, fine=3)
    assert [layer.in_channels for layer in fine.fine if isinstance(layer, torch.nn.Conv2d)] == [3 + 1, 3]  # type: ignore[union-attr]
    assert fine(IMAGES).abs().max() <= 1
    with torch.no_grad():
        fine.up[0][1].weight.zero_()  # type: ignore[index, operator]
    moved = torch.roll(IMAGES, 1, dims=3)
    inner = (slice(None), slice(None), slice(2, -2), slice(2, -2))
    torch.testing.assert_close(fine(moved)[inner], torch.roll(fine(IMAGES), 1, dims=3)[inner])


@pytest.mark.parametrize(("layers", "field"), [(1, 16), (2, 34), (3, 70)])
def test_what_a_patch_sees(layers: int, field: int) -> None:
    """The receptive fields of section 6.1.2, by gradients of one score."""
    critic = PatchCritic(1, 128, 128, filters=2, layers=layers, norm="none").double()
    image = torch.zeros(1, 1, 128, 128, dtype=torch.float64, requires_grad=True)
    scores = critic(image).score
    side = int(scores.shape[1] ** 0.5)
    scores[0, (side // 2) * side + side // 2].backward()
    assert image.grad is not None
    seen = (image.grad[0, 0] != 0).nonzero()
    assert (seen.amax(0) - seen.amin(0) + 1).tolist() == [field, field]


def test_patches_fit_into_the_image() -> None:
    shapes = {256: 30 * 30, 64: 14 * 14, 32: 14 * 14, 9: 9 * 9}  # patches of 70, 34, 16 and 1 pixels
    for side, patches in shapes.items():
        assert PatchCritic(1, side, side, filters=1)(torch.zeros(1, 1, side, side)).score.shape == (1, patches)
    with pytest.raises(PartiganError, match="layers = 3 leave nothing of images of 16 x 64 pixels"):
        PatchCritic(1, 16, 64, layers=3)


def test_networks_that_cannot_be() -> None:
    with pytest.raises(PartiganError, match="images of 25 x 35 pixels divide by neither 2 nor 3"):
        UNet(1, 25, 35)
    with pytest.raises(PartiganError, match="stages = 0; images of 32 x 32 pixels allow 1 to 5"):
        _unet(stages=0)
    assert [len(_unet(stages=stages).down) for stages in (3, 6)] == [3, 5]
    with pytest.raises(PartiganError, match=r"dropout = 1\.0 of UNet"):
        _unet(dropout=1.0)
