"""The evaluation suite, its verdicts, the report and comparisons of reports."""

from __future__ import annotations

import json
from contextlib import nullcontext
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

import partigan
from helpers import JetFile
from metric_cases import Floats, rows, wide
from partigan.cli import main
from partigan.data.batch import Batch
from partigan.data.samples import write_samples
from partigan.data.transforms import Standardise
from partigan.errors import PartiganError
from partigan.evaluation import _rebuilder
from partigan.kinds.jets import Jets
from partigan.kinds.tables import Tables
from partigan.metrics.finding import Finding
from partigan.nets.tables import TableGenerator
from partigan.report.verdict import Judged
from partigan.sampling import Sampler
from partigan.suite import OF_CLASSIFIER, SUITE, Entry, Samples, chosen, run_suite

QUICK_SUITE = SUITE.keys() - {"critic", "network", "reconstruction", *OF_CLASSIFIER}
NAMES = {name: (name, "GeV") for name in "abc"}


def judged(fake: Floats, size: int = 1200) -> Judged:
    """All metrics of rows against real ones, but for those that train networks."""
    samples = Samples(NAMES, rows(size, 1), fake, rows(size, 2))
    found = run_suite(QUICK_SUITE, samples, Samples(NAMES, samples.real, rows(len(fake), 3)), seed=1)
    return Judged(found.entries, found.skipped, 0, {}, {name: name for name in NAMES})


def test_a_perfect_sample_agrees_and_a_wide_one_differs() -> None:
    perfect, defect = judged(rows(1200, 4)), judged(wide(1200, 4))
    assert set(perfect.entries) == set(defect.entries)
    assert {name.split(".")[0] for name in perfect.entries} == QUICK_SUITE
    assert set(perfect.verdicts.values()) == {"agrees"}
    off = {name for name, verdict in defect.verdicts.items() if verdict != "agrees"}
    assert {"classifier", "ks.c", "chi2.a", "w1.a", "moments.a.std", "ndb"} <= off
    for name in ("memorisation.share", "birthday", "moments.a.mean"):
        assert defect.verdicts[name] == "agrees"
    assert perfect.worst == "agrees"
    assert defect.worst == "differs"
    assert "(GeV)" in defect.heading("w1.b")
    for entry in defect.entries.values():
        assert np.isfinite([number for number in entry.numbers().values() if number is not None]).all()


def test_small_samples_leave_metrics_out_with_the_reason() -> None:
    found = judged(rows(60, 4), 60)
    assert found.skipped["ndb"] == "the real sample has 60 rows; at least 1000 are needed"
    assert "ks.a" in found.entries
    assert run_suite(["ks"], Samples({}, rows(60, 1), rows(60, 2)), None, 1).skipped["ks"].startswith("this kind")
    alone = run_suite(["memorisation"], Samples(NAMES, rows(60, 1), rows(60, 2)), None, 1)
    assert "use --split test" in alone.skipped["memorisation"]


@pytest.mark.parametrize(
    ("finding", "reference", "verdict"),
    [
        (Finding("", 1.0, 0.1), (1.1, 0.1), "agrees"),
        (Finding("", 1.0, 0.1), (1.6, 0.1), "near"),
        (Finding("", 1.0, 0.01), (2.0, 0.01), "differs"),
        (Finding("", 1.0, 0.001), (1.05, 0.001), "near"),  # sure, but small
        (Finding("", 1.0, 0.001, ratio=False), (1.05, 0.001), "differs"),
        (Finding("", 1.0, None, 1e-9), None, "differs"),
        (Finding("", 1.0, 0.1), None, ""),
    ],
)
def test_verdicts(finding: Finding, reference: tuple[float, float] | None, verdict: str) -> None:
    entry = Entry(finding, reference)
    assert entry.verdict(entry.p_value, entry.p_value) == verdict


def test_which_metrics() -> None:
    protocol = ["w1m", "fpd"]
    assert chosen(["all"], protocol) == [*protocol, *SUITE]
    assert chosen(["ks", "protocol", "w1m"], protocol) == ["w1m", "fpd", "ks"]
    with pytest.raises(PartiganError, match="no metric 'kss'; there are all, protocol, w1m, fpd, classifier"):
        chosen(["kss"], protocol)


class Page(HTMLParser):
    """What a page asks a browser to fetch or run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attributes:
            if name.startswith("on") or (name in ("src", "href", "srcset", "data", "action", "poster")):
                self.fetched.append((value or "")[:30])


@pytest.fixture
def reports(jet_file: JetFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two reports of the same real file; the second generator fails three times."""
    monkeypatch.setattr(Jets, "figures", lambda *_: {})
    real, other, broken = jet_file(1600), jet_file(400, seed=5, name="a.h5"), jet_file(400, seed=6, name="<b>.h5")
    with h5py.File(broken, "r+") as file:
        file["particle_features"][[3, 7], 0, :2] = np.nan
        file["particle_features"][9, 1, 2] = 1e30  # its observables are infinite
    for fake, out in ((other, "one"), (broken, "two")):
        main(["evaluate", "--real", str(real), "--fake", str(fake), "--out", str(tmp_path / out), "--metrics", *QUICK])
    return tmp_path / "one", tmp_path / "two"


QUICK = ("w1m", "w1", "classifier", "memorisation", "ndb")


def test_reports_and_their_comparison(
    reports: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verdicts = [json.loads((report / "verdict.json").read_text()) for report in reports]
    assert [found["failures"] for found in verdicts] == [0, 3]
    assert verdicts[1]["verdict"] == "differs"
    assert "ndb" in verdicts[0]["skipped"]
    text = (reports[1] / "report.html").read_text()
    page = Page(text)
    assert not page.tags & {"script", "link", "iframe", "object", "embed", "form", "b>.h5"}
    assert page.fetched
    assert all(source.startswith("data:image/png;base64,") for source in page.fetched)
    assert "url(" not in text
    assert "@import" not in text
    for part in (
        "@media print",
        "width=device-width",
        "The generator failed 3 times",
        "&lt;b&gt;.h5",
        "--metrics w1m w1",
    ):
        assert part in text
    assert text.index("class='verdict") < text.index("<table")
    hidden = text[text.index("<h2>Key to") :]
    assert hidden.count(",") == 7  # eight of sixteen

    capsys.readouterr()
    main(["compare", *map(str, reports), "--out", str(tmp_path / "both")])
    assert "W1-M" in capsys.readouterr().out
    merged = json.loads((tmp_path / "both" / "comparison.json").read_text())
    assert list(merged) == ["one", "two"]
    for name in ("metrics", "relative-mass", "multiplicity"):
        assert (tmp_path / "both" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    kept = json.loads((reports[0] / "histograms.json").read_text())["multiplicity"]
    assert sum(kept["real"]) == 240
    assert np.diff(kept["edges"]) == pytest.approx(1)
    assert merged["one"] == json.loads((reports[0] / "metrics.json").read_text())
    assert not Page((tmp_path / "both" / "comparison.html").read_text()).tags & {"script", "link"}
    for wrong, message in (([reports[0]], "at least two"), ([reports[0], tmp_path], "is not a report")):
        with pytest.raises(PartiganError, match=message):
            partigan.compare(wrong, tmp_path / "c")


def test_protocols_of_ones_own(jet_file: JetFile, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    text = "title: mine\npaper: none\nkind: jets\nmetrics: [w1m]\nmean: plain\nbatches: 2\nsamples: 50\n"
    mine.write_text(text)
    assert Jets().protocol(str(mine))["samples"] == 50
    assert set(Jets().protocols) == {"mdma", "mpgan"}
    for change, message in (
        (("kind: jets", "kind: pxd"), "is a protocol for 'pxd', not for jets"),
        (("batches: 2", "batch: 2"), "check 'batch'"),
        (("[w1m]", "[w1n]"), "check 'w1n'"),
        (("title: mine", "{"), "cannot be read as YAML"),
    ):
        mine.write_text(text.replace(*change))
        with pytest.raises(PartiganError, match=message):
            Jets().protocol(str(mine))
    with pytest.raises(PartiganError, match="unknown protocol 'mdna'; for jets there are mdma, mpgan"):
        partigan.evaluate(jet_file(), tmp_path / "r", fake=tmp_path / "jets.h5", protocol="mdna")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"particles": 20}, r"shape \[20, 3\], .* of \[30, 3\]"),
        ({"kind": "pxd"}, "holds pxd, not jets; give --kind pxd"),
        ({"features": ["phi_rel", "eta_rel", "pt_rel", "mask"]}, "reorder the last axis"),
        ({"units": ["MeV", "", "GeV", ""]}, "has jet pt in MeV, .* in GeV; convert one of them"),
        ({"few": 8}, "no metric could be taken: the fake sample has 8 rows.*; 8 jets are too few to compare"),
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


def test_tables_of_other_features_nan_and_no_variance(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the command line: what differs is said in a line, failures are counted, constant features work."""
    figures = Tables.figures
    monkeypatch.setattr(Tables, "figures", lambda *_: {})
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
    monkeypatch.setattr(Tables, "figures", figures)
    flat = [rows_file(tmp_path / f"flat{seed}.h5", 1500, seed, names, flat=True) for seed in (3, 4)]
    assert "ndb" in run(flat[1], flat[0])  # 225 test rows
    found = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert all(np.isfinite([v for v in entry.values() if v is not None]).all() for entry in found.values())
    assert found["w1.mass"]["value"] == 0
    assert found["ks.mass"]["p_value"] == 1


def test_reconstruction_finds_what_the_generator_cannot_make() -> None:
    """Samples of the generator itself against samples off the surface on which it lies."""
    torch.manual_seed(1)
    generator, scale = TableGenerator(features=3, latent=2, width=16, depth=1).eval(), Standardise()
    with torch.no_grad():
        made = generator(torch.randn(80, 2))
    scale.fit(Batch(made))
    sampler = Sampler(generator, scale, Tables(), {})
    inside = scale.inverse(Batch(made))
    far = Batch(inside.x + 3 * scale.std * torch.tensor([1.0, -1.0, 1.0]))
    nothing = np.zeros((80, 0))
    found = run_suite(
        ["reconstruction"],
        Samples({}, nothing, nothing, rebuild=_rebuilder(sampler, far)),
        Samples({}, nothing, nothing, rebuild=_rebuilder(sampler, inside)),
        1,
    )
    entry = found.entries["reconstruction"]
    assert entry.reference[0] < 0.05
    assert entry.finding.value > 1
    assert (
        "give --run" in run_suite(["reconstruction"], Samples({}, nothing, nothing), None, 1).skipped["reconstruction"]
    )
    mask = torch.ones(80, 1, dtype=torch.bool)
    with pytest.raises(PartiganError, match="particles have no order"):
        _rebuilder(sampler, Batch(inside.x[:, None], mask))(np.random.default_rng(1))
