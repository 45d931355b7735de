"""Heads of critics."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from partigan.errors import PartiganError
from partigan.nets.images.heads import Head
from partigan.nets.images.layers import (
    Condition,
    maker,
)


def test_conditioning() -> None:
    torch.manual_seed(3)
    features, given = torch.randn(4, 5), torch.tensor([0, 2, 1, 2])
    make = maker(nn.init.orthogonal_)
    made = {kind: Head(5, Condition(3), kind, make) for kind in ("projection", "auxiliary", "contrastive", "none")}  # type: ignore[arg-type]
    outputs = {kind: head(features, given) for kind, head in made.items()}
    for kind, head in made.items():
        score = head.score(features)
        if kind == "projection":
            score = score + (head.embed.weight.t()[given] * features).sum(1, keepdim=True)
        torch.testing.assert_close(outputs[kind].score, score)
    assert outputs["auxiliary"].logits.shape == (4, 3)
    contrastive = outputs["contrastive"]
    for part in (contrastive.embedding, contrastive.proxy):
        torch.testing.assert_close(part.norm(dim=1), torch.ones(4))
    assert torch.equal(contrastive.proxy[1], contrastive.proxy[3])
    plain = Head(5, Condition(), "contrastive", make)(features, None)
    assert plain.embedding is plain.proxy is plain.logits is None
    with pytest.raises(PartiganError, match="needs classes"):
        Head(5, Condition(conditions=2), "auxiliary", make)
    with pytest.raises(PartiganError, match="there is no conditioning 'acgan'"):
        Head(5, Condition(3), "acgan", make)  # type: ignore[arg-type]
