"""Fixtures that several tests use; nothing here needs Pythia, the network or a screen."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import torch

from partigan.data.jets import Floats, write_jets

torch.set_num_threads(1)

JetFile = Callable[..., Path]


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in partigan talks to another host."""

    def refuse(*_: object) -> None:
        raise AssertionError("a test tried to open a network connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def toy_jets(size: int, particles: int = 30, seed: int = 0) -> tuple[Floats, Floats]:
    """Jets of two prongs with soft radiation, in the JetNet layout: enough structure to train on."""
    rng = np.random.default_rng(seed)
    number = rng.integers(max(particles // 3, 1), particles + 1, size)
    mask = np.arange(particles) < number[:, None]
    opening = rng.normal(0.3, 0.05, (size, 1))
    prong = np.where(rng.random((size, particles)) < 0.6, -0.4, 0.6) * opening
    angle = rng.uniform(0, 2 * np.pi, (size, 1))
    spread = rng.normal(0, 0.05, (2, size, particles))
    pt = rng.dirichlet(np.full(particles, 0.5), size) * mask + 1e-4
    x = np.stack([prong * np.cos(angle) + spread[0], prong * np.sin(angle) + spread[1], pt], -1) * mask[..., None]
    x[..., 2] /= x[..., 2].sum(1, keepdims=True) * rng.uniform(1.0, 1.1, (size, 1))
    order = np.argsort(-x[..., 2], axis=1)
    clouds = np.concatenate([np.take_along_axis(x, order[..., None], 1), mask[..., None]], -1).astype(np.float32)
    jets = np.stack([rng.uniform(900, 1100, size), rng.normal(0, 1, size), np.full(size, 150.0), number], -1)
    return clouds, jets.astype(np.float32)


@pytest.fixture
def jet_file(tmp_path: Path) -> JetFile:
    """Makes a file of toy jets."""

    def make(size: int = 600, particles: int = 30, seed: int = 0, name: str = "jets.h5") -> Path:
        path = tmp_path / name
        write_jets(path, [toy_jets(size, particles, seed)], {"flavour": "toy"})
        return path

    return make
