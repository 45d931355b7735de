"""Translations of images from a file to a report: with pairs and without, killed and resumed, in parts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from helpers import equal_tensors, weights
from partigan import PartiganError, evaluate, load, refine, train
from partigan.data.batch import Batch
from partigan.data.samples import read_samples, write_samples
from partigan.evaluation.inputs import Request, read_inputs
from partigan.evaluation.samples import both_samples
from partigan.run import Run
from partigan.training.players import Players

SHORT: dict[str, Any] = {
    "trainer.max_steps": 4,
    "trainer.max_minutes": None,
    "trainer.validations": 1,
    "trainer.batch_size": 4,
    "trainer.checkpoint_seconds": 0.0,
    "trainer.accelerator": "cpu",
}
THRESHOLD = 2.0
PAIRED = {**SHORT, "system.generator.filters": 2, "system.critic.filters": 2}
UNPAIRED = {
    **SHORT,
    **{f"system.networks.{of}_critic.filters": 2 for of in ("data", "other")},
    **{f"system.networks.translator.{way}.filters": 2 for way in ("there", "back")},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Sparse images of two channels, and the same with a gain, noise and a threshold: paired, and each alone."""
    folder, rng = tmp_path_factory.mktemp("images"), torch.Generator().manual_seed(0)
    source = torch.rand(200, 2, 16, 24, generator=rng) ** 8 * 50
    images = 0.8 * source + torch.randn(source.shape, generator=rng)
    images[images < THRESHOLD] = 0
    pairs = Batch(images, source=source)
    found = {}
    for name, sample in {"pairs": pairs, "after": Batch(images[100:]), "before": Batch(source[:100])}.items():
        found[name] = folder / f"{name}.h5"
        write_samples(found[name], "images", [sample], {"kind": "images"})
    return found


@pytest.fixture(scope="module")
def run(files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train("pix2pix-small", files["pairs"], tmp_path_factory.mktemp("a") / "run", threads=1, overrides=PAIRED)


def test_a_killed_training_ends_with_the_same_weights(
    files: dict[str, Path], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dropout included; CycleGAN is in test_refine.py."""
    real = Players.train_step

    def killed(self: Players, step: int, total: int) -> Any:
        if step == 2:
            raise RuntimeError("killed")
        return real(self, step, total)

    def again() -> Run:
        return train("pix2pix-small", files["pairs"], tmp_path / "run", threads=1, resume=True, overrides=PAIRED)

    with monkeypatch.context() as patch:
        patch.setattr(Players, "train_step", killed)
        with pytest.raises(RuntimeError, match="killed"):
            again()
    assert equal_tensors(weights(again().path), weights(run.path))


@pytest.mark.drawn
def test_a_translated_file_is_compared_pair_by_pair(
    files: dict[str, Path], run: Run, tmp_path: Path, draw_only: Callable[..., None]
) -> None:
    draw_only("Inputs and what was made of them")
    out = refine(run.path, files["pairs"], tmp_path / "translated.h5", seed=3)
    made, pairs = read_samples(out, "all", "images", 4), read_samples(files["pairs"], "all", "images", 4)
    assert torch.equal(made.start.x, pairs.start.x)
    model = load(run.path)
    part = model.refine(pairs.start[70:90], seed=3, first=70).x  # dropout of a sample is that of its number
    torch.testing.assert_close(part, made.x[70:90], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(model.refine(pairs.start[70:90], seed=4, first=70).x, part, atol=1e-3)
    found = evaluate(files["pairs"], tmp_path / "report", fake=out, metrics=["swd", "pairs"])
    test = slice(170, 200)
    for name, x in (("pairs.error", made.x), ("pairs.identity", pairs.start.x)):
        expected = (x - pairs.x)[test].abs().mean().item()
        assert found.metrics[name]["value"] == pytest.approx(expected, rel=1e-5)
    assert found.metrics["pairs.shift"]["value"] is not None
    assert found.split == "test"
    assert (tmp_path / "report" / "inputs-and-what-was-made-of-them.png").exists()


def test_a_cyclegan_is_compared_there_and_back(files: dict[str, Path], tmp_path: Path) -> None:
    given = {"data": files["after"], "other": files["before"]}
    trained = train("cyclegan-small", given, tmp_path / "run", threads=1, overrides=UNPAIRED)
    inputs = read_inputs(Request(files["pairs"], run=trained.path, split="test"))
    samples, _ = both_samples(inputs, {"pairs", "cycle"}, 1)
    model, pairs = inputs.model, read_samples(files["pairs"], "test", "images", 4)
    assert model is not None
    there = model.refine(pairs.start)
    back = model.backward().refine(Batch(there.x))
    for made, name in ((there, "after"), (back, "before")):
        low, high = read_samples(files[name], "train", "images", 4).x.aminmax()
        assert low <= made.x.min()
        assert made.x.max() <= high
        assert ((made.x > 0) & (made.x < THRESHOLD)).any() == (name == "before")  # zero-suppressed, as the images are
    assert samples.pairs is not None
    assert samples.cycle is not None
    assert np.allclose(samples.pairs, [pairs.start.x, there.x, pairs.x], atol=1e-3)
    assert samples.cycle().value == pytest.approx((back.x - pairs.start.x).abs().mean().item(), rel=1e-4)


def test_pairs_are_needed_where_they_are_missing(files: dict[str, Path], run: Run, tmp_path: Path) -> None:
    with pytest.raises(PartiganError, match="needs pairs, and the training sample has none; give a file with 'source'"):
        train("pix2pix-small", files["after"], tmp_path / "run", threads=1, overrides=PAIRED)
    assert not (tmp_path / "run").exists()
    with pytest.raises(PartiganError, match=r"translates samples, and .*after.h5 has no 'source' to start from; give"):
        read_inputs(Request(files["after"], run=run.path))


def test_domains_that_cannot_be_translated_are_refused_in_one_line(files: dict[str, Path], tmp_path: Path) -> None:
    x = read_samples(files["after"], "all", "images", 4).x
    domains = {
        "channels": (
            Batch(x[:, :1]),
            r"samples differ: data has the shape \[2, 16, 24\], other the shape \[1, 16, 24\]",
        ),
        "size": (Batch(x[..., :16]), r"samples differ: data has .* other the shape \[2, 16, 16\]"),
        "labels": (
            Batch(x, condition=torch.arange(100) % 2),
            "labels or conditions differ: data has none, other one label",
        ),
        "dark": (Batch(0 * x), "all values of other are 0; is that the right file"),
        "empty": (Batch(x[:0]), "which holds no samples"),
    }
    for name, (sample, message) in domains.items():
        write_samples(tmp_path / f"{name}.h5", "images", [sample], {"kind": "images"})
        given = {"data": files["after"], "other": tmp_path / f"{name}.h5"}
        with pytest.raises(PartiganError, match=message) as refused:
            train("cyclegan-small", given, tmp_path / "run", threads=1, overrides=UNPAIRED)
        assert "\n" not in str(refused.value)
    write_samples(tmp_path / "pairs.h5", "images", [Batch(x, source=x[..., :16])], {"kind": "images"})
    with pytest.raises(PartiganError, match="pairs need one shape"):
        train("pix2pix-small", tmp_path / "pairs.h5", tmp_path / "run", threads=1, overrides=PAIRED)
    assert not (tmp_path / "run").exists()


def test_samples_of_other_sources_are_no_pairs(files: dict[str, Path], tmp_path: Path) -> None:
    pairs = read_samples(files["pairs"], "all", "images", 4)
    mixed = Batch(pairs.x.flip(0), source=pairs.start.x.flip(0))
    write_samples(tmp_path / "mixed.h5", "images", [mixed], {"kind": "images"})
    inputs = read_inputs(Request(files["pairs"], tmp_path / "mixed.h5"))
    assert inputs.pairs is None
    assert len(inputs.generated.batch) == 200
    same = read_inputs(Request(files["pairs"], files["pairs"]))
    assert same.pairs is not None
    assert len(same.generated.batch) == 30
