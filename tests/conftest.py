"""Fixtures that several tests use; nothing here needs Pythia, the network or a screen."""

from __future__ import annotations

import base64
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from helpers import SHARED, JetFile, toy_jets
from partigan.data.batch import Batch
from partigan.data.hitmaps import Hitmaps
from partigan.data.jets import write_jets
from partigan.data.samples import write_samples
from partigan.evaluation.figures import Pictures
from partigan.simulate.pxd import simulate_event
from partigan.simulate.pxd_parameters import Parameters, Rates
from partigan.simulate.toys import TOYS

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in partigan talks to another host."""

    def refuse(*_: object) -> None:
        raise AssertionError("a test tried to open a network connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def jet_file(tmp_path: Path) -> JetFile:
    """Makes a file of toy jets."""

    def make(size: int = 600, particles: int = 30, seed: int = 0, name: str = "jets.h5") -> Path:
        path = tmp_path / name
        write_jets(path, [toy_jets(size, particles, seed)], {"flavour": "toy"})
        return path

    return make


@pytest.fixture(scope="session")
def events() -> Hitmaps:
    """Three simulated events of the PXD."""
    made = [simulate_event(2.0, Parameters(), Rates.calibrated(), np.random.default_rng(seed)) for seed in range(3)]
    return Hitmaps.joined(made)


@pytest.fixture(scope="session")
def oracle() -> dict[str, np.ndarray]:
    """Values of the reference implementations of the metrics."""
    path = SHARED / "reference/metrics_oracle.npz"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    return dict(np.load(path))


@pytest.fixture
def two_tables(tmp_path: Path) -> dict[str, str]:
    """A ring, and the same ring elsewhere and wider: simulation and data, not paired."""
    files = {}
    for name, (factor, shift, seed) in {"simulation": (1.0, 0.0, 1), "data": (1.3, 0.7, 2)}.items():
        rows = factor * TOYS["ring"].draw(3000, np.random.default_rng(seed)) + shift
        sample = Batch(torch.from_numpy(rows.astype(np.float32)))
        files[name] = str(tmp_path / f"{name}.h5")
        write_samples(files[name], "rows", [sample], {"kind": "tables"}, {"x": "", "y": ""})
    return files


OUTLINE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)  # a PNG of one pixel


@pytest.fixture(autouse=True)
def _rendered(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports make all figures but pages of samples, and render none; in tests marked ``drawn`` they do."""
    if request.node.get_closest_marker("drawn") is None:
        monkeypatch.setattr("partigan.evaluation.figures.png", lambda figure: OUTLINE)
        for place in ("evaluation.figures", "report.samples"):
            monkeypatch.setattr(f"partigan.{place}.mosaic", lambda *_, **__: Figure())


@pytest.fixture
def draw_only(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets reports draw the figures of these captions and no other."""

    def only(*captions: str) -> None:
        real = Pictures.draw

        def draw(self: Pictures, section: str, caption: str, make: Callable[[], Any]) -> None:
            if caption in captions:
                real(self, section, caption, make)

        monkeypatch.setattr(Pictures, "draw", draw)

    return only
