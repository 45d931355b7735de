from __future__ import annotations

from pathlib import Path

import pytest
import torch

from partigan.errors import PartiganError
from partigan.models.checkpoint import Checkpoints, load_tensors, save_tensors

TENSORS = {"weight": torch.arange(6.0).reshape(2, 3), "half": torch.ones(3).bfloat16(), "step": torch.tensor(3)}


def flip(path: Path, place: int) -> None:
    """Flip one bit of a file."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_tensors_and_state_are_what_they_were(tmp_path: Path) -> None:
    save_tensors(tmp_path / "a.safetensors", TENSORS, {"step": 3})
    tensors, state = load_tensors(tmp_path / "a.safetensors")
    assert state == {"step": 3}
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    for number in range(20):
        save_tensors(tmp_path / f"{number}", TENSORS, {"step": 3, "w1m": 0.5, "auc": None})
    assert len({(tmp_path / f"{number}").read_bytes() for number in range(20)}) == 1


def test_a_flipped_bit_anywhere_is_refused_or_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_tensors(path, TENSORS, {"step": 3})
    size, refused = path.stat().st_size, 0
    for place in range(size):
        flip(path, place)
        try:
            tensors, state = load_tensors(path)
        except PartiganError as error:
            refused += 1
            assert str(path) in str(error)  # noqa: PT017
        else:
            assert state == {"step": 3}
            assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)
        flip(path, place)
    assert refused > 0.9 * size


def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.newest() is None
    for step in (10, 20):
        checkpoints.save(step, TENSORS, {})
    newest = tmp_path / "000000020.safetensors"
    flip(newest, newest.stat().st_size - 3)
    found = checkpoints.newest()
    assert found is not None
    assert found[1]["step"] == 10
    said = " ".join(capsys.readouterr().err.split())
    assert "000000020.safetensors is damaged" in said
    assert "going on from 000000010.safetensors" in said
    (tmp_path / "000000010.safetensors").write_bytes(b"")
    with pytest.raises(PartiganError, match=r"no checkpoint is whole: .*20\.saf.*10\.saf.*--overwrite"):
        checkpoints.newest()
