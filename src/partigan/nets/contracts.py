"""What the rest of the package asks of generators, translators and critics."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import ClassVar, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations

from partigan.data.batch import Batch
from partigan.data.transforms.transform import Transform
from partigan.errors import PartiganError
from partigan.nets.layers import Range

Ends = tuple[tuple[float, float, float], tuple[float, float]]
"""Lowest, second lowest and highest value, normalised; lowest and highest in physical units."""
Network = TypeVar("Network", bound=nn.Module)


def frozen(network: Network) -> Network:
    """A copy for inference: evaluation mode, no gradients of parameters, norms of weights folded into the weights.

    Weight and spectral normalisation and scaled learning rates become plain weights. Outputs stay the same.

    Args:
        network: any network; it is left as it is.
    """
    with torch.inference_mode(False), torch.enable_grad():
        twin = copy.deepcopy(network).eval().requires_grad_()
        for module in list(twin.modules()):
            if is_parametrized(module):
                # copies share the class that holds the parametrised properties, and removing deletes them from it
                kind = type(module)
                module.__class__ = type(kind.__name__, kind.__bases__, dict(vars(kind)))
                for name in list(module.parametrizations):  # type: ignore[arg-type]
                    remove_parametrizations(module, name, leave_parametrized=True)
    return twin.requires_grad_(False)


_RECORDED: ContextVar[bool] = ContextVar("recorded", default=False)


@contextmanager
def recorded() -> Iterator[None]:
    """While what networks do is noted, as C or ONNX: it has to be the same for all samples, whatever their values."""
    token = _RECORDED.set(True)
    try:
        yield
    finally:
        _RECORDED.reset(token)


def is_recorded() -> bool:
    """Whether what a network does is noted: then it neither trims nor takes samples in pieces."""
    return _RECORDED.get()


def introduce(network: nn.Module, transform: Transform) -> None:
    """Show the fitted transform to the parts of a network that ask what features stand for, by a method ``meet``.

    Args:
        network: of the run of that transform.
        transform: the fitted normalisation.

    Raises:
        PartiganError: a part asks for another transform.
    """
    for part in network.modules():
        if (meet := getattr(part, "meet", None)) is not None:
            meet(transform)


class Product(nn.Module, ABC):
    """A network that makes samples: what a training is for.

    Train and evaluation mode never change the shapes of noise or samples.

    Attributes:
        equivariant: permuting the particles of the input permutes the sample in the same way (clouds).
        masked: padding can never influence a real particle (clouds).
    """

    equivariant: ClassVar[bool] = False
    masked: ClassVar[bool] = False

    @abstractmethod
    def deployed(self) -> Product:
        """The inference form, a copy: evaluation mode, no gradients, norms folded into plain weights.

        Some networks do more in this form, such as drawing an orientation; all others give the same samples.
        """

    def reach(self, there: Ends, back: Ends) -> None:
        """Take note of the values of the sample that it leads to, and of the one that it starts from.

        By default it takes none. Called before a training, where the product starts from a sample and not from noise.
        Detectors saturate: what a translator makes should have no values that the sample has not that it leads to.

        Args:
            there: lowest and highest value of the sample that it leads to, normalised and in physical units.
            back: the same of the one that it starts from.
        """


class Generator(Product):
    """Makes samples from noise; called as ``generator(noise, condition, mask)``.

    Attributes:
        truncation: lower it at generation for more typical and less varied samples; None where the network has no
            truncation.
        normal: mean and standard deviation of its noise, independent normal numbers; None = it draws others.
        precision: of the numbers that its deployed form computes with, float32 or bfloat16; None where there is no
            choice.
    """

    truncation: float | None = None
    precision: str | None = None
    normal: tuple[float, float] | None = (0.0, 1.0)

    @abstractmethod
    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """Draw the noise of ``size`` samples; pass the same ``mask`` as to the call that follows."""

    @abstractmethod
    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Samples in the normalised space of the transform, zero where ``mask`` is False."""

    def deployed(self) -> Generator:
        """The inference form, see `Product.deployed`."""
        return frozen(self)

    def plain(self) -> Generator:
        """The inference form as batches of plain operations, which programs in other languages follow."""
        return self.deployed()


class Translator(Product):
    """Changes samples, such as simulation into data; called as ``translator(x, condition, mask)``.

    References:
        J.-Y. Zhu et al., CycleGAN, arXiv:1703.10593; refiners: A. Shrivastava et al., arXiv:1612.07828, and M. Erdmann
        et al., arXiv:1802.03325.
    """

    @abstractmethod
    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Changed samples, shaped like ``x``, in the normalised space; zero where ``mask`` is False."""

    @property
    def ends(self) -> Tensor | None:
        """Lowest and highest physical value of what it makes, ``(2,)``; None = there is no such limit."""
        return None

    def reversed(self) -> Translator:
        """The translator that leads the other way; it shares its weights with this one.

        Raises:
            PartiganError: there is none.
        """
        raise PartiganError(f"{type(self).__name__} leads one way only; it has no way back")

    def deployed(self) -> Translator:
        """The inference form, see `Product.deployed`."""
        return frozen(self)


class CuttingTranslator(Translator):
    """A translator that cuts where the sample ends that it leads to, such as at a saturation or an ADC's largest value.

    Attributes:
        range: through which it sends what it makes.
    """

    range: Range

    def reach(self, there: Ends, back: Ends) -> None:
        """Cut where the sample ends that it leads to."""
        self.range.set(*there)

    @property
    def ends(self) -> Tensor:
        """Of what it makes."""
        return self.range.ends


class NoisyTranslator(Translator):
    """A translator that makes another sample of the same input each time; called with noise, it repeats itself.

    References:
        P. Isola et al., pix2pix, arXiv:1611.07004, section 3.2.1 (dropout as the only noise).
    """

    @abstractmethod
    def noise(self, rng: torch.Generator) -> Tensor:
        """Draw the noise of one sample."""

    @abstractmethod
    def forward(
        self,
        x: Tensor,
        condition: Tensor | None = None,
        mask: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> Tensor:
        """Changed samples; ``noise`` ``(batch, ...)`` is that of each, None = drawn from torch's global generator."""


class Coder(nn.Module, ABC):
    """A half of an autoencoder, samples to codes or codes to samples; called as ``coder(x, condition, mask)``."""

    @abstractmethod
    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Codes of samples in the normalised space, or samples of codes."""


class CriticOutput(NamedTuple):
    """What a critic gives for a batch; None for what it does not have.

    Attributes:
        score: ``(batch, k)``, high = real.
        features: ``(batch, f)``, used by matching terms.
        logits: ``(batch, classes)`` of an auxiliary classifier.
        embedding: ``(batch, d)``, the sample in the space of contrastive terms, norm 1.
        proxy: ``(batch, d)``, the sample's own class in the same space, norm 1.
        commitment: ``(batch, 1)``, mean squared distance of features from their codes.
    """

    score: Tensor
    features: Tensor | None = None
    logits: Tensor | None = None
    embedding: Tensor | None = None
    proxy: Tensor | None = None
    commitment: Tensor | None = None


class Critic(nn.Module, ABC):
    """Tells real from generated samples; called as ``critic(x, condition, mask)``.

    Attributes:
        invariant: permuting the particles does not change the output (clouds).
        masked: padding can never influence the output (clouds).
        one_by_one: what it says of a sample does not depend on the others of its batch, nor on chance, so that real and
            generated samples may share one.
    """

    invariant: ClassVar[bool] = False
    masked: ClassVar[bool] = False
    one_by_one: ClassVar[bool] = False

    @abstractmethod
    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        """Scores and features of samples in the normalised space of the transform."""

    def both(self, real: Batch, fake: Batch) -> tuple[CriticOutput, CriticOutput]:
        """What it says of real and of generated samples; of one shape, in one pass where it judges them one by one."""
        batches = [Batch(batch.x, batch.mask, batch.condition) for batch in (real, fake)]
        if not self.one_by_one or real.x.shape != fake.x.shape:
            of_real, of_fake = (self(batch.x, batch.condition, batch.mask) for batch in batches)
            return of_real, of_fake
        both = Batch.joined(batches)
        halves = [(None, None) if part is None else part.chunk(2) for part in self(both.x, both.condition, both.mask)]
        of_real, of_fake = (CriticOutput(*parts) for parts in zip(*halves, strict=True))
        return of_real, of_fake
