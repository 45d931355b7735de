"""`evaluate`: its report, what it refuses, what it leaves out."""

from __future__ import annotations

import json
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

import partigan
from helpers import SHARED, JetFile, toy_hits
from metric_cases import rows
from partigan.cli import main
from partigan.data.batch import Batch
from partigan.data.hitmap_files import write_hitmaps
from partigan.data.samples import write_samples
from partigan.errors import PartiganError
from partigan.files import sha256
from partigan.kinds import find
from partigan.kinds.jets import JetEvaluation
from partigan.kinds.tables import TableEvaluation
from partigan.metrics.critic import held_out_critic
from partigan.simulate.digits import simulate_digits


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"particles": 20}, r"shape \[20, 3\], .* of \[30, 3\]"),
        ({"kind": "pxd"}, "holds pxd, .* jets; give files of one kind"),
        ({"features": ["phi_rel", "eta_rel", "pt_rel", "mask"]}, "reorder the last axis"),
        ({"units": ["MeV", "", "GeV", ""]}, "has jet pt in MeV, .* in GeV; convert one of them"),
        ({"few": 8}, "no metric could be taken: 8 jets are too few to compare.*; the fake sample has 8 rows"),
        ({"nan": True}, "all 300 generated samples have NaN"),
    ],
)
def test_what_cannot_be_compared(change: dict[str, Any], message: str, jet_file: JetFile, tmp_path: Path) -> None:
    real, fake = jet_file(), jet_file(300, change.get("particles", 30), name="fake.h5")
    with h5py.File(fake, "r+") as file:
        if "kind" in change:
            file.attrs["kind"] = change["kind"]
        if "features" in change:
            file["particle_features"].attrs["features"] = change["features"]
        if "units" in change:
            file["jet_features"].attrs["units"] = change["units"]
        if "nan" in change:
            file["particle_features"][:, 0, 0] = np.nan
        if "few" in change:
            for name in ("particle_features", "jet_features"):
                file[name].resize(change["few"], axis=0)
    with pytest.raises(PartiganError, match=message):
        partigan.evaluate(real, tmp_path / "report", fake=fake, metrics=["w1m", "ks"])
    assert not (tmp_path / "report").exists()


def rows_file(path: Path, size: int, seed: int, names: dict[str, str], nan: int = 0, flat: bool = False) -> Path:
    x = torch.from_numpy(rows(size, seed)).float()
    x[:nan, 1] = torch.nan
    if flat:
        x[:, 0] = 0.1
    write_samples(path, "rows", [Batch(x)], {}, names)
    return path


@pytest.mark.drawn
def test_tables_of_other_features_nan_and_no_variance(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the command line: what differs is said in a line, failures are counted, constant features work."""
    figures = TableEvaluation.figures
    monkeypatch.setattr(TableEvaluation, "figures", lambda *_: {})
    names = {"mass": "GeV", "eta.rel": "", "pt": "GeV"}
    real = rows_file(tmp_path / "real.h5", 1500, 1, names)

    def run(fake: Path, truth: Path = real) -> str:
        options = ["--kind", "tables", "--real", str(truth), "--fake", str(fake), "--out", str(tmp_path / "report")]
        metrics = ["w1", "ks", "moments", "correlations", "ndb", "precision-recall"]
        with pytest.raises(SystemExit) if truth == real and fake.stem in ("other", "units") else nullcontext():
            main(["evaluate", *options, "--overwrite", "--metrics", *metrics])
        return "".join(capsys.readouterr())

    other = rows_file(tmp_path / "other.h5", 1500, 2, dict.fromkeys(("mass", "pt", "eta.rel"), ""))
    assert "has the features mass, pt, eta.rel and" in run(other)
    units = rows_file(tmp_path / "units.h5", 1500, 2, {**names, "pt": "MeV"})
    assert "has pt in MeV" in run(units)
    failing = run(rows_file(tmp_path / "failing.h5", 1500, 2, names, nan=5))
    assert "The generator failed 5 times" in " ".join(failing.split())
    found = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert {"w1", "w1.mass", "ks.eta.rel", "moments.eta.rel.mean", "correlations"} <= found.keys()
    monkeypatch.setattr(TableEvaluation, "figures", figures)
    flat = [rows_file(tmp_path / f"flat{seed}.h5", 1500, seed, names, flat=True) for seed in (3, 4)]
    assert "ndb" in run(flat[1], flat[0])  # 225 test rows
    found = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert all(np.isfinite([v for v in entry.values() if v is not None]).all() for entry in found.values())
    assert found["w1.mass"]["value"] == 0
    assert found["ks.mass"]["p_value"] == 1


def weighted_rows(size: int, seed: int, width: float = 1.0) -> Batch:
    """Rows of two features; the weights make the first one of width 1, whatever it is."""
    x = np.random.default_rng(seed).normal(size=(size, 2)) * [width, 1]
    weight = np.exp(-0.5 * x[:, 0] ** 2 * (1 - 1 / width**2))
    return Batch(torch.from_numpy(x).float(), weight=torch.from_numpy(weight).float() if width != 1 else None)


def test_event_weights_decide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A generator that makes the weighted distribution agrees, one that makes the rows without weights differs."""
    wide, plain = weighted_rows(9000, 1, 2.3), weighted_rows(9000, 2)
    ignores = weighted_rows(9000, 3, 2.3)
    metrics = ["protocol", "ks", "chi2", "moments", "separation", "w1", "classifier", "ndb", "events"]

    def verdicts(real: Batch, fake: Batch, name: str) -> dict[str, str]:
        found = partigan.evaluate(real, tmp_path / name, fake, kind="tables", split="train", metrics=metrics)
        assert not found.skipped
        return found.verdicts

    monkeypatch.setattr(TableEvaluation, "figures", lambda *_: {})
    assert set(verdicts(wide, plain, "perfect").values()) == {"agrees"}
    differs = verdicts(wide, Batch(ignores.x), "ignores")
    for name in (
        "w1",
        "swd",
        "frechet",
        "ks.0",
        "chi2.0",
        "moments.0.std",
        "separation.0",
        "w1.0",
        "classifier",
        "ndb",
    ):
        assert differs[name] == "differs", name
    assert differs["events.0"] in ("near", "differs")
    kept = json.loads((tmp_path / "perfect" / "histograms.json").read_text())["0"]
    total = sum(kept["real"]) + sum(kept["outside"][:2])
    assert total == pytest.approx(float(wide.weight[:6300].sum()), rel=1e-6)  # type: ignore[index]


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([1.0] * 999 + [float("nan")], "weights row 999: NaN or infinite values"),
        ([0.0] * 1000, "the weights of the real sample are all 0"),
        ([-1.0] * 1000, "the weights of the real sample have the sum"),
    ],
)
def test_weights_that_cannot_be(weight: list[float], message: str, tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(size=(1000, 2))
    with pytest.raises(PartiganError, match=message):
        partigan.evaluate({"x": x, "weight": weight}, tmp_path / "report", x, kind="tables", metrics=["ks"])


def test_validations_look_at_weights() -> None:
    """The checkpoint of the weighted distribution is preferred to that of the rows without weights."""
    real, perfect, ignores = weighted_rows(3000, 1, 2.3), weighted_rows(3000, 2), weighted_rows(3000, 3, 2.3)
    evaluation = TableEvaluation()
    good, bad = (evaluation.validate(real, Batch(fake.x)) for fake in (perfect, ignores))
    assert all(good[name] < 0.3 * bad[name] for name in evaluation.selection)


def printed(capsys: pytest.CaptureFixture[str], *options: object) -> list[str]:
    """Lines that `partigan evaluate` prints on standard output, at 80 columns."""
    capsys.readouterr()
    main(["evaluate", *map(str, options)])
    return capsys.readouterr().out.splitlines()


def test_the_terminal_shows_the_most_telling_rows(
    jet_file: JetFile, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(JetEvaluation, "figures", lambda *_: {})
    real, fake, out = jet_file(2000), jet_file(1000, seed=5, name="fake.h5"), tmp_path / "report"
    with h5py.File(fake, "r+") as file:
        file["particle_features"][..., :2] *= 1.3
    metrics = [
        "w1m",
        "w1efp",
        "classifier",
        "memorisation",
        "precision-recall",
        "density-coverage",
        "prd",
        "ks",
        "moments",
    ]
    lines = printed(capsys, "--real", real, "--fake", fake, "--out", out, "--metrics", *metrics)
    assert max(map(len, lines[:-1])) <= 80
    assert lines[0].startswith("✗ differs: ")
    assert lines[1].split() == ["metric", "generated", "in-sample", "verdict"]
    rows = [line for line in lines[2:] if line.endswith(("differs", "near", "agrees", "judged"))]
    assert len(rows) == 15
    assert next(row.split("  ")[0] for row in rows if "mean +0." in row and " std)" in row) == "log10 EFP 1"
    assert lines[-2:] == ["4 observables more in the report", f"report: {out / 'report.html'}"]
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "largest difference" in page
    assert json.loads((out / "verdict.json").read_text())["observables"]["mass"].startswith("mean +0.0")


def test_ten_jets_are_too_few_to_judge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    real, fake = (SHARED / "cases" / name for name in ("ten.h5", "fake_ten.h5"))
    if not real.exists():
        pytest.skip(f"{real} is not here")
    lines = printed(capsys, "--real", real, "--fake", fake, "--out", tmp_path / "report")
    assert lines[0].startswith("– too few to judge: 2 samples; at least 100")
    assert json.loads((tmp_path / "report" / "verdict.json").read_text())["verdict"] == "few"
    assert not any("figure" in line for line in lines)


def test_a_figure_that_fails_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers are there before anything is drawn, and the reason is said."""
    real, fake = (rows_file(tmp_path / f"{seed}.h5", 900, seed, dict.fromkeys("abc", "")) for seed in (1, 2))
    seen = []

    def fails(*_: object) -> dict[str, Any]:
        seen.append(sorted(path.name for path in (tmp_path / "report").glob("[!.]*")))
        raise IndexError("[/b] of bounds")

    monkeypatch.setattr(TableEvaluation, "figures", fails)
    options = ["--kind", "tables", "--out", tmp_path / "report", "--metrics", "ks"]
    lines = printed(capsys, "--real", real, "--fake", fake, *options)
    assert seen == [["histograms.json", "metrics.json", "verdict.json"]]
    assert "left out: figure 'Distributions': IndexError: [/b] of bounds" in lines
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "IndexError: [/b] of bounds" in page
    assert "Generated samples" in page


@pytest.mark.drawn
def test_names_of_all_sorts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Markup, formulas, control characters and other letters, in tables, figures and pages."""
    names = dict.fromkeys(("[/b]", "cost $x_{", "<i>pt\x1b[31m"), "")
    real, fake = (rows_file(tmp_path / f"{seed}.h5", 900, seed, names, flat=seed == 2) for seed in (1, 2))
    options = ["--kind", "tables", "--out", tmp_path / "report", "--metrics", "ks", "moments"]
    lines = printed(capsys, "--real", real, "--fake", fake, *options)
    assert any(line.startswith("[/b]") and "differs" in line for line in lines)
    assert not any("figure" in line or "\x1b[31m" in line for line in lines)
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "\x1b" not in page
    assert "<i>" not in page
    assert page.count("<img") == len(list((tmp_path / "report").glob("*.png")))


@pytest.mark.parametrize(
    ("digest", "asked", "split", "reason"),
    [
        (None, None, "test", "may have been trained"),
        ("own", None, "test", "trained on this file"),
        ("other", None, "all", "trained on another file"),
        ("other and own", None, "test", "trained on this file"),
        ("other", "valid", "valid", "as asked for"),
    ],
)
def test_which_samples_are_compared_with(
    digest: str | None, asked: str | None, split: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TableEvaluation, "figures", lambda *_: {})
    real = rows_file(tmp_path / "real.h5", 900, 1, dict.fromkeys("abc", ""))
    fake = rows_file(tmp_path / "fake.h5", 900, 2, dict.fromkeys("abc", ""))
    if digest is not None:
        with h5py.File(fake, "r+") as file:
            found = {"own": sha256(real), "other": "0" * 64}
            file.attrs["training_data_sha256"] = " ".join(found[name] for name in digest.split(" and "))
    found = partigan.evaluate(real, tmp_path / "report", fake, split=asked, kind="tables", metrics=["swd", "ks"])
    assert found.split == split
    assert reason in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert found.verdicts["swd"] == "agrees"  # there are in-sample values whatever the split
    with pytest.raises(PartiganError, match="no split 'tests'"):
        partigan.evaluate(real, tmp_path / "other", fake, split="tests", kind="tables")


SHORT: dict[str, Any] = {"trainer.max_steps": 6, "trainer.validations": 2, "trainer.accelerator": "cpu"}


def test_a_toy_from_simulation_to_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("partigan.evaluation.suite.held_out_critic", partial(held_out_critic, steps=20))
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


@pytest.mark.drawn
def test_digits_from_simulation_to_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With networks that are not part of partigan."""
    data, run = simulate_digits(tmp_path / "digits.h5"), tmp_path / "run"
    config = {
        "base": "toys-lsgan",
        "kind": "images",
        "transform": "data.transforms.images.Rescale",
        "system": {"generator": "helpers.FlatGenerator", "critic": "helpers.FlatCritic"},
    }
    options = {**SHORT, "trainer.snapshots": 7, "trainer.batch_size": 64}
    partigan.train(config, data, run, threads=1, overrides=options, trust=True)
    sample = partigan.load(run, trust=True).sample(50, 1)
    assert sample.x.shape == (50, 1, 8, 8)
    assert sample.condition is not None
    assert {*sample.condition.tolist()} <= {*range(10)}
    assert [len(find("images").format.read(path, "all")) for path in (run / "samples").iterdir()] == [7, 7]
    fake = partigan.generate(run, 500, tmp_path / "fake.h5", trust=True)
    monkeypatch.setattr("partigan.evaluation.suite.held_out_critic", partial(held_out_critic, steps=20))
    found = partigan.evaluate(data, tmp_path / "report", fake, kind="images", protocol="images").metrics
    protocol = ("frechet", "swd", "intensity", "occupancy")
    assert {*protocol, "w1.mean", "ks.row", "classifier"} <= found.keys()
    assert (tmp_path / "report" / "mean-intensity-of-each-class.png").exists()
    for name in protocol:  # six steps make no digits
        entry = found[name]
        assert entry["value"] - entry["in_sample"] > 5 * entry["in_sample_error"], name


@pytest.mark.drawn
def test_crops_are_compared_with_crops_of_whole_maps(tmp_path: Path) -> None:
    """Real crops come from a file of whole maps; generated ones must be crops."""
    write_hitmaps(tmp_path / "real.h5", [toy_hits(8, busy=tuple(range(8)))], {"kind": "pxd"})
    kind = find("pxd-crop")
    crops_of_all = kind.format.read(tmp_path / "real.h5", "all")
    kind.format.write(tmp_path / "fake.h5", [crops_of_all], {"kind": "pxd-crop"}, {})
    options: dict[str, Any] = {"kind": "pxd-crop", "protocol": "pe-gan", "metrics": ["w1"]}
    found = partigan.evaluate(tmp_path / "real.h5", tmp_path / "report", fake=tmp_path / "fake.h5", **options)
    assert "w1.occupancy" in found.metrics
    write_hitmaps(tmp_path / "whole.h5", [toy_hits(1, busy=(0,))], {"kind": "pxd"})
    with pytest.raises(PartiganError, match="holds pxd, not pxd-crop"):
        partigan.evaluate(tmp_path / "real.h5", tmp_path / "other", fake=tmp_path / "whole.h5", **options)
