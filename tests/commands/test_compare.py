"""`compare`, and the pages of reports and comparisons."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import h5py
import numpy as np
import pytest

import partigan
from helpers import JetFile
from partigan.cli import main
from partigan.errors import PartiganError
from partigan.kinds.jets import JetEvaluation

QUICK = ("w1m", "w1", "classifier", "memorisation", "ndb")


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
    monkeypatch.setattr(JetEvaluation, "figures", lambda *_: {})
    real, other, broken = jet_file(1600), jet_file(400, seed=5, name="a.h5"), jet_file(400, seed=6, name="<b>.h5")
    with h5py.File(broken, "r+") as file:
        file["particle_features"][[3, 7], 0, :2] = np.nan
        file["particle_features"][9, 1, 2] = 1e30  # its observables are infinite
    for fake, out in ((other, "one"), (broken, "two")):
        main(["evaluate", "--real", str(real), "--fake", str(fake), "--out", str(tmp_path / out), "--metrics", *QUICK])
    return tmp_path / "one", tmp_path / "two"


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
