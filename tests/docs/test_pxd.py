"""The examples of docs/pxd.md run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from helpers import toy_hits
from partigan.data.hitmap_files import read_hitmaps, write_hitmaps

TEXT = (Path(__file__).parents[2] / "docs" / "pxd.md").read_text(encoding="utf-8")
(SECTION,) = re.findall(r"## Background on demand\n(.*?)\n## ", TEXT, re.DOTALL)


def test_background_on_demand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    signal = toy_hits(1, 100, busy=(0,))
    write_hitmaps("signal.root", [signal], {})
    code = "\n".join(re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL))
    names: dict[str, object] = {}
    exec(code.replace("range(10)", "range(1)"), names)  # an event takes a while
    overlaid, background = (read_hitmaps(f"{name}.root", digits=True) for name in ("overlaid", "background"))
    assert overlaid.charge.sum() == background.charge.sum() + signal.charge.sum()
    assert names["maps"].shape == (40, 250, 768)  # type: ignore[attr-defined]
    assert names["some"].shape == (2, 2, 250, 768)  # type: ignore[attr-defined]
