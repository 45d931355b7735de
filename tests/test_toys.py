"""Tables, images and toys: files, the whole path from file to report, and what theory says of objectives."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor

import partigan
from partigan.cli import main
from partigan.config import parse_training
from partigan.data.batch import Batch
from partigan.data.samples import write_samples
from partigan.data.transforms import Rescale, Standardise
from partigan.errors import PartiganError
from partigan.kinds import find
from partigan.kinds.conditions import LabelConditions
from partigan.nets.contracts import Critic, CriticOutput, Generator
from partigan.nets.tables import TableCritic, TableGenerator
from partigan.objectives.losses import Wasserstein
from partigan.objectives.penalties import GradientPenalty
from partigan.objectives.terms import Turn
from partigan.simulate.digits import simulate_digits

SHORT: dict[str, Any] = {"trainer.max_steps": 6, "trainer.validations": 2, "trainer.accelerator": "cpu"}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


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


@pytest.mark.parametrize(("name", "shape"), [("rows", (3,)), ("images", (2, 4, 5))], ids=("tables", "images"))
@pytest.mark.parametrize("with_labels", [True, False])
def test_files_give_back_what_was_written(tmp_path: Path, name: str, shape: tuple[int, ...], with_labels: bool) -> None:
    kind = find({"rows": "tables", "images": "images"}[name])
    x = torch.randn(100, *shape)
    condition = torch.arange(100) % 4 if with_labels else torch.randn(100, 2)
    batch = Batch(x, condition=condition, weight=torch.rand(100) - 0.2)
    kind.format.write(tmp_path / "a.h5", [batch[:60], batch[60:]], {"made": "here"}, {"features": ["a", "b", "c"]})
    found = kind.format.read(tmp_path / "a.h5", "all")
    assert torch.equal(found.x, x)
    assert torch.equal(found.condition, condition)
    assert torch.equal(found.weight, batch.weight)
    assert [len(kind.format.read(tmp_path / "a.h5", split)) for split in ("train", "valid", "test")] == [70, 15, 15]
    assert kind.format.attributes(tmp_path / "a.h5") == {"made": "here"}
    arguments = kind.conditions.arguments(found)
    assert (arguments["classes"], arguments["conditions"]) == ((4, 0) if with_labels else (0, 2))
    training, description = kind.format.training(tmp_path / "a.h5"), kind.format.describe(tmp_path / "a.h5")
    state = json.loads(json.dumps(kind.conditions.state(training, description)))
    drawn, mask = kind.conditions.draw(state, 1000, torch.Generator().manual_seed(0))
    assert mask is None
    assert drawn.shape == (1000, *condition.shape[1:])
    assert {*drawn.flatten().tolist()} <= {*condition[:70].flatten().tolist()}


def test_labels_are_drawn_as_often_as_they_occur() -> None:
    labels = torch.tensor([0] * 10 + [2] * 30)
    conditions = LabelConditions()
    state = conditions.state(Batch(torch.zeros(40, 1), condition=labels), {})
    drawn, _ = conditions.draw(state, 20_000, torch.Generator())
    assert drawn is not None
    assert torch.bincount(drawn).div(20_000).tolist() == pytest.approx([0.25, 0, 0.75], abs=0.015)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": np.full((9, 2), np.nan)}, r"rows row 0: NaN or infinite values \(6 such rows\)"),
        ({"rows": np.zeros((9, 2, 2))}, r"rows is float64\[9, 2, 2\]; rows with 2 dimensions"),
        ({"other": np.zeros((9, 2))}, r"no dataset 'rows' \(it has other\)"),
        ({"rows": np.zeros((9, 2)), "labels": np.zeros(9)}, "labels must be integers of 1 dimensions"),
        ({"rows": np.zeros((9, 2)), "labels": np.full(9, -1)}, "labels row 0 is below 0"),
        ({"rows": np.zeros((9, 2)), "weights": np.zeros(8)}, "weights must be numbers of 1 dimensions, one row for"),
        (
            {"rows": np.zeros((9, 2)), "labels": np.zeros(9, int), "conditions": np.zeros((9, 1))},
            "there are labels and conditions",
        ),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with h5py.File(tmp_path / "bad.h5", "w") as file:
        for name, values in change.items():
            file[name] = values
    with pytest.raises(PartiganError, match=message):
        find("tables").format.read(tmp_path / "bad.h5", "train")


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
