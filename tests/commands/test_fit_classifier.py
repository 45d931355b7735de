from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from helpers import SHARED, JetFile
from partigan import evaluate, fit_classifier
from partigan.cli import main
from partigan.data.batch import Batch
from partigan.data.jets import read_jets, write_jets
from partigan.data.samples import read_samples, write_samples
from partigan.errors import PartiganError
from partigan.evaluation.samples import Samples
from partigan.evaluation.suite import run_suite
from partigan.kinds.images import ImageEvaluation
from partigan.models.classifier import load_reference
from partigan.simulate.digits import simulate_digits

ORACLE = SHARED / "reference/metrics_oracle.npz"
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
    assert {"loss", "accuracy", "classifier/objective"} <= set().union(*log)
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
    compared: dict[str, Any] = {"fake": files["wide"], "classifier": out, "label": "narrow", "metrics": ["w1m"]}
    metrics = evaluate(files["narrow"], tmp_path / "report", **compared).metrics
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
    main(["fit-classifier", "--data", str(data), "--out", str(out), *SHORT, "--trainer.max_steps=300"])
    assert json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])["accuracy"] > 0.8
    other = read_samples(data, "valid", "images", 4)
    for name, chosen in (("null", other), ("defect", other[(other.condition != 3) & (other.condition != 7)])):
        write_samples(tmp_path / f"{name}.h5", "images", [chosen], {})
    found = {
        name: evaluate(data, tmp_path / name, tmp_path / f"{name}.h5", classifier=out, metrics=["swd"])
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
        fit_classifier(tmp_path / "plain.h5", tmp_path / "c")


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
