"""PE-GAN beside Table 1 and section 3.1 of its paper."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch.nn import functional

from partigan.errors import PartiganError
from partigan.nets.images.biggan import (
    DeepDownBlock,
    DeepUpBlock,
)
from partigan.nets.images.layers import (
    SelfAttention,
)
from partigan.nets.images.pegan import PEGANCritic, PEGANGenerator


def test_pe_gan_has_the_shapes_of_table_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """Feature maps and sizes from 4 x 12 to 256 x 768 and back, layer by layer."""
    monkeypatch.setattr("partigan.nets.images.layers.spectral_norm", lambda layer: layer)  # slow on large layers
    seen: list[tuple[int, ...]] = []
    with torch.device("meta"):
        generator, critic = PEGANGenerator(classes=40), PEGANCritic(classes=40)
        for network, blocks in ((generator, DeepUpBlock), (critic, DeepDownBlock)):
            for block in network.modules():
                if isinstance(block, blocks | SelfAttention):
                    block.register_forward_hook(lambda _, __, output: seen.append(tuple(output.shape[1:])))
        assert generator.start.weight.shape == (512 * 4 * 12, 128 + 128)
        images = generator(torch.randn(40, 128), torch.arange(40))
        made, seen = seen[:], []
        output = critic(images, torch.arange(40))
    assert images.shape == (40, 1, 256, 768)
    up = [16, 16, 16, 8, 8, 8, 8, 4, 4, 4, 2, 2, 1]  # the non-local block is the first of 64 x 192
    height = [4, 8, 8, 16, 16, 32, 32, 64, 64, 64, 128, 128, 256]
    assert made == [(32 * n, h, 3 * h) for n, h in zip(up, height, strict=True)]
    down = [2, 2, 4, 4, 8, 8, 8, 8, 16, 16, 16, 16]
    height = [128, 128, 64, 64, 32, 32, 16, 16, 8, 8, 4, 4]
    assert seen == [(32 * n, h, 3 * h) for n, h in zip(down, height, strict=True)]
    assert output.score.shape == (40, 1)
    assert output.features.shape == (40, 512)
    assert output.embedding.shape == output.proxy.shape == (40, 1024)


def test_pe_gan_relates_classes_by_their_prior() -> None:
    """A is section 3.1's; proxies differ, move with the prior and with the place of a crop, and the score does not."""
    torch.manual_seed(1)
    prior = torch.linspace(0.5, 2, 40).tolist()
    one, other = (PEGANCritic(1, 8, 8, 40, prior=p, filters=4, dimension=256).eval() for p in (prior, prior[::-1]))
    other.load_state_dict(one.state_dict())
    described = one.head.describe
    scaled = (torch.tensor(prior) - 1.25) / torch.tensor(prior).std(unbiased=False)
    query = one.head.token(torch.cat((described.embed.weight.T, described.project(scaled[:, None])), dim=1))
    attended = functional.softmax(query @ query.T / 256**0.5, dim=1) @ query
    x, sensors = torch.randn(40, 1, 8, 8), torch.arange(40)
    output = one(x, sensors)
    torch.testing.assert_close(output.proxy, functional.normalize(attended))
    assert (output.proxy @ output.proxy.T).detach().fill_diagonal_(0).max() < 0.98
    normalised = copy.deepcopy(one.head)  # what spectral normalisation of the embeddings would do
    for layer in (normalised.describe.embed, normalised.describe.project):
        layer.weight.data /= torch.linalg.matrix_norm(layer.weight.data, 2)
    proxies = functional.normalize(normalised.proxies())
    assert (proxies[1:18] * proxies[:17]).sum(1).min() > 0.99  # classes of similar priors would be one
    torch.testing.assert_close(output.embedding.norm(dim=1), torch.ones(40))
    assert not torch.allclose(other(x, sensors).proxy, output.proxy, atol=1e-3)
    torch.testing.assert_close(other(x, sensors).score, output.score)

    crops = PEGANCritic(1, 8, 8, 40, 2, prior, filters=4, dimension=256).eval()
    condition = torch.cat((torch.eye(40), torch.zeros(40, 2)), dim=1)
    moved = torch.cat((torch.eye(40), torch.ones(40, 2)), dim=1)
    torch.testing.assert_close(crops(x, condition).proxy, functional.normalize(crops.head.proxies()))
    assert not torch.allclose(crops(x, moved).proxy, crops(x, condition).proxy, atol=1e-3)

    generators = [PEGANGenerator(1, 8, 8, 40, prior=p, filters=4, attention=1).eval() for p in (prior, prior[::-1])]
    generators[1].load_state_dict(generators[0].state_dict())
    noise = torch.randn(40, 128)
    assert not torch.allclose(generators[0](noise, sensors), generators[1](noise, sensors), atol=1e-3)


@pytest.mark.parametrize("network", [PEGANGenerator, PEGANCritic])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prior": [0.01] * 2}, "prior has 2 values; 3 classes"),
        ({"prior": [0.01, 0.02, float("nan")]}, "negative or not finite"),
        ({"height": 250, "width": 768}, "do not factor.* or 256 x 768"),
        ({"multipliers": [4, 2]}, "need 3 multipliers, not 2"),
        ({"attention": 7}, "attention = 7; there are 2 stages"),
    ],
    ids=str,
)
def test_bad_arguments_of_pe_gan_are_refused(network: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(PartiganError, match=message):
        network(**{"height": 16, "width": 16, "classes": 3, "filters": 2, **arguments})


def test_unknown_classes_are_refused() -> None:
    critic = PEGANCritic(1, 8, 8, classes=3, filters=4, dimension=8)
    for label in (-1, 3):
        with pytest.raises(PartiganError, match="classes from 0 to 2"):
            critic(torch.randn(2, 1, 8, 8), torch.tensor([0, label]))
