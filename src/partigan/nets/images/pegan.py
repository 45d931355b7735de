"""PE-GAN: BigGAN-deep with contrastive conditioning, given the mean occupancy of each class.

With s the prior (mean occupancy) of a class y, e an embedding and l linear layers, a class is described by

    e(y) || l(s).

The generator's vector is the noise joined with a linear layer of this description. The critic's proxies are the 40
tokens Q = l[e(y) || l(s)] after one self-attention, A = softmax(Q Q^T / sqrt(d)) Q.

Our choices where the paper leaves them open: the score's linear layer, which Table 1 omits and the hinge loss needs;
the critic's block 2ch -> 2ch, whose row is not legible; priors standardised to mean 0 and width 1; the lengths in the
generator, where Table 1's 128 numbers join the noise; no spectral normalisation of embeddings, which would bring
Q Q^T / sqrt(d) near 0 and give classes of similar priors the same proxy.

References:
    H. Hashemi et al., PE-GAN: Prior Embedding GAN for PXD images at Belle II, section 3.1 and Table 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, pstdev

import torch
from torch import Tensor, nn
from torch.nn import functional

from partigan.errors import PartiganError
from partigan.nets.contracts import CriticOutput
from partigan.nets.images.biggan import BigGANDeepCritic, BigGANDeepGenerator
from partigan.nets.images.layers import Condition, Make, maker
from partigan.nets.images.residual import Extras
from partigan.nets.images.sizes import Factor, Sizes

MULTIPLIERS = [16, 16, 8, 8, 4, 2, 1]  # of Table 1, for six stages


class PriorEmbedding(nn.Module):
    """Class embedding and linear projection of the class's prior, joined: e(y) || l(s).

    Args:
        condition: makes the condition vector; it begins with the one-hot class.
        prior: of each class, such as its mean occupancy, in any unit; None = the same for all.
        length: of each of the two parts.
        make: finishes the linear layers.

    Raises:
        PartiganError: not one prior a class, or a prior that is negative or not finite.

    References:
        PE-GAN, section 3.1.
    """

    prior: Tensor

    def __init__(self, condition: Condition, prior: Sequence[float] | None, length: int, make: Make) -> None:
        super().__init__()
        values = [0.0] * condition.classes if prior is None else list(prior)
        if len(values) != condition.classes:
            raise PartiganError(f"prior has {len(values)} values; {condition.classes} classes need one each")
        if not all(0 <= value < math.inf for value in values):
            raise PartiganError("prior has values that are negative or not finite; give mean occupancies")
        mean, width = fmean(values), pstdev(values)
        self.register_buffer("prior", torch.tensor([(s - mean) / (width or 1) for s in values]), persistent=False)
        self.embed = make(nn.Linear(condition.size, length, bias=False))
        self.project = make(nn.Linear(1, length))

    def forward(self, vector: Tensor) -> Tensor:
        """``(n, 2 * length)`` of vectors ``(n, condition.size)``."""
        prior = vector[:, : len(self.prior)] @ self.prior.to(vector)[:, None]
        return torch.cat((self.embed(vector), self.project(prior)), dim=1)


class PEGANGenerator(BigGANDeepGenerator):
    """Generator of PE-GAN: BigGAN-deep with a shared embedding that includes the prior.

    At 256 x 768 pixels and with 40 classes it is that of Table 1, with 11.6 million parameters. Without classes it is
    BigGAN-deep.

    Args:
        channels: channels of an image.
        height: pixels.
        width: pixels.
        classes: number of classes; 0 = none.
        conditions: number of float conditions besides the class; 0 = none.
        prior: mean occupancy of each class; None = the same for all.
        latent: length of the noise.
        shared: length of the class embedding, of the projected prior, and of the embedding made of both.
        filters: feature maps before the image (the paper's ch).
        multipliers: of ``filters`` at the base and after each stage, not growing; None = those of Table 1 for six
            stages, else doubled towards the base, up to 16.
        factors: of height and width in each stage; None = see `Sizes.of`.
        attention: the non-local block stands this many stages before the image; 0 = none.

    Raises:
        PartiganError: the size does not factor, there are fewer stages than ``attention``, or the prior is wrong, see
            `PriorEmbedding`.

    References:
        PE-GAN, Table 1 (a).

    Example:
        >>> generator = PEGANGenerator(1, 8, 8, classes=2, prior=[0.01, 0.02], filters=4, attention=1)
        >>> generator(generator.noise(2, None, torch.Generator()), torch.tensor([0, 1])).shape
        torch.Size([2, 1, 8, 8])
    """

    def __init__(
        self,
        channels: int = 1,
        height: int = 256,
        width: int = 768,
        classes: int = 0,
        conditions: int = 0,
        prior: list[float] | None = None,
        latent: int = 128,
        shared: int = 128,
        filters: int = 32,
        multipliers: list[int] | None = None,
        factors: list[Factor] | None = None,
        attention: int = 2,
    ) -> None:
        multipliers = multipliers or _multipliers(height, width, factors)
        super().__init__(
            channels, height, width, classes, conditions, latent, shared, filters, multipliers, factors, attention
        )
        if classes:
            make = maker(nn.init.orthogonal_)
            described = PriorEmbedding(self.condition, prior, shared, make)
            self.embed = nn.Sequential(described, make(nn.Linear(2 * shared, shared)))


class RelationalHead(nn.Module):
    """A linear score, and for contrastive terms the sample's embedding and its class's proxy.

    Float conditions besides the class, such as the position of a crop, move the proxy: a linear layer of them is added
    before it is normalised.

    Args:
        features: number of features.
        condition: makes the condition vector.
        prior: of each class; None = the same for all.
        dimension: d of embeddings and proxies; class embedding and projected prior have a quarter of it each.
        make: finishes the layers of the score and of the sample's embedding.

    Raises:
        PartiganError: as for `PriorEmbedding`.

    References:
        PE-GAN, section 3.1: Q, A and H; M. Kang, J. Park, arXiv:2006.12681, section 3.
    """

    def __init__(
        self, features: int, condition: Condition, prior: Sequence[float] | None, dimension: int, make: Make
    ) -> None:
        super().__init__()
        self.condition = condition
        self.score = make(nn.Linear(features, 1))
        self.project = make(nn.Linear(features, dimension))
        classes, plain = Condition(condition.classes), maker(nn.init.orthogonal_)
        self.describe = PriorEmbedding(classes, prior, dimension // 4, maker(nn.init.normal_))
        self.token = plain(nn.Linear(2 * (dimension // 4), dimension))
        self.place = plain(nn.Linear(condition.conditions, dimension, bias=False)) if condition.conditions else None

    def proxies(self) -> Tensor:
        """A, ``(classes, dimension)``."""
        prior = self.describe.prior
        tokens = self.token(self.describe(torch.eye(len(prior), device=prior.device, dtype=prior.dtype)))
        attended: Tensor = (tokens @ tokens.T / tokens.shape[1] ** 0.5).softmax(1) @ tokens
        return attended

    def forward(self, features: Tensor, condition: Tensor | None) -> CriticOutput:
        """Output of the critic for pooled features ``(batch, features)``."""
        vector = self.condition(condition, features)
        proxy = vector[:, : self.condition.classes] @ self.proxies()
        if self.place is not None:
            proxy = proxy + self.place(vector[:, self.condition.classes :])
        return CriticOutput(
            self.score(features),
            features,
            embedding=functional.normalize(self.project(features)),
            proxy=functional.normalize(proxy),
        )


class PEGANCritic(BigGANDeepCritic):
    """Critic of PE-GAN: BigGAN-deep with the relational head.

    At 256 x 768 pixels and with 40 classes it is that of Table 1. Without classes it is BigGAN-deep with projection.

    Args:
        channels: channels of an image.
        height: pixels.
        width: pixels.
        classes: number of classes; 0 = none.
        conditions: number of float conditions besides the class; 0 = none.
        prior: mean occupancy of each class; None = the same for all.
        dimension: of embeddings and proxies.
        filters: feature maps after the first convolution (the paper's ch).
        multipliers: of ``filters`` from the last stage to the first convolution, not growing; None = those of Table 1
            for six stages, else doubled after the first convolution, up to 16.
        factors: of height and width in each stage from the base on; None = see `Sizes.of`.
        attention: self-attention stands this many stages after the image; 0 = none, as in the table.
        extras: layers before the head, remedies that the authors tried against collapse.

    Raises:
        PartiganError: as for `PEGANGenerator`.

    References:
        PE-GAN, Table 1 (b).

    Example:
        >>> critic = PEGANCritic(channels=1, height=8, width=8, classes=2, prior=[0.01, 0.02], filters=4)
        >>> critic(torch.randn(2, 1, 8, 8), torch.tensor([0, 1])).score.shape
        torch.Size([2, 1])
    """

    def __init__(
        self,
        channels: int = 1,
        height: int = 256,
        width: int = 768,
        classes: int = 0,
        conditions: int = 0,
        prior: list[float] | None = None,
        dimension: int = 1024,
        filters: int = 32,
        multipliers: list[int] | None = None,
        factors: list[Factor] | None = None,
        attention: int = 0,
        extras: Extras = Extras(),  # noqa: B008 - it is frozen
    ) -> None:
        multipliers = multipliers or _multipliers(height, width, factors)
        super().__init__(
            channels, height, width, classes, conditions, "projection", filters, multipliers, factors, attention, extras
        )
        if classes:
            make = maker(nn.init.orthogonal_, spectral=True)
            self.head = RelationalHead(self.features, Condition(classes, conditions), prior, dimension, make)


def _multipliers(height: int, width: int, factors: Sequence[Factor] | None) -> list[int] | None:
    """The multipliers of Table 1, where the number of stages is that of the table."""
    return MULTIPLIERS if Sizes.of(height, width, factors).stages == len(MULTIPLIERS) - 1 else None
