"""Event weights as their expectation, given features and conditions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from partigan.cli import main
from partigan.commands.weights import smooth_weights
from partigan.data.batch import Batch
from partigan.data.samples import file_attributes, write_samples
from partigan.errors import PartiganError
from partigan.kinds import kind_of


def planted(rows: int = 4000) -> tuple[Batch, torch.Tensor]:
    """Signal at 2 with weights about 1, background at -2 with weights of both signs about 0; and what is signal."""
    rng = np.random.default_rng(0)
    signal = rng.random(rows) < 0.5
    x = np.where(signal, 2, -2)[:, None] + rng.normal(0, 0.5, (rows, 2))
    weight = signal + np.where(signal, 0.3, 1.0) * rng.choice([-1, 1], rows)
    parts = {"x": x, "condition": rng.normal(size=(rows, 1)), "weight": weight, "truth": signal[:, None]}
    return Batch(**{name: torch.from_numpy(part.astype(np.float32)) for name, part in parts.items()}), torch.tensor(
        signal
    )


def written(path: Path, sample: Batch) -> Path:
    columns = {"conditions": {"P": "MeV"}} | ({} if sample.truth is None else {"truth": {"signal": ""}})
    attributes = {"kind": "tables", "split_train": [0, 3000], "split_test": [3000, 4000]}
    write_samples(path, "rows", [sample], attributes, {"a": "", "b": "cm"}, columns)
    return path


def test_weights_keep_their_means_and_lose_their_noise(tmp_path: Path) -> None:
    sample, signal = planted()
    given = written(tmp_path / "a.h5", sample)
    main(["smooth-weights", str(given), "--out", str(tmp_path / "b.h5"), "--trees", "60"])
    layout = kind_of(tmp_path / "b.h5").format
    found = layout.read(tmp_path / "b.h5", "all")
    assert found.weight is not None
    assert sample.weight is not None
    for part in ("x", "condition", "truth"):
        assert torch.equal(getattr(found, part), getattr(sample, part))
    assert layout.describe(tmp_path / "b.h5") == layout.describe(given)
    assert file_attributes(tmp_path / "b.h5")["smoothed_weights"] == "training split, 60 trees, seed 1"
    assert len(layout.read(tmp_path / "b.h5", "train")) == 3000
    assert torch.equal(found.weight[3000:], sample.weight[3000:])  # what is evaluated with stays
    for rows, noise in ((signal[:3000], 0.3), (~signal[:3000], 1.0)):
        before, after = sample.weight[:3000][rows], found.weight[:3000][rows]
        assert after.mean().item() == pytest.approx(before.mean().item(), abs=0.02)
        assert before.std().item() == pytest.approx(noise, abs=0.02)
        assert after.std().item() < 0.35 * noise


def test_weights_without_noise_stay(tmp_path: Path) -> None:
    sample, _ = planted()
    given = written(tmp_path / "a.h5", replace(sample, weight=torch.full((4000,), 0.7), truth=None))
    out = smooth_weights(given, tmp_path / "b.h5", trees=5)
    weight = kind_of(out).format.read(out, "all").weight
    assert weight is not None
    torch.testing.assert_close(weight, torch.full((4000,), 0.7))


def test_what_cannot_be_smoothed_is_said(tmp_path: Path) -> None:
    sample, _ = planted()
    plain = written(tmp_path / "plain.h5", replace(sample, weight=None))
    with pytest.raises(PartiganError, match=r"plain.h5 has no weights to smooth"):
        smooth_weights(plain, tmp_path / "b.h5")
    zero = written(tmp_path / "zero.h5", replace(sample, weight=torch.zeros(4000)))
    with pytest.raises(PartiganError, match=r"the weights of the training split of .*zero.h5 are all 0"):
        smooth_weights(zero, tmp_path / "b.h5")
    with pytest.raises(PartiganError, match="trees = 0"):
        smooth_weights(plain, tmp_path / "b.h5", trees=0)
    write_samples(tmp_path / "images.h5", "images", [Batch(torch.zeros(5, 1, 4, 4))], {"kind": "images"})
    with pytest.raises(PartiganError, match=r"images.h5 holds no table"):
        smooth_weights(tmp_path / "images.h5", tmp_path / "b.h5")
    assert not (tmp_path / "b.h5").exists()
