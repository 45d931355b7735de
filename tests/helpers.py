"""What several tests share: small samples, options of short trainings, comparisons."""

from __future__ import annotations

import math
import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from partigan.compiling import compiler
from partigan.data.batch import Batch
from partigan.data.hitmap_files import write_hitmaps
from partigan.data.hitmaps import Hitmaps
from partigan.data.pxd import SENSORS
from partigan.metrics.clouds import Clouds
from partigan.models.checkpoint import load_tensors
from partigan.nets.clouds.mdma import MDMAGenerator
from partigan.nets.contracts import Critic, CriticOutput, Generator
from partigan.nets.tables import TableCritic, TableGenerator
from partigan.objectives.losses import Objective, Wasserstein
from partigan.objectives.terms import Term, Turn
from partigan.systems.system import Loss, Networks, Samples, Tick
from toy_jets import toy_jets

SHARED = Path(__file__).parents[2] / "shared"
Rng = np.random.Generator
JetFile = Callable[..., Path]
needs_compiler = pytest.mark.skipif(compiler() is None, reason="there is no C compiler")

SHORT: dict[str, Any] = {
    "system.generator.blocks": 1,
    "system.critic.blocks": 1,
    "trainer.max_steps": 12,
    "trainer.batch_size": 32,
    "trainer.validations": 3,
    "trainer.accelerator": "cpu",
}


CYCLEGAN = """
about: {title: Two unpaired tables, paper: arXiv:1703.10593, status: a test}
kind: tables
transform: data.transforms.tables.Standardise
system:
  systems.system.System:
    networks:
      translator:
        nets.translation.BothWays:
          there: {nets.tables.TableTranslator: {width: 32, depth: 2}}
          back: {nets.tables.TableTranslator: {width: 32, depth: 2}}
      data_critic: {nets.tables.TableCritic: {width: 32, depth: 2}}
      simulation_critic: {nets.tables.TableCritic: {width: 32, depth: 2}}
      history: {nets.history.History: {size: 20}}
    phases:
      data_critic:
        updates: [data_critic]
        loss: {systems.gan.CriticLoss: {objective: objectives.losses.LeastSquares, critic: data_critic,
          generator: translator/there, source: simulation, history: history}}
        optimizer: &adam {torch.optim.Adam: {lr: 0.002, betas: [0.5, 0.999]}}
      simulation_critic:
        updates: [simulation_critic]
        loss: {systems.gan.CriticLoss: {objective: objectives.losses.LeastSquares, critic: simulation_critic,
          generator: translator/back, real: simulation, source: data}}
        optimizer: *adam
      translators:
        updates: [translator]
        loss:
          systems.system.SumOfLosses:
            losses:
              forth:
                systems.gan.GeneratorLoss:
                  objective: objectives.losses.LeastSquares
                  critic: data_critic
                  generator: translator/there
                  source: simulation
                  terms:
                    cycle: {term: {objectives.translation.CycleConsistency: {there: translator/there,
                      back: translator/back, sample: simulation}}, weight: 1.0}
                    identity: {term: {objectives.translation.IdentityMapping: {network: translator/there,
                      sample: data}}, weight: 0.5}
              back:
                systems.gan.GeneratorLoss:
                  objective: objectives.losses.LeastSquares
                  critic: simulation_critic
                  generator: translator/back
                  real: simulation
                  source: data
                  terms:
                    cycle: {term: {objectives.translation.CycleConsistency: {there: translator/back,
                      back: translator/there, sample: data}}, weight: 1.0}
        optimizer: *adam
    product: translator
    source: simulation
trainer: {batch_size: 64, max_steps: 400, validations: 4, checkpoint_seconds: 0.5, accelerator: cpu}
"""


def rng(seed: int = 0) -> Rng:
    return np.random.default_rng(seed)


def values(output: Tensor | CriticOutput) -> Tensor:
    """A network's output as one tensor: the sample, or the scores and features."""
    return output if isinstance(output, Tensor) else torch.cat([part for part in output if part is not None], 1)


def toy_clouds(size: int, seed: int, particles: int = 8) -> Clouds:
    """Toy jets as metrics take them."""
    clouds = toy_jets(size, particles, seed)[0]
    return Clouds(clouds[..., :3].astype(float), clouds[..., 3] > 0.5)


def jet_batch(size: int, particles: int = 12, seed: int = 0) -> Batch:
    """`toy_jets` as a batch in physical units."""
    clouds = torch.from_numpy(toy_jets(size, particles, seed)[0])
    return Batch(clouds[..., :3].contiguous(), clouds[..., 3] > 0.5)


def shaken(make: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """A network in double precision and evaluation mode, moved away from the symmetries of a fresh initialisation."""
    torch.manual_seed(1)
    network = make(*args, **options).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network


def toy_hitmaps(path: Path, events: int = 4) -> Path:
    """Hits at random, one event of which is for validation."""
    rng = np.random.default_rng(0)
    limits, hits = (events, len(SENSORS), 250, 768), 10_000 * events
    columns = [rng.integers(0, limit, hits) for limit in limits]
    made = Hitmaps.of(events, *columns, rng.integers(7, 256, hits))
    write_hitmaps(path, [made], {"split_train": [0, events - 1], "split_valid": [events - 1, events]})
    return path


def toy_hits(events: int = 4, hits: int = 3000, seed: int = 0, busy: tuple[int, ...] = (0, 2)) -> Hitmaps:
    """Random hits in some events only; the others are empty."""
    rng = np.random.default_rng(seed)
    limits = (len(SENSORS), 250, 768)
    columns = [rng.integers(0, limit, hits) for limit in limits]
    return Hitmaps.of(events, rng.choice(busy, hits), *columns, rng.integers(7, 256, hits))


def assert_same_hits(one: Hitmaps, two: Hitmaps) -> None:
    for name in ("counts", "u", "v", "charge"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_tensors(sorted((run / "checkpoints").glob("*.safetensors"))[-1])[0]


def equal_tensors(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


class ToyGenerator(Generator):
    """x = W z + b, of any shape; masks are obeyed."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape, self.layer = shape, nn.Linear(3, math.prod(shape))

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        return torch.randn(size, 3, generator=rng, dtype=self.layer.weight.dtype)

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        x: Tensor = self.layer(noise).view(-1, *self.shape)
        return x if mask is None else x * mask[..., None]


class ToyCritic(Critic):
    """A small network with everything that a critic may return."""

    def __init__(self, *shape: int, outputs: int = 1, rich: bool = True) -> None:
        super().__init__()
        self.rich = rich
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), 8), nn.Softplus())
        self.score, self.classes = nn.Linear(8, outputs), nn.Embedding(4, 8)

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        features = self.body(x)
        if not self.rich:
            return CriticOutput(self.score(features))
        logits = features @ self.classes.weight.T
        if condition is None or condition.is_floating_point():
            return CriticOutput(self.score(features), features, logits)
        proxy = functional.normalize(self.classes(condition), dim=1)
        return CriticOutput(self.score(features), features, logits, functional.normalize(features, dim=1), proxy)


class FlatGenerator(Generator):
    """Images from a network of tables."""

    def __init__(self, channels: int = 1, height: int = 8, width: int = 8, classes: int = 0) -> None:
        super().__init__()
        self.shape, self.classes = (channels, height, width), classes
        self.body = TableGenerator(math.prod(self.shape), classes, width=32, depth=1)

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        return self.body.noise(size, mask, rng)

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        return self.body(noise, condition).tanh().view(-1, *self.shape)


class FlatCritic(Critic):
    """Scores of flattened images."""

    def __init__(self, channels: int = 1, height: int = 8, width: int = 8, classes: int = 0) -> None:
        super().__init__()
        self.body = TableCritic(channels * height * width, classes, width=32, depth=1)

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        return self.body(x.flatten(1), condition)


def toy_turn(critic: Critic, real: Batch, objective: Objective | None = None, **networks: nn.Module) -> Turn:
    torch.manual_seed(0)
    rng = torch.Generator().manual_seed(0)
    generator = networks.setdefault("generator", ToyGenerator(*real.x.shape[1:]).to(real.x.dtype))
    fake = Batch(generator(generator.noise(len(real), None, rng), real.condition, real.mask), real.mask, real.condition)
    outputs = [critic(sample.x, sample.condition, sample.mask) for sample in (real, fake)]
    return Turn(
        critic,
        real,
        fake,
        outputs[0],
        outputs[1],
        rng,
        objective or Wasserstein(),
        generator,
        {"critic": critic, **networks},
    )


def toy_batch(*shape: int, labels: bool = True, masked: bool = False, size: int = 6) -> Batch:
    rng = torch.Generator().manual_seed(3)
    x = torch.randn(size, *shape, generator=rng, dtype=torch.float64)
    mask = torch.arange(shape[0]) < torch.arange(1, size + 1)[:, None] if masked else None
    x = x if mask is None else x * mask[..., None]
    return Batch(x, mask, torch.arange(size) % 3 if labels else None)


class Exploding(Term):
    """Infinite in its fourth call."""

    calls = 0

    def generator(self, turn: Turn) -> Tensor:
        self.calls += 1
        return turn.fake_output.score.mean() * (torch.inf if self.calls == 4 else 0.0)


class Steep(Term):
    """Zero, with a slope that does not exist from its fourth call on (the first is the rehearsal)."""

    calls = 0

    def generator(self, turn: Turn) -> Tensor:
        self.calls += 1
        score = turn.fake_output.score
        return (score - score.detach()).abs().sqrt().mean() if self.calls > 2 else score.mean()


class Erasing(Term):
    """Shrinks the critic's weights after every step."""

    def after_critic_step(self, critic: nn.Module) -> None:
        for parameter in critic.parameters():
            parameter.data *= 0.6


class Distance(Loss):
    """Pulls generated particles to 1; a critic is not needed."""

    def parts(self, networks: Networks, samples: Samples, tick: Tick) -> dict[str, Tensor]:
        batch, generator = samples["data"], networks["generator"]
        made = generator(generator.noise(len(batch), batch.mask, tick.rng), mask=batch.mask)
        return {"distance": (made - 1)[batch.mask].square().mean()}


class Told(MDMAGenerator):
    """Remembers the progress that it was told."""

    seen: ClassVar[list[float]] = []

    def set_progress(self, done: float) -> None:
        self.seen.append(done)


class FourNumbers(Generator):
    """Clouds of noise wide enough for every operation that a subclass does to it."""

    masked: ClassVar[bool] = True

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        return 3 * torch.randn(size, 5 if mask is None else mask.shape[1], 4, generator=rng)


def content_of(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def lasting(out: Path) -> dict[str, bytes]:
    """The content of an output, without notes of the time."""
    files = {out.name: out.read_bytes()} if out.is_file() else content_of(out)
    timed = (".partigan.json", "manifest.json", "tensorboard", "checkpoints")
    return {name: files[name] for name in files if not name.startswith(timed)}


def child(call: Callable[[], object]) -> int:
    """A copy of this process that calls and ends."""
    if pid := os.fork():
        return pid
    try:
        call()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def killed(pid: int) -> bool:
    """Whether a child was killed; otherwise it has ended well."""
    status = os.waitpid(pid, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)
