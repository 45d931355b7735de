"""A trained model: streams of samples that do not depend on how they are asked for, and what is refused."""

from __future__ import annotations

import copy
import itertools
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from helpers import FlatGenerator, jet_batch
from partigan import load, train
from partigan.data.batch import Batch
from partigan.data.hitmaps import Hitmaps
from partigan.data.transforms.hitmaps import LogIntensity
from partigan.data.transforms.images import Rescale
from partigan.data.transforms.jets import LogStandardise
from partigan.data.transforms.tables import Standardise
from partigan.data.transforms.transform import Transform
from partigan.errors import PartiganError
from partigan.kinds import find
from partigan.models.model import GROUP_VALUES, Model, groups, together
from partigan.nets.clouds.mdma import MDMAGenerator
from partigan.nets.contracts import Generator
from partigan.nets.images.residual import ResidualGenerator
from partigan.nets.tables import TableGenerator, TableTranslator
from partigan.run import SHIPPED

BLOCKS = {"jets": 300, "tables": 1024, "images": 1024, "pxd-fast": 40}


def made(kind: str, network: nn.Module, transform: Transform, sample: Batch, **description: object) -> Model:
    """A model as if trained on a sample, with blocks that are quick to cross."""
    found = find(kind)
    conditions = copy.copy(found.conditions)
    conditions.block = BLOCKS[kind]
    transform.fit(sample)
    state = conditions.state(sample, description)
    return Model(network.eval(), transform, replace(found, conditions=conditions), state, name=kind)


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    """Clouds with masks, rows, images with labels, and the hitmaps of the run that comes with partigan."""
    torch.manual_seed(0)
    draw = torch.Generator().manual_seed(0)
    rows = Batch(torch.randn(100, 3, generator=draw) * 2 + 5)
    images = Batch(torch.rand(100, 1, 8, 8, generator=draw), condition=torch.arange(100) % 3)
    features = dict.fromkeys("abc", "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(find("jets").conditions), "block", BLOCKS["jets"])
        yield {
            "jets": made("jets", MDMAGenerator(particles=12, blocks=1), LogStandardise(), jet_batch(400), jet_pt=1.0),
            "tables": made("tables", TableGenerator(features=3, width=16), Standardise(), rows, features=features),
            "images": made("images", FlatGenerator(classes=3), Rescale(None, None), images),
            "pxd-fast": load("pxd-fast"),
        }


def assert_same(found: Batch, expected: Batch) -> None:
    """Up to rounding."""
    torch.testing.assert_close(found.x, expected.x, rtol=1e-4, atol=1e-5)
    for name in ("mask", "condition"):
        one, two = getattr(found, name), getattr(expected, name)
        assert (one is None) == (two is None)
        assert one is None or torch.equal(one, two)


@pytest.mark.parametrize("name", BLOCKS)
def test_a_sample_depends_on_its_seed_and_number_alone(
    models: dict[str, Model], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not on how many are asked for, nor on the first of them, nor on how the stream is cut."""
    model, block = models[name], BLOCKS[name]
    assert model.kind.conditions.block == block
    if name == "pxd-fast":  # whole maps take long
        monkeypatch.setattr(model.kind.conditions, "block", block := 14)
    whole = model.sample(2 * block - 7, seed=3)
    assert (whole.mask is not None) == (name == "jets")
    assert (whole.condition is not None) == (name in ("images", "pxd-fast"))
    assert len(whole.x.flatten(1).unique(dim=0)) == len(whole)  # no block repeats another
    for first, size in ((0, 1), (5, 1), (block - 2, 4), (block, 1), (block + 3, block - 10)):
        assert_same(model.sample(size, 3, first), whole[first : first + size])
    cuts = [0, 11, block - 1, block + 5, len(whole)]
    parts = [model.sample(high - low, 3, low) for low, high in itertools.pairwise(cuts)]
    assert_same(Batch.joined(parts), whole)


SCRIPT = """
import sys, torch
from partigan import load
torch.save(load("pxd-fast").sample(4, 3, first=38).x, sys.argv[1])
"""


def test_another_process_makes_the_same_samples(models: dict[str, Model], tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path / "x.pt")], check=True)
    torch.testing.assert_close(torch.load(tmp_path / "x.pt"), models["pxd-fast"].sample(4, 3, first=38).x)


def test_packed_samples_are_the_same_events(models: dict[str, Model]) -> None:
    """As hits, block by block; those of other transforms are as ever."""
    model = models["pxd-fast"]
    assert len(repr(model)) < 3000  # without its tables
    maps = model.sample(60, 3, first=30)
    parts = list(model.packed(60, 3, first=30))
    assert [len(part) for part in parts] == [10, 40, 10]
    assert all(part.x.dim() == 3 for part in parts)
    again = [model.transform.inverse(part) for part in parts]
    assert_same(Batch.joined(again), maps)
    assert maps.condition is not None
    assert maps.condition.tolist() == [number % 40 for number in range(30, 90)]
    rows = list(models["tables"].packed(1100, 3))
    assert_same(Batch.joined(rows), models["tables"].sample(1100, 3))


def test_a_run_of_networks_that_are_gone_is_refused_in_one_line(tmp_path: Path) -> None:
    shutil.copytree(SHIPPED / "pxd-fast", tmp_path / "run")
    path = tmp_path / "run" / "config.yaml"
    path.write_text(path.read_text().replace("images.clusters.SparseGenerator", "images.hitmap.HitmapGenerator"))
    with pytest.raises(PartiganError, match=r"HitmapGenerator', which is not a class of partigan") as error:
        load(tmp_path / "run", verify=False)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["jets", "tables", "images"])
def test_without_a_seed_every_call_is_another(models: dict[str, Model], name: str) -> None:
    one, two = (models[name].sample(5).x for _ in range(2))
    assert not torch.equal(one, two)
    assert not torch.equal(models[name].sample(5, 1).x, models[name].sample(5, 2).x)
    assert torch.equal(models[name].sample(5, 1).x, models[name].sample(5, 1).x)


def test_clouds_are_grouped_by_multiplicity_and_come_back_in_order() -> None:
    mask = torch.arange(30) < torch.randint(0, 31, (3000, 1), generator=torch.Generator().manual_seed(1))
    found = list(groups(3000, mask, 10))
    assert len(found) > 2
    assert torch.equal(torch.cat(found).sort().values, torch.arange(3000))
    number = mask.sum(1)
    assert all(number[one].max() <= number[two].min() for one, two in itertools.pairwise(found))
    assert max(int(number[rows].clamp_min(1).sum()) for rows in found) <= GROUP_VALUES + 30
    x = torch.randn(3000, 30, 2) * mask[..., None]
    parts = [x[rows][:, : int(number[rows].max())] for rows in found]
    assert torch.equal(together(parts, found, 3000, 30), x)
    assert [len(rows) for rows in groups(25, None, 10)] == [10, 10, 5]


def test_padding_is_zero_and_particles_are_not(models: dict[str, Model]) -> None:
    jets = models["jets"].sample(400, 1)
    assert jets.mask is not None
    assert jets.x.shape == (400, 12, 3)
    assert (jets.x[~jets.mask] == 0).all()
    assert (jets.x[..., 2][jets.mask] > 0).all()
    assert len(jets.mask.sum(1).unique()) > 3


class Level(Generator):
    """Maps of one level each; remembers the largest number of them that it was given."""

    largest: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.zeros(1))

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        return torch.randn(size, 1, generator=rng)

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        Level.largest = max(Level.largest, len(noise))
        return (self.level + noise.tanh())[:, :, None, None].expand(-1, 1, 256, 768)


def test_few_maps_are_given_to_a_network_at_a_time() -> None:
    transform = LogIntensity()
    transform.load_state({"height": 250})
    sample = Model(Level(), transform, find("pxd"), {}).sample(40, 1)
    assert sample.x.shape == (40, 1, 250, 768)
    assert Level.largest == 8
    assert sample.condition is not None
    assert len(Hitmaps.of_images(sample.x[:, 0].numpy(), sample.condition.numpy())) == 1


def test_samples_come_from_the_deployed_form(models: dict[str, Model]) -> None:
    model = models["tables"]
    assert model.generator is model.network
    deployed = model.deployed()
    assert deployed is model.deployed()
    assert deployed is not model.network
    assert not any(parameter.requires_grad for parameter in deployed.parameters())
    assert all(parameter.requires_grad for parameter in model.network.parameters())


def test_truncation_is_of_a_copy(models: dict[str, Model]) -> None:
    with pytest.raises(PartiganError, match="TableGenerator of tables has no truncation"):
        models["tables"].with_truncation(0.5)
    network = FlatGenerator(classes=3)
    network.truncation = 1.0
    model = replace(models["images"], network=network)
    assert model.with_truncation(0.5).generator.truncation == 0.5
    assert network.truncation == 1.0
    for value in (-1.0, torch.inf, torch.nan):
        with pytest.raises(PartiganError, match="must not be below 0"):
            model.with_truncation(value)


def test_precision_is_of_a_copy(models: dict[str, Model]) -> None:
    with pytest.raises(PartiganError, match="TableGenerator of tables has no choice of precision; leave it out"):
        models["tables"].with_precision("bfloat16")
    model = replace(models["images"], network=ResidualGenerator(1, 8, 8, filters=4))
    assert model.with_precision("bfloat16").generator.precision == "bfloat16"
    assert model.generator.precision == "float32"
    with pytest.raises(PartiganError, match="precision = 'float8'; it is float32 or bfloat16"):
        model.with_precision("float8")


def test_translators_refine_and_generators_sample(models: dict[str, Model]) -> None:
    tables = models["tables"]
    rows = Batch(torch.randn(2500, 3, generator=torch.Generator().manual_seed(4)))
    translator = TableTranslator(features=3)
    nn.init.ones_([*translator.parameters()][-1])  # the bias of the last layer
    model = replace(tables, network=translator, name="refiner")
    scale = tables.transform
    assert isinstance(scale, Standardise)
    inside = Batch(scale.inverse(Batch(rows.x / 10)).x)  # within the range of the training sample
    refined = model.refine(inside)
    expected = scale.inverse(Batch(scale.forward(inside).x + 1)).x
    torch.testing.assert_close(refined.x, expected)
    assert refined.source is not None
    assert torch.equal(refined.source, inside.x)
    assert_same(
        Batch.joined([replace(model.refine(inside[low : low + 700]), source=None) for low in range(0, 2500, 700)]),
        replace(refined, source=None),
    )
    with pytest.raises(PartiganError, match="refiner: TableTranslator makes no samples from noise; use refine"):
        model.sample(5)
    with pytest.raises(PartiganError, match="tables: TableGenerator makes samples from noise; use sample"):
        tables.refine(rows)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"size": 0}, "size = 0; at least one sample is needed, at most 10,000,000,000"),
        ({"size": 3, "first": -1}, "first = -1"),
        ({"size": 3, "seed": -1}, "seed = -1"),
        ({"size": 3, "seed": 2**31}, "between 0 and"),
    ],
)
def test_what_cannot_be_asked_for(models: dict[str, Model], asked: dict[str, int], message: str) -> None:
    with pytest.raises(PartiganError, match=message):
        models["tables"].sample(**asked)


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PartiganError, match="is not a run directory"):
        load(tmp_path)
    short = {"trainer.max_steps": 1, "trainer.validations": 1, "trainer.accelerator": "cpu"}
    run = train("toys", torch.randn(2000, 2), tmp_path / "run", threads=1, overrides=short)
    assert load(run.path).sample(3, 1).x.shape == (3, 2)
    run.weights.write_bytes(b"damaged")
    with pytest.raises(PartiganError, match=r"generator\.safetensors is not what the sha256"):
        load(run.path)
    run.weights.unlink()
    with pytest.raises(PartiganError, match="has no generator yet"):
        load(run.path)
    manifest = json.loads((run.path / "manifest.json").read_text())
    del manifest["layout"]  # as runs had none before
    (run.path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(PartiganError, match=r"run has layout 1, made by partigan .*, and this one reads layout") as old:
        load(run.path)
    assert "\n" not in str(old.value)
