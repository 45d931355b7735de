"""Figures look the same whatever a user's settings are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

from partigan.report.distributions import compare
from partigan.report.style import plain, png

SCRIPT = """
import sys, pathlib
import numpy as np
from partigan.report.distributions import compare
from partigan.report.style import plain, png
x = np.linspace(0, 1, 500)
pathlib.Path(sys.argv[1]).write_bytes(png(compare((x, x**1.1), plain("cost $x_{"))))
"""


def drawn() -> bytes:
    x = np.linspace(0, 1, 500)
    return png(compare((x, x**1.1), plain("cost $x_{")))


def test_settings_of_the_user_change_nothing() -> None:
    before = drawn()
    with mpl.rc_context({"text.usetex": True, "figure.facecolor": "black", "font.size": 30}):
        assert drawn() == before
        assert mpl.rcParams["font.size"] == 30


@pytest.mark.parametrize("backend", ["module://nowhere", "QtAgg"])
def test_backend_and_matplotlibrc_change_nothing(backend: str, tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nfigure.facecolor: black\n", encoding="utf-8")
    environment = {**os.environ, "MPLBACKEND": backend, "MATPLOTLIBRC": str(tmp_path / "matplotlibrc")}
    subprocess.run([sys.executable, "-c", SCRIPT, tmp_path / "a.png"], env=environment, check=True)
    assert (tmp_path / "a.png").read_bytes() == drawn()
