"""Heads of critics: score and conditioning from pooled features."""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor, nn
from torch.nn import functional

from partigan.errors import PartiganError
from partigan.nets.contracts import CriticOutput
from partigan.nets.images.layers import Condition, Make

Conditioning = Literal["projection", "auxiliary", "contrastive", "none"]


class Head(nn.Module):
    """A linear score of the features, with conditioning.

    - ``projection``: add the inner product of features and condition embedding to the score;
    - ``auxiliary``: give class logits, for a term that trains an auxiliary classifier;
    - ``contrastive``: give an embedding of the sample and a proxy of its class, for contrastive terms;
    - ``none``: ignore the condition.

    Args:
        features: number of features.
        condition: makes the condition vector; where its size is 0, conditioning is ``none``.
        conditioning: one of these.
        make: finishes the linear layers.

    Raises:
        PartiganError: an unknown conditioning, or an auxiliary classifier without classes.

    References:
        T. Miyato, M. Koyama, arXiv:1802.05637, equation 5; A. Odena, C. Olah, J. Shlens, arXiv:1610.09585, section 3;
        M. Kang, J. Park, arXiv:2006.12681, section 3.
    """

    def __init__(self, features: int, condition: Condition, conditioning: Conditioning, make: Make) -> None:
        super().__init__()
        if conditioning not in get_args(Conditioning):
            known = ", ".join(get_args(Conditioning))
            raise PartiganError(f"there is no conditioning {conditioning!r}; there are {known}")
        if conditioning == "auxiliary" and condition.size and not condition.classes:
            raise PartiganError("an auxiliary classifier needs classes; choose projection for float conditions")
        self.condition = condition
        self.conditioning = conditioning if condition.size else "none"
        self.score = make(nn.Linear(features, 1))
        if self.conditioning in ("projection", "contrastive"):
            self.embed = make(nn.Linear(condition.size, features, bias=False))
        if self.conditioning == "contrastive":
            self.project = make(nn.Linear(features, features))
        if self.conditioning == "auxiliary":
            self.classifier = make(nn.Linear(features, condition.classes))

    def forward(self, features: Tensor, condition: Tensor | None) -> CriticOutput:
        """Output of the critic for pooled features ``(batch, features)``."""
        score = self.score(features)
        match self.conditioning:
            case "projection":
                embedded = self.embed(self.condition(condition, features))
                return CriticOutput(score + (embedded * features).sum(1, keepdim=True), features)
            case "auxiliary":
                return CriticOutput(score, features, logits=self.classifier(features))
            case "contrastive":
                proxy = functional.normalize(self.embed(self.condition(condition, features)))
                embedding = functional.normalize(self.project(features))
                return CriticOutput(score, features, embedding=embedding, proxy=proxy)
        return CriticOutput(score, features)
