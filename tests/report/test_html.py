"""Pages opened in a real browser, where there is one."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from matplotlib.figure import Figure

from partigan.report.html import page, pictures, slug, table
from partigan.report.style import png

HEADER = ("metric", "generated", "verdict")
ROWS = [("a metric with a name that is far too long for the width of a phone", "1.234 ± 0.005", "✓ agrees")] * 3


@pytest.fixture(scope="module")
def browser() -> ModuleType:
    """The committed check."""
    path = Path(__file__).parents[2] / "benchmarks/report_browser.py"
    spec = importlib.util.spec_from_file_location("report_browser", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if module.chromium() is None:
        pytest.skip("there is no Chromium here; Debian has it: apt-get install chromium")
    return module


def test_a_page_is_fit_to_be_shown_and_a_bad_one_is_not(
    browser: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # the browser is another process, which is served from this machine
    figure = Figure()
    figure.subplots().plot([1, 2])
    good, bad = tmp_path / "good.html", tmp_path / "bad.html"
    good.write_text(page("report", [table(HEADER, ROWS), pictures({"a figure": png(figure)})]), encoding="utf-8")
    bad.write_text(
        page("report", ["<img src='data:image/png;base64,AAAA'><img src='https://example.org/a.png'>"])
        + "<script>missing()</script><div style='width: 2000px'>wide</div>"
    )
    for name, entry in browser.inspect(good, tmp_path / "shots").items():
        assert browser.wrong(entry) == [], name
    for entry in browser.inspect(bad, tmp_path / "shots").values():
        found = " ".join(browser.wrong(entry))
        for part in ("2 pictures are missing", "wider than the window", "1 scripts", "https://example.org/a.png"):
            assert part in found
    assert (tmp_path / "shots" / "good.pdf").stat().st_size > 1000


def test_text_is_text() -> None:
    built = page("<b>$a$\x1b", [table(("m<", "verdict"), [("'&", "✓ agrees")], {"✓ agrees": "agrees"})])
    for part in ("<h1>&lt;b&gt;$a$\\x1b</h1>", "data-label='m&lt;'", "&#x27;&amp;", "class='sign short agrees'"):
        assert part in built


def test_names_of_files() -> None:
    assert slug("W1 of the charge, [/b]") == "w1-of-the-charge----b"
    assert slug("漢字") == "figure"
    assert len(slug("x" * 500)) == 100
