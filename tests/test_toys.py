"""Tables, images and toys: files, the whole path from file to report, and what theory says of objectives."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from partigan.toys import (
    TOYS,
    covered_modes,
    divergences_of_lines,
    estimated_divergences,
    optimal_discriminator,
    simulate_digits,
    simulate_toy,
    w2,
)
from torch import Tensor, nn

import partigan
from partigan.cli import main
from partigan.config import parse_training
from partigan.data.batch import Batch
from partigan.data.samples import write_samples
from partigan.data.transforms import Rescale, Standardise
from partigan.errors import PartiganError
from partigan.kinds import find
from partigan.metrics.sliced import sliced_w1
from partigan.nets.contracts import Critic, CriticOutput, Generator
from partigan.nets.tables import TableCritic, TableGenerator
from partigan.objectives.losses import NonSaturating, Wasserstein
from partigan.objectives.penalties import GradientPenalty
from partigan.objectives.terms import Turn

SHORT: dict[str, Any] = {"trainer.max_steps": 6, "trainer.validations": 2, "trainer.accelerator": "cpu"}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("name", TOYS)
def test_toys_are_what_they_say(name: str) -> None:
    toy = TOYS[name]
    rows = toy.draw(20_000, rng())
    assert rows.shape == (20_000, len(toy.features))
    if len(toy.modes):
        modes, share = covered_modes(toy, rows)
        assert modes == len(toy.modes)
        dimensions = rows.shape[1]
        inside = math.erf(3 / math.sqrt(2)) if dimensions == 1 else 1 - math.exp(-4.5)
        assert share == pytest.approx(inside, abs=0.003)


def test_modes_are_covered_by_a_quarter_of_their_share() -> None:
    grid = TOYS["grid"]
    rows = grid.modes[np.repeat(np.arange(24), 100)]  # one mode is missing
    some = np.concatenate((rows, grid.modes[[24] * 25], grid.modes[[0] * 75]))
    few = np.concatenate((rows, grid.modes[[24] * 24], grid.modes[[0] * 76]))
    off = np.concatenate((rows, grid.modes[[24] * 100] + 0.2))  # more than three standard deviations away
    assert [covered_modes(grid, sample)[0] for sample in (some, few, off)] == [25, 24, 24]
    assert covered_modes(grid, off)[1] == 0.96
    assert covered_modes(grid, rng().uniform(-5, 5, (2500, 2)))[0] == 0  # noise covers nothing


def test_distances_of_samples() -> None:
    a = rng().normal(size=(400, 2))
    shift = np.array([3.0, 4.0])
    assert w2(a, a[::-1] + shift) == pytest.approx(5.0)
    assert w2(a, a) == 0
    mean = np.mean(np.abs(5 * np.cos(np.linspace(0, 2 * np.pi, 10_001))))  # of |shift . direction|
    assert sliced_w1(a, a + shift, rng(), 2000) == pytest.approx(mean, rel=0.05)
    assert sliced_w1(a[:, :1], a[:, :1] + 2, rng()) == pytest.approx(2.0)
    with pytest.raises(PartiganError, match="400 and 3 rows"):
        w2(a, a[:3])


def test_only_wasserstein_sees_how_far_disjoint_lines_are_apart() -> None:
    height = np.stack((np.zeros(400), rng().random(400)), axis=1)
    other = np.stack((np.zeros(400), rng(1).random(400)), axis=1)
    for theta in (0.0, 0.25, -0.5, 1.0):
        exact, found = divergences_of_lines(theta), estimated_divergences(height, other + np.array([theta, 0]))
        assert found["w1"] == pytest.approx(exact["w1"], abs=0.08)
        assert found["js"] == pytest.approx(exact["js"], abs=0.05)
        assert math.isinf(found["kl"]) == math.isinf(exact["kl"])


def test_a_trained_discriminator_is_the_optimal_one() -> None:
    """Two peaks against a generator that knows only one of them (the lecture's picture of mode collapse)."""
    toy, generator = TOYS["two-peaks"], torch.Generator().manual_seed(0)
    real = torch.tensor(toy.draw(20_000, rng())).float()
    fake = 5 + 0.8 * torch.randn(20_000, 1, generator=generator)
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))
    optimizer = torch.optim.Adam(critic.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 400)
    for _ in range(400):
        rows = torch.randint(20_000, (2, 2000), generator=generator)
        NonSaturating().critic(critic(real[rows[0]] / 5), critic(fake[rows[1]] / 5)).backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    x = np.linspace(-10, 10, 300)

    def normal(mean: float, sigma: float) -> Any:
        return np.exp(-0.5 * ((x - mean) / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))

    p, q = 0.7 * normal(5, 0.8) + 0.3 * normal(-4, 1), normal(5, 0.8)
    seen = p + q > 0.02  # elsewhere there are next to no samples to learn from
    found = torch.sigmoid(critic(torch.tensor(x[seen, None] / 5).float())).detach().numpy()[:, 0]
    assert np.abs(found - optimal_discriminator(p, q)[seen]).max() < 0.05


def test_the_critics_estimate_is_the_wasserstein_distance() -> None:
    """Two Gaussians at a distance d: at the optimum the penalised critic finds d (1 + d / (2 lambda))."""
    distance, rows = 2.0, torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    critic = TableCritic(features=2, width=32, depth=2)
    optimizer = torch.optim.Adam(critic.parameters(), lr=1e-2, betas=(0.5, 0.9))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 300)
    shift = torch.tensor([distance, 0.0])
    penalty, objective = GradientPenalty(100.0), Wasserstein()
    for _ in range(300):
        real, fake = (Batch(torch.randn(256, 2, generator=rows) + s) for s in (shift, 0.0))
        outputs = critic(real.x), critic(fake.x)
        loss = objective.critic(outputs[0].score, outputs[1].score)
        (loss + 100 * penalty.critic(Turn(critic, real, fake, *outputs, rows))).backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    plain = torch.randn(50_000, 2, generator=rows)
    with torch.no_grad():
        estimate = -objective.critic(critic(plain + shift).score, critic(plain).score)
    assert estimate.item() == pytest.approx(distance, rel=0.05)


def test_normalisations_have_exact_inverses(tmp_path: Path) -> None:
    rows = Batch(torch.randn(200, 3) * torch.tensor([1.0, 5.0, 0.1]) + 7)
    standard = Standardise()
    standard.fit(rows)
    assert standard.forward(rows).x.std(0).tolist() == pytest.approx([1, 1, 1])
    torch.testing.assert_close(standard.inverse(standard.forward(rows)).x, rows.x)
    digits = find("images").format.read(simulate_digits(tmp_path / "d.h5"), "all")
    scale = Rescale()
    scale.fit(digits)
    inside = scale.forward(digits)
    assert (inside.x.min(), inside.x.max()) == (-1, 1)
    assert torch.equal(scale.inverse(inside).x, digits.x)
    with pytest.raises(PartiganError, match=r"values from 0 to 1, outside 0\.0 to 0\.5; give --transform"):
        Rescale(0.0, 0.5).fit(digits)


@pytest.mark.parametrize(
    "options", [{}, {"batch_norm": True}, {"classes": 3}, {"conditions": 2}, {"activation": "tanh", "depth": 1}]
)
def test_networks_of_tables(options: dict[str, Any]) -> None:
    condition = {"classes": torch.tensor([0, 2, 1, 0]), "conditions": torch.randn(4, 2)}.get(next(iter(options), ""))
    generator = TableGenerator(5, latent=3, width=8, **options)
    rows = generator(generator.noise(4, None, torch.Generator().manual_seed(0)), condition)
    assert rows.shape == (4, 5)
    critic = TableCritic(5, width=8, outputs=2, spectral_norm=1.0, **options)
    output = critic(rows, condition)
    assert output.score.shape == (4, 2)
    assert output.features is not None
    assert output.features.shape == (4, 8)
    output.score.square().sum().backward()
    for network in (generator, critic):
        assert all(p.grad is not None for p in network.parameters())
    if condition is not None:
        assert not torch.equal(critic(rows, condition).score, critic(rows, condition.flip(0)).score)


def test_spectral_norm_is_one() -> None:
    torch.manual_seed(0)
    critic = TableCritic(features=4, width=16, spectral_norm=3.0)
    for _ in range(300):  # power iterations
        critic(torch.zeros(1, 4))
    for module in critic.modules():
        if isinstance(module, nn.Linear):
            assert torch.linalg.matrix_norm(module.weight, 2).item() == pytest.approx(1, abs=1e-3)
    plain = TableCritic(features=4, width=16, spectral_norm=1.0)
    for layer in critic.modules():
        if isinstance(layer, nn.Linear):
            nn.init.zeros_(layer.bias)
    plain.load_state_dict(critic.state_dict())
    x = torch.randn(5, 4)
    torch.testing.assert_close(critic.eval()(x).score, 3**4 * plain.eval()(x).score)


def test_a_toy_from_simulation_to_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, run, fake = (str(tmp_path / name) for name in ("grid.h5", "run", "fake.h5"))
    main(["simulate", "toy", "--name", "grid", "--n", "2000", "--out", data])
    short = [f"--{key}={value}" for key, value in SHORT.items()]
    main(["train", "--config", "toys-cramer", "--data", data, "--out", run, *short])
    main(["generate", run, "--n", "1500", "--out", fake])
    report = str(tmp_path / "report")
    common = ["--protocol", "tables", "--kind", "tables", "--split", "train", "--out", report]
    main(["evaluate", "--real", data, "--fake", fake, "--run", run, *common])
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert {"w1", "swd", "w1.x", "ks.y", "classifier", "correlations"} <= metrics.keys()
    assert "frechet" not in metrics  # 600 other rows are too few
    assert metrics["w1"]["value"] > 3 * metrics["w1"]["in_sample"]
    assert "Feature x" in (tmp_path / "report" / "report.html").read_text()


class FlatGenerator(Generator):
    """Images from one linear layer."""

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


def test_digits_from_simulation_to_report(tmp_path: Path) -> None:
    data, run = tmp_path / "digits.h5", tmp_path / "run"
    main(["simulate", "digits", "--out", str(data)])
    config = parse_training("toys-lsgan", {**SHORT, "trainer.snapshots": 7, "trainer.batch_size": 64})
    config["kind"] = "images"
    config["transform"] = {"class_path": "partigan.data.transforms.Rescale"}
    for network in ("generator", "critic"):
        config["system"]["init_args"][network] = {"class_path": f"test_toys.Flat{network.capitalize()}"}
    partigan.train(config, data, run, threads=1)
    sample = partigan.load(run, trust=True).sample(50, 1)
    assert sample.x.shape == (50, 1, 8, 8)
    assert {*sample.condition.tolist()} <= {*range(10)}
    assert [len(find("images").format.read(path, "all")) for path in (run / "samples").iterdir()] == [7, 7]
    fake = partigan.generate(run, 500, tmp_path / "fake.h5", trust=True)
    found = partigan.evaluate(data, tmp_path / "report", fake, kind="images", protocol="images").metrics
    protocol = ("frechet", "swd", "intensity", "occupancy")
    assert {*protocol, "w1.mean", "ks.row", "classifier"} <= found.keys()
    assert (tmp_path / "report" / "mean-intensity-of-each-class.png").exists()
    for name in protocol:  # six steps make no digits
        entry = found[name]
        assert entry["value"] - entry["in_sample"] > 5 * entry["in_sample_error"], name


def test_sweights_subtract_a_background_in_the_same_trainer(tmp_path: Path) -> None:
    """Signal at 2 under background at -2, which events of negative weight take away."""
    generator = rng()
    mean = np.repeat([2.0, -2.0], [4000, 6000])
    weight = np.concatenate((np.ones(4000), np.where(np.arange(6000) % 2, 1.0, -1.0)))
    rows = mean[:, None] + 0.5 * generator.standard_normal((10_000, 1))
    order = generator.permutation(10_000)
    parts = (torch.tensor(values[order]).float() for values in (rows, weight))
    write_samples(tmp_path / "s.h5", "rows", [Batch(next(parts), weight=next(parts))], {}, {"x": ""})
    options = {
        **SHORT,
        "trainer.max_steps": 200,
        "system.generator.width": 32,
        "system.critic.width": 32,
        "trainer.ema_half_life": 0.05,
    }
    run = partigan.train("toys-cramer", tmp_path / "s.h5", tmp_path / "r", threads=1, overrides=options)
    sample = partigan.load(run.path).sample(4000, 1).x
    assert sample.mean().item() == pytest.approx(2, abs=0.5)
    assert (sample < 0).float().mean() < 0.1  # unweighted it would be 0.6


def test_simulations_are_reproducible_and_refuse(tmp_path: Path) -> None:
    files = [simulate_toy("ring", 50, tmp_path / f"{n}.h5", seed=3) for n in "ab"]
    first, second = (find("tables").format.read(path, "all").x for path in files)
    assert torch.equal(first, second)
    with pytest.raises(PartiganError, match="exists; give --overwrite"):
        simulate_toy("ring", 50, files[0])
    with pytest.raises(PartiganError, match="unknown toy 'square'; there are two-peaks, ring"):
        simulate_toy("square", 50, tmp_path / "c.h5")  # type: ignore[arg-type]


def test_the_demonstration_draws_every_objective(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("partigan.training.trainer.MEASURE_SECONDS", 0.05)
    monkeypatch.setattr("partigan.demo.toy_presets", lambda: ["toys", "toys-sngan"])
    monkeypatch.setattr("partigan.demo.ROWS", 2000)
    out = tmp_path / "demo"
    main(["demo", "toys", "--out", str(out), "--toy", "two-peaks", "--minutes", "0.01"])
    found = json.loads((out / "toys.json").read_text())["objectives"]
    assert [len(columns) for columns in found.values()] == [4, 4]
    before = (out / "toys.png").read_bytes()
    assert before.startswith(b"\x89PNG")
    main(["demo", "toys", "--out", str(out), "--toy", "two-peaks", "--minutes", "0.01", "--resume"])
    assert (out / "toys.png").read_bytes() == before
