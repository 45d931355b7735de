from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from helpers import jet_batch, toy_hitmaps, toy_jets
from partigan.data.batch import Batch
from partigan.data.jets import write_jets
from partigan.errors import PartiganError
from partigan.evaluation import protocols
from partigan.kinds import find, kind_of
from partigan.kinds.images import IMAGES
from partigan.kinds.jets import JETS
from partigan.kinds.tables import TABLES

MODULE = """
from dataclasses import replace
from partigan.kinds.jets import JETS, JetEvaluation

class MyEvaluation(JetEvaluation):
    names = ("w1m",)

MINE = replace(JETS, evaluation=MyEvaluation())

def made():
    return MINE

NUMBER = 3
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module with a kind of the user's own."""
    (tmp_path / "own_kind_of_test.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "own_kind_of_test"
    sys.modules.pop("own_kind_of_test", None)


def test_a_kind_of_ones_own_needs_trust(module: str, tmp_path: Path) -> None:
    for name in (f"{module}.MINE", f"{module}.made"):
        with pytest.raises(PartiganError, match=rf"the kind of data {name} is not part of partigan.*--trust"):
            find(name)
        assert module not in sys.modules
        kind = find(name, trust=True)
        assert kind.name == name
        assert kind.evaluation.names == ("w1m",)
        sys.modules.pop(module)
    write_jets(tmp_path / "a.h5", [toy_jets(9)], {"kind": f"{module}.MINE"})
    with pytest.raises(PartiganError, match="--trust"):
        kind_of(tmp_path / "a.h5")
    assert kind_of(tmp_path / "a.h5", trust=True).name == f"{module}.MINE"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("jet", "unknown kind of data 'jet'; did you mean 'jets'"),
        ("voltages", "unknown kind of data 'voltages'; there are jets, cherenkov, tables"),
        ("missing_module.KIND", "cannot be imported: No module named 'missing_module'"),
        ("{module}.MISSING", "cannot be imported"),
        ("{module}.NUMBER", "cannot be imported|is a int, not a"),
        ("partigan.kinds.jets.COV_JETS", "cannot be imported|is a int, not a"),
    ],
)
def test_kinds_that_are_none(name: str, message: str, module: str) -> None:
    with pytest.raises(PartiganError, match=message):
        find(name.format(module=module), trust=True)


def test_kinds_are_read_off_files(tmp_path: Path) -> None:
    write_jets(tmp_path / "a.h5", [toy_jets(9)], {})
    assert kind_of(tmp_path / "a.h5") is JETS
    toy_hitmaps(tmp_path / "p.h5")
    with h5py.File(tmp_path / "p.h5", "r+") as file:
        file.attrs["kind"] = "pxd-crop"
    assert kind_of(tmp_path / "p.h5").name == "pxd-crop"
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["showers"] = [1.0]
    for path, message in (("other.h5", "layout of no kind"), ("missing.h5", "does not exist")):
        with pytest.raises(PartiganError, match=message):
            kind_of(tmp_path / path)


def test_values_that_say_what_the_data_are_not() -> None:
    jets = jet_batch(200)
    pt = jets.x[..., 2:] * jets.mask[..., None]
    axis = (jets.x * pt).sum(1, keepdim=True) / pt.sum(1, keepdim=True)
    moved = jets.x + torch.tensor([0.9, 0.0, 0.0])
    for x, doubts in (
        (jets.x, []),
        (jets.x * torch.tensor([1, 1, 0.3]), ["pt_rel sums to 0.2"]),
        (moved, ["eta_rel is 0."]),
        (moved * torch.tensor([1, 1, 3.0]), ["pt_rel sums to 2", "eta_rel is 0."]),
        (jets.x * torch.tensor([57, 57, 1.0]), ["eta_rel is ", "phi_rel is "]),
        (
            (jets.x - axis * torch.tensor([1, 1, 0.0])) * torch.tensor([57, 57, 1.0]),
            ["of the pt is more than 1.5 away"],
        ),
    ):
        sample = replace(jets, x=x * jets.mask[..., None])
        found = JETS.format.doubts(sample)
        assert len(found) == len(doubts), found
        assert all(doubt in text for doubt, text in zip(doubts, found, strict=True)), found
    images = torch.rand(5, 1, 4, 4)
    assert IMAGES.format.doubts(Batch(255 * images)) == []
    assert "normalised already?" in IMAGES.format.doubts(Batch(2 * images - 1))[0]
    assert IMAGES.format.doubts(Batch(images * 4000)) == []  # charges
    assert IMAGES.format.doubts(Batch(images * 4000 - 5)) == []  # with noise around 0


def test_angles_of_generated_jets_are_periodic_for_all_observables() -> None:
    jets = jet_batch(60)
    turned = jets.x.clone()
    turned[::3, 0, 1] += 2 * torch.pi
    turned = replace(jets, x=turned)
    plain, found = (JETS.observables.compute(sample, {}) for sample in (jets, turned))
    for name, values in plain.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-3, atol=1e-5, err_msg=name)
    validated = [JETS.evaluation.validate(jets, sample)["fpd"] for sample in (jets, turned)]
    assert max(validated) < 1e-6


def test_parts_are_replaceable() -> None:
    mixed = replace(JETS, evaluation=TABLES.evaluation)
    assert mixed.evaluation.selection == ("swd", "w1")
    assert JETS.evaluation.selection == ("w1m", "fpd")


def test_a_kind_without_protocols_has_one_of_its_metrics() -> None:
    assert protocols.names("mymodule.MyKind") == ["mymodule.MyKind"]
    terms = protocols.protocol("mymodule.MyKind", "mymodule.MyKind", ("w1", "ks"))
    assert terms["title"] == "mymodule.MyKind"
    assert terms["paper"] == "none"
    assert terms["metrics"] == ["w1", "ks"]
    with pytest.raises(PartiganError, match="unknown protocol 'mdma'; for mymodule"):
        protocols.protocol("mymodule.MyKind", "mdma")
