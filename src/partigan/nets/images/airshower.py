"""Networks of air-shower maps: signals, or signals and arrival times, of an array of stations.

The first channel is lg(1 + signal), a silent station is 0. The second, where there is one, is the arrival time, 0 where
the station is silent.

References:
    J. Glombitza, M. Erdmann et al., Deep Learning for Physics Research, World Scientific 2021, and
    deep-learning-physics.org, exercise 18.2: the Wasserstein GAN of 9 x 9 stations. Constrained generation: M. Erdmann,
    L. Geiger, J. Glombitza, D. Schmidt, arXiv:1802.03325.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from partigan.errors import PartiganError
from partigan.nets.contracts import Critic, CriticOutput, Generator
from partigan.nets.images.layers import Condition, ImageGenerator, maker, with_maps
from partigan.nets.images.progressive import GrowingGenerator
from partigan.nets.layers import Rectifier

FACTOR = 3  # of both sides in each of the two stages
_glorot = nn.init.xavier_uniform_  # as Keras, with which the tutorial is written


def triggered(maps: Tensor) -> Tensor:
    """Maps of stations: signals are not below 0, and a silent station has no time.

    Args:
        maps: ``(batch, 1 or 2, rows, columns)``.

    Example:
        >>> triggered(torch.tensor([[[[-1.0, 2.0]], [[5.0, 5.0]]]])).tolist()
        [[[[0.0, 2.0]], [[0.0, 5.0]]]]
    """
    signal = maps[:, :1].relu()
    return signal if maps.shape[1] == 1 else torch.cat((signal, maps[:, 1:] * (signal > 0)), dim=1)


class ShowerGenerator(ImageGenerator):
    """Generator of exercise 18.2: a dense layer, two stages that enlarge by 3 with two convolutions each, a ReLU.

    Sides that are no multiples of 9 are reached by enlarging a little less.

    Args:
        channels: 1 = signals, 2 = signals and times.
        height: stations along one side.
        width: stations along the other.
        classes: number of classes; 0 = none.
        conditions: number of float conditions; 0 = none.
        latent: length of the noise.
        dense: features of the dense layer.
        filters: feature maps of the four convolutions.

    Raises:
        PartiganError: another number of channels or convolutions.

    References:
        deep-learning-physics.org, exercise 18.2; one channel and no condition make its 1,345,537 parameters.

    Example:
        >>> generator = ShowerGenerator()
        >>> generator(generator.noise(2, None, torch.Generator())).shape
        torch.Size([2, 1, 9, 9])
    """

    def __init__(
        self,
        channels: int = 1,
        height: int = 9,
        width: int = 9,
        classes: int = 0,
        conditions: int = 0,
        latent: int = 128,
        dense: int = 128,
        filters: Sequence[int] = (256, 256, 128, 128),
    ) -> None:
        super().__init__(latent, Condition(classes, conditions))
        if channels not in (1, 2) or len(filters) != 4:
            raise PartiganError(
                f"channels = {channels}, filters = {list(filters)}; give 1 channel (signal) or 2 (signal and time) and "
                "4 numbers of feature maps"
            )
        make = maker(_glorot)
        self.sizes = [(-(-height // FACTOR), -(-width // FACTOR)), (height, width)]
        self.dense = make(nn.Linear(latent + self.condition.size, dense))
        inputs = [dense, *filters]
        self.body = nn.ModuleList(
            make(nn.Conv2d(before, after, 3, padding=1))
            for before, after in zip(inputs, [*filters, channels], strict=True)
        )

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Maps ``(batch, channels, height, width)``, see `triggered`."""
        row = torch.cat((noise, self.condition(condition, noise)), dim=1)
        x = self.dense(row).relu()[..., None, None]
        for number, layer in enumerate(self.body):
            if number in (0, 2):
                x = functional.interpolate(x, size=self.sizes[number // 2])
            x = layer(x) if number == len(self.body) - 1 else layer(x).relu()
        return triggered(x)


class ShowerCritic(Critic):
    """Critic of exercise 18.2: five convolutions, a dense layer, a score; the condition enters as constant maps.

    Args:
        channels: 1 = signals, 2 = signals and times.
        height: stations along one side.
        width: stations along the other.
        classes: number of classes; 0 = none.
        conditions: number of float conditions; 0 = none.
        filters: feature maps of the convolutions.
        strides: of the convolutions.
        hidden: features of the dense layer.
        outputs: numbers that it gives: 1 for a critic, one for each condition that a constrainer reads.
        slope: of LeakyReLU below 0.
        spectral: spectral normalisation of every layer.

    Raises:
        PartiganError: not as many strides as convolutions.

    References:
        deep-learning-physics.org, exercise 18.2; one channel and no condition make its 1,402,497 parameters.

    Example:
        >>> ShowerCritic()(torch.randn(2, 1, 9, 9)).score.shape
        torch.Size([2, 1])
    """

    def __init__(
        self,
        channels: int = 1,
        height: int = 9,
        width: int = 9,
        classes: int = 0,
        conditions: int = 0,
        filters: Sequence[int] = (64, 128, 128, 256, 256),
        strides: Sequence[int] = (1, 1, 2, 1, 2),
        hidden: int = 128,
        outputs: int = 1,
        slope: float = 0.3,
        spectral: bool = False,
    ) -> None:
        super().__init__()
        if len(filters) != len(strides) or not filters:
            raise PartiganError(f"{len(filters)} convolutions and {len(strides)} strides; give one stride for each")
        self.condition, make = Condition(classes, conditions), maker(_glorot, spectral)
        layers: list[nn.Module] = []
        before = channels + self.condition.size
        for after, stride in zip(filters, strides, strict=True):
            layers += [make(nn.Conv2d(before, after, 3, stride, 1)), Rectifier(slope)]
            before, height, width = after, -(-height // stride), -(-width // stride)
        layers += [nn.Flatten(), make(nn.Linear(before * height * width, hidden)), Rectifier(slope)]
        self.body = nn.Sequential(*layers)
        self.score = make(nn.Linear(hidden, outputs))

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        """Score ``(batch, outputs)``, and the features of the dense layer."""
        features = self.body(with_maps(x, self.condition(condition, x)))
        return CriticOutput(self.score(features), features)


class ShowerConstrainer(ShowerCritic):
    """Reads conditions such as energy and zenith angle off maps; see `partigan.systems.losses.ReadingLoss`.

    Args:
        channels: 1 = signals, 2 = signals and times.
        height: stations along one side.
        width: stations along the other.
        conditions: how many it reads.
        filters: feature maps of the convolutions.
        strides: of the convolutions.
        hidden: features of the dense layer.

    References:
        arXiv:1802.03325, section on constrained generation; sizes are ours.

    Example:
        >>> ShowerConstrainer(conditions=3)(torch.randn(2, 1, 9, 9)).score.shape
        torch.Size([2, 3])
    """

    def __init__(
        self,
        channels: int = 1,
        height: int = 9,
        width: int = 9,
        conditions: int = 1,
        filters: Sequence[int] = (32, 64, 64),
        strides: Sequence[int] = (1, 2, 2),
        hidden: int = 64,
    ) -> None:
        super().__init__(
            channels, height, width, filters=filters, strides=strides, hidden=hidden, outputs=max(conditions, 1)
        )


class StationGenerator(Generator):
    """Any generator of images as one of stations: what it makes goes through `triggered`.

    Args:
        generator: of images with one or two channels.
    """

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator, self.truncation = generator, generator.truncation

    def set_progress(self, done: float) -> None:
        """Set the fraction of the run that is done, where the generator inside grows."""
        if isinstance(self.generator, GrowingGenerator):
            self.generator.set_progress(done)

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """The noise of the generator inside."""
        return self.generator.noise(size, mask, rng)

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Maps ``(batch, channels, height, width)``."""
        if self.truncation is not None:
            self.generator.truncation = self.truncation
        return triggered(self.generator(noise, condition, mask))
