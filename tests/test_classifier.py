from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from partigan.training.classification import fit_classifier, judge, load_reference

from helpers import JetFile
from partigan import evaluate
from partigan.cli import main
from partigan.data.batch import Batch
from partigan.data.jets import read_jets, write_jets
from partigan.data.samples import read_samples, write_samples
from partigan.errors import PartiganError
from partigan.evaluation.samples import Samples
from partigan.evaluation.suite import Found, run_suite
from partigan.kinds import find
from partigan.kinds.images import ImageEvaluation
from partigan.models.jetnet import normalise, published
from partigan.simulate.digits import simulate_digits

ORACLE = Path(__file__).parents[2] / "shared/reference/metrics_oracle.npz"
TINY = [f"--system.classifier.{option}" for option in ("widths=[8, 8]", "neighbours=4", "hidden=16")]
SHORT = ["--trainer.max_steps", "80", "--trainer.validations", "4", "--trainer.batch_size", "64", "--threads", "1"]


@pytest.fixture
def files(jet_file: JetFile) -> dict[str, Path]:
    """Two classes of toy jets; those of the second are half as wide."""
    wide, narrow = jet_file(1400, 12, name="wide.h5"), jet_file(1400, 12, seed=1, name="narrow.h5")
    table = read_jets(narrow)
    write_jets(narrow, [(table.particles * np.float32([0.5, 0.5, 1, 1]), table.jets)], {"flavour": "narrow"})
    return {"wide": wide, "narrow": narrow}


def test_a_classifier_learns_and_is_a_reference(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "classifier"
    data = [f"{label}={path}" for label, path in files.items()]
    main(["fit-classifier", "--data", *data, "--out", str(out), "--seed", "3", *TINY, *SHORT])
    log = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert log[-1]["auc"] > 0.75
    assert {"loss", "accuracy", "classifier/cross-entropy"} <= set().union(*log)
    before = (out / "classifier.safetensors").read_bytes()
    main(["fit-classifier", "--data", *data, "--out", str(out), "--seed", "3", *TINY, *SHORT, "--resume"])
    assert (out / "classifier.safetensors").read_bytes() == before
    jets = {label: read_jets(path, "test").batch() for label, path in files.items()}
    reference = load_reference(out, "narrow")
    null, defect = (reference.distance(jets[label], 1000, 1) for label in ("narrow", "wide"))
    assert (defect.value - null.value) / np.hypot(null.error, defect.error) > 5
    for label, said in (("g", "not 'g'"), (None, "the real file does not say of which its samples are")):
        with pytest.raises(PartiganError, match=f"knows the classes wide, narrow, {said}; choose one with --label"):
            load_reference(out, label)
    monkeypatch.setattr("partigan.evaluation.samples.LEAST", 200)
    metrics = evaluate(files["narrow"], tmp_path / "report", fake=files["wide"], classifier=out, label="narrow").metrics
    assert (metrics["fpnd"]["value"], metrics["fpnd"]["in_sample"]) == pytest.approx(
        (defect.value, null.value), rel=0.5
    )
    assert "--classifier" in (tmp_path / "report" / "report.html").read_text()
    with pytest.raises(PartiganError, match=r"samples of shape \[12, 3\], not \[30, 3\]"):
        reference.distance(Batch(torch.zeros(2, 30, 3)), 2, 1)


def test_digits_are_scored_by_a_classifier_of_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FID, KID, inception score and coverage of classes: null, and a generator that makes no 3 and no 7."""
    monkeypatch.setattr(ImageEvaluation, "figures", lambda *_: {})
    data, out = tmp_path / "digits.h5", tmp_path / "classifier"
    simulate_digits(data)
    main(["fit-classifier", "--kind=images", "--data", str(data), "--out", str(out), *SHORT, "--trainer.max_steps=300"])
    assert json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])["accuracy"] > 0.8
    other = read_samples(data, "valid", "images", 4)
    for name, chosen in (("null", other), ("defect", other[(other.condition != 3) & (other.condition != 7)])):
        write_samples(tmp_path / f"{name}.h5", "images", [chosen], {})
    found = {
        name: evaluate(data, tmp_path / name, tmp_path / f"{name}.h5", kind="images", classifier=out, metrics=["swd"])
        for name in ("null", "defect")
    }
    names = ("fid", "kid", "inception-score", "class-modes")
    for name in names:
        assert found["null"].verdicts[name] == "agrees", name
        assert found["defect"].verdicts[name] != "agrees", name
    assert found["defect"].metrics["inception-score"]["value"] < 8.5
    notes = json.loads((tmp_path / "defect" / "verdict.json").read_text())["metrics"]["class-modes"]["note"]
    assert notes == "missing: 3, 7"
    alone = run_suite(["fid"], Samples({}, np.zeros((9, 0)), np.zeros((9, 0))), None, 1)
    assert "'partigan fit-classifier', then --classifier RUN" in alone.skipped["fid"]
    write_samples(tmp_path / "plain.h5", "images", [Batch(other.x)], {})
    with pytest.raises(PartiganError, match="does not say of which class its samples are"):
        fit_classifier(tmp_path / "plain.h5", tmp_path / "c", kind="images")


def noise(size: int, seed: int, kind: str, defect: bool) -> Batch:
    """Samples of normal numbers; the defect is a correlation of neighbouring ones."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(size, *{"tables": (4,), "images": (1, 8, 8), "jets": (6, 3)}[kind], generator=draw)
    x = 0.8 * x + 0.6 * x.roll(1, -1) if defect else x
    if kind != "jets":
        return Batch(x)
    x[..., 2].exp_()
    return Batch(x, torch.ones(size, 6, dtype=torch.bool))


@pytest.mark.parametrize("kind", ["tables", "images", "jets"])
def test_a_network_tells_raw_samples(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sort, nothing = find(kind), np.zeros((600, 0))
    config = sort.evaluation.judge
    short = {**config["trainer"], "max_steps": 100, "validations": 5, "batch_size": 64}
    monkeypatch.setattr(type(sort.evaluation), "judge", {**config, "trainer": short})
    real, other, wrong = (noise(600, seed, kind, seed == 3) for seed in (1, 2, 3))

    def found(fake: Batch, rows: int = 600) -> Found:
        few = nothing[:rows]
        return run_suite(["network"], Samples({}, few, few, judge=judge(sort, real[:rows], fake, 3)), None, 1)

    null, defect = (found(fake).taken["network"].finding for fake in (other, wrong))
    assert null.p_value > 0.01
    assert defect.p_value < 1e-4
    if kind == "tables":
        assert found(wrong).taken["network"].finding == defect
        assert "the samples are too small" in found(other, 50).skipped["network"]
        assert run_suite(["network"], Samples({}, nothing, nothing), None, 1).skipped["network"].endswith("no network")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (["a={wide}"], "two classes or more"),
        (["{wide}", "{narrow}"], "give every path a name of its own"),
        (["a={wide}", "b=missing.h5"], "missing.h5 does not exist"),
    ],
)
def test_mistakes(
    data: list[str], message: str, files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["fit-classifier", "--data", *(d.format(**files) for d in data), "--out", str(tmp_path / "c"), *SHORT])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "c").exists()


def test_what_was_not_published_and_what_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for flavour, particles in (("w", 30), ("t", 150)):
        with pytest.raises(PartiganError, match=f"{particles} particles of class '{flavour}', only for 30 of g, q, t"):
            published(flavour, (particles, 3))

    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    with pytest.raises(PartiganError, match="pip install --no-deps jetnet"):
        published("g", (30, 3))


def test_padding_is_zero_before_the_scale() -> None:
    x, mask = torch.tensor([[[1.62119853, 0.26036245, 0.89347172], [9.0, 9.0, 9.0]]]), torch.tensor([[True, False]])
    expected = torch.tensor([[[1, 0.5, 0.5], [0, 0, -0.5]]])
    prepared = normalise(Batch(x, mask))
    torch.testing.assert_close(prepared.x, expected)
    assert prepared.mask is None


def test_the_published_network_tells_top_jets() -> None:
    """Pythia's top jets are far from JetNet's, and still nearest to JetNet's top jets."""
    try:
        references = {flavour: published(flavour, (30, 3)) for flavour in "gt"}
    except PartiganError:
        pytest.skip("the jetnet distribution is not installed")
    if not ORACLE.exists():
        pytest.skip(f"{ORACLE} is not here")
    particles = np.load(ORACLE)["a"][:200]
    jets = Batch(torch.from_numpy(particles[..., :3]), torch.from_numpy(particles[..., 3] > 0.5))
    found = {flavour: reference.distance(jets, 200, 1) for flavour, reference in references.items()}
    assert found["t"].value == pytest.approx(44, abs=10)
    assert found["g"].value > 200
