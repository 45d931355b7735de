"""Cherenkov detectors from a file with sWeights to a report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import partigan
from partigan import presets
from partigan.config import build, read, resolve
from partigan.data.batch import Batch
from partigan.errors import PartiganError
from partigan.evaluation import protocols
from partigan.kinds import find, kind_of
from partigan.kinds.kind import Values, event_weights
from partigan.metrics.finding import Finding
from partigan.nets.tables import TableCritic
from partigan.simulate.cherenkov import CONDITIONS, TARGETS, simulate_cherenkov
from partigan.training.log import read_log

KIND = find("cherenkov")
PRESETS = [name for name in presets.names() if name.startswith("cherenkov")]
SHORT = {"trainer.max_steps": 4, "trainer.validations": 2, "trainer.batch_size": 32}


@pytest.fixture(scope="module")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate_cherenkov(24_000, tmp_path_factory.mktemp("rich") / "rich.h5", ["pi", "K", "p"], seed=2)


@pytest.fixture(scope="module")
def sample(calibration: Path) -> Batch:
    return KIND.format.read(calibration, "all")


def values(sample: Batch) -> Values:
    columns = {"features": TARGETS, "columns": {"conditions": CONDITIONS}}
    return Values(KIND.observables.compute(sample, columns), event_weights(sample))


def metrics(real: Batch, fake: Batch) -> dict[str, Finding]:
    terms = protocols.protocol("cherenkov", "cherenkov")
    found = KIND.evaluation.metrics(values(real), values(fake), terms, 4000, 1)
    assert all(isinstance(each, Finding) for each in found.values())
    return found  # type: ignore[return-value]


def test_presets_have_the_sizes_of_the_papers() -> None:
    """RICH-GAN's notebooks, with 3 conditions; pidgan's tutorial counts 75,396 and 100,224, with 4."""
    for name, features, conditions, sizes in (
        ("cherenkov-cramer", 4, 4, (75_396, 100_224)),
        ("cherenkov-cramer", 5, 3, (75_396 - 128 + 129, 100_224)),
        ("cherenkov-cramer-10", 5, 3, (75_397 + 5 * 128 * 129, 100_224 + 5 * 128 * 129)),
    ):
        arguments = {"features": features, "classes": 0, "conditions": conditions}
        system, _, options = build(resolve(read(name), arguments))
        found = tuple(sum(p.numel() for p in system.networks[each].parameters()) for each in ("generator", "critic"))
        assert found == sizes
        assert system.phases["critic"].steps == 15
        terms: Any = system.phases["critic"].loss
        assert terms.terms["penalty"].strength(1.0) == pytest.approx(18.73, abs=0.01)
        assert terms.terms["penalty"].term.one_sided
        assert options.batch_size == 512
    fast = build(resolve(read("cherenkov-fast"), {"features": 5, "classes": 0, "conditions": 8}))[0]
    found = [sum(p.numel() for p in fast.networks[each].parameters()) for each in ("generator", "critic")]
    assert found == [63_480, 34_945]
    assert [*fast.phases] == ["likelihood", "critic", "generator"]


def test_the_critic_of_pidgan_is_given_two_differences() -> None:
    """DLLmu - DLLe and DLLp - DLLk in the order of the simulation: e, k, mu, p, bt."""
    names = [*TARGETS]
    for preset in ("cherenkov-bce", "cherenkov-wgan-gp"):
        critic: dict[str, Any] = read(preset)["system"]["init_args"]["critic"]["init_args"]
        pairs = [(names[a], names[b]) for a, b in critic["differences"]]
        assert pairs == [("RichDLLmu", "RichDLLe"), ("RichDLLp", "RichDLLk")]
        with pytest.raises(PartiganError, match="features 2 and 0, and rows have 2"):
            TableCritic(**{**critic, "features": 2})
    critic = TableCritic(3, width=4, depth=1, differences=((2, 0),))
    x = torch.randn(5, 3)
    seen = torch.cat((x, x[:, 2:] - x[:, :1]), 1)
    assert torch.equal(critic(x).score, critic.head(critic.body(seen, None)))


def test_one_network_for_one_species(calibration: Path, tmp_path: Path) -> None:
    """It sees that species' rows alone; generation, evaluation and resumption know of it."""
    run = partigan.train("cherenkov-fast", calibration, tmp_path / "K", overrides=SHORT, threads=1, species="K")
    assert run.species == "K"
    flags = torch.tensor(run.transform["conditions"]["conditions"])[:, 3:]
    assert (flags == torch.tensor([0.0, 0, 0, 1, 0])).all()
    made = partigan.generate(run.path, 2000, tmp_path / "K.h5", conditions=calibration)
    condition = KIND.format.read(made, "all").condition
    assert condition is not None
    assert (condition[:, 6] == 1).all()
    for given in ({"fake": made}, {"run": run.path}):
        found = partigan.evaluate(calibration, tmp_path / "report", **given, metrics=["w1"], overwrite=True)
        assert found.split == "test"
        assert found.failures == 0
    with pytest.raises(PartiganError, match="trained on the species K, not of all samples"):
        partigan.train("cherenkov-fast", calibration, run.path, overrides=SHORT, threads=1, resume=True)


@pytest.mark.parametrize(
    ("species", "message"),
    [
        ("e", "rich.h5 has no e in its train split; take another species or file"),
        ("kaon", "rich.h5 knows no species 'kaon'; there are e, mu, pi, K, p"),
    ],
)
def test_a_species_that_a_file_lacks_is_named(species: str, message: str, calibration: Path, tmp_path: Path) -> None:
    with pytest.raises(PartiganError, match=message):
        partigan.train("cherenkov-fast", calibration, tmp_path / "r", overrides=SHORT, species=species)
    with pytest.raises(PartiganError, match=f"its kind of data knows no species; leave out --species {species}"):
        partigan.train("toys", torch.randn(200, 2), tmp_path / "r", overrides=SHORT, species=species)
    assert not (tmp_path / "r").exists()


def test_few_rows_with_weights_that_add_up_to_less_than_0(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """60 rows: the valid split is all negative, the train split's sum is just above 0; a warning, and no NaN."""
    weight = torch.tensor([1.0, -1.0]).repeat(30)
    weight[0], weight[42:51] = 1.5, -1.0
    given = {"x": torch.randn(60, 2), "conditions": torch.randn(60, 1), "weight": weight}
    run = partigan.train("cherenkov-fast", given, tmp_path / "r", overrides={**SHORT, "trainer.batch_size": 8})
    said = capfd.readouterr().err
    assert "warning: the weights of the valid split of arrays have the sum -9, not above 0" in said
    for line in read_log(run.path / "metrics.jsonl"):
        assert all(np.isfinite(value) for value in line.values())


@pytest.mark.parametrize("name", PRESETS)
def test_presets_train_on_sweights(name: str, calibration: Path, tmp_path: Path) -> None:
    """Negative weights; every loss is finite, and generated rows have the weights of their conditions."""
    small = {**SHORT, **{f"system.{role}.{each}": 8 for role in ("generator", "critic") for each in ("width", "depth")}}
    if "wgan" in name or "cramer" in name:
        small["system.critic_steps"] = 2
    run = partigan.train(name, calibration, tmp_path / "run", overrides=small, threads=1)
    lines = read_log(run.path / "metrics.jsonl")
    assert all(np.isfinite(value) for line in lines for value in line.values() if isinstance(value, float))
    made = partigan.load(run.path).sample(300, seed=1)
    assert made.x.isfinite().all()
    assert made.weight is not None
    assert made.condition is not None
    assert (made.weight < 0).any()
    training = KIND.format.read(calibration, "train")
    assert training.condition is not None
    assert training.weight is not None
    row = (training.condition == made.condition[7]).all(1).nonzero()[0]
    assert training.weight[row].item() == made.weight[7].item()


def test_weights_that_add_up_to_zero_and_a_particle_of_few_rows(sample: Batch, tmp_path: Path) -> None:
    """Blocks of rows whose weights cancel, and one row of a particle: nothing becomes NaN."""
    x, weight = sample.x[:400], torch.tensor([1.0, -1.0]).repeat(200)
    weight[::4] += 2
    assert sample.condition is not None
    condition = sample.condition[:400].clone()
    condition[:, 3:] = torch.tensor([0.0, 0, 1, 0, 0])
    condition[5, 3:] = torch.tensor([0.0, 0, 0, 1, 0])
    for objective in ("Cramer", "NonSaturating"):
        changes = {**SHORT, "system.objective": f"objectives.losses.{objective}", "trainer.batch_size": 8}
        run = partigan.train(
            "cherenkov-fast",
            {"x": x, "conditions": condition, "weight": weight.roll(3)},
            tmp_path / objective,
            overrides=changes,
            threads=1,
        )
        lines = read_log(run.path / "metrics.jsonl")
        assert all(np.isfinite(line["critic/objective"]) for line in lines if "critic/objective" in line)


def test_the_protocol_accepts_the_same_and_rejects_what_ignores_the_weights(sample: Batch) -> None:
    """Two halves; and rows as they are, as a training that does not look at weights would make them."""
    halves = sample[:12_000], sample[12_000:]
    null = metrics(*halves)
    assert [*null] == protocols.protocol("cherenkov", "cherenkov")["metrics"]
    for name in ("auc_k_pi", "auc_p_k", "efficiency_k", "efficiency_p"):
        assert null[name].value < 5 * (null[name].error or 0)
    defect = metrics(halves[0], replace(halves[1], weight=None))
    for name in ("auc_k_pi", "auc_p_k", "efficiency_k", "w1", "swd"):
        assert defect[name].value > 1.7 * null[name].value, name


def test_what_a_sample_lacks_is_said() -> None:
    rows = Values({"rows": np.zeros((50, 1)), "RichDLLk": np.zeros(50)})
    found = KIND.evaluation.metrics(rows, rows, {"metrics": ["auc_k_pi", "efficiency_p"]}, 50, 1)
    assert found == {
        "auc_k_pi": "the conditions have no P, ETA, is_K, is_pi",
        "efficiency_p": "the conditions have no P, ETA, is_p, is_K",
    }


def test_a_report_has_maps_and_curves(sample: Batch, calibration: Path) -> None:
    figures = KIND.evaluation.figures(values(sample), values(sample[:12_000]))
    assert [*figures][:3] == ["K against pi", "Taken for K, of K and pi", "p against K"]
    assert "Feature RichDLLk" in figures
    assert not any("condition:" in name for name in figures)
    assert kind_of(calibration).name == "cherenkov"
    assert KIND.format.describe(calibration)["columns"]["conditions"] == CONDITIONS


def test_weights_that_cannot_be(tmp_path: Path) -> None:
    x, condition = torch.randn(100, 2), torch.randn(100, 1)
    bad = torch.ones(100)
    bad[3] = torch.nan
    for weight, message in (
        (torch.zeros(100), "are all 0"),
        (-torch.ones(100), "have the sum"),
        (bad, "weights row 3: NaN"),
    ):
        with pytest.raises(PartiganError, match=message):
            partigan.train(
                "cherenkov-fast", {"x": x, "conditions": condition, "weight": weight}, tmp_path / "r", overrides=SHORT
            )
        assert not (tmp_path / "r").exists()
