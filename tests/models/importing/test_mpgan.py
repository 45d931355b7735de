"""Weights that MPGAN's authors published."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers import SHARED
from partigan import load
from partigan.errors import PartiganError
from partigan.models.importing.mpgan import import_weights
from partigan.run import Run

WEIGHTS = SHARED / "reference/mpgan_weights"


@pytest.fixture
def published() -> Path:
    if not WEIGHTS.exists():
        pytest.skip(f"{WEIGHTS} is not here")
    return WEIGHTS


PUBLISHED = ["mp_g", "mplfc_g", "mppnet_g", "fc_g", "fcpnet_g", "graphcnnpnet_g", "treeganpnet_g"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_weights_become_runs(name: str, published: Path, tmp_path: Path) -> None:
    folder = published / name
    run = import_weights(folder / "G_best_epoch.pt", folder / "args.txt", tmp_path / "r")
    jets = load(run.path).sample(300, 1)
    assert jets.x.shape == (300, 30, 3)
    assert jets.mask is not None
    assert 0.6 < float(jets.x[..., 2].sum(1).median()) < 1.5  # pt of the jet
    assert (jets.x[..., 2][jets.mask] > 0).all()
    assert Run(run.path).manifest["imported"]["jets"] == "g"


def test_what_does_not_fit_is_named(published: Path, tmp_path: Path) -> None:
    weights, arguments = published / "mp_g/G_best_epoch.pt", published / "mp_g/args.txt"
    text = arguments.read_text()
    changed = tmp_path / "args.txt"
    for change, message in (
        (("'lfc': False", "'lfc': True"), r"missing: lift\.weight, lift\.bias"),
        (("'model': 'mpgan'", "'model': 'rgan'"), r"unexpected: mp_layers\.0\.fe"),
        (("'fn': [256, 256]", "'fn': [256, 255]"), r"of another shape: .*node\.1\.weight \(256, 256\) instead of"),
        (("'jets': 'g'", "'jets': 'w'"), "classes g, q and t, not 'w'"),
        (("'sd': 0.2", "'sd': 0.3"), "sd = 0.3; networks here have 0.2"),
        (("'mask_feat': False", "'mask_feat': True"), "weights with mask_feat cannot be imported"),
        (("'model': 'mpgan'", "'model': 'pcgan'"), "no networks here for the generator 'pcgan'"),
        (("'sd': 0.2, ", ""), "lacks sd"),
        (("'fe': [96, 160, 192], ", ""), "lacks fe; give the args.txt"),
        (("{", "{[1]: 2, "), "not a dictionary of arguments"),
        (("{", "{open('x'): 1, "), "not a dictionary of arguments"),
    ):
        assert change[0] in text
        changed.write_text(text.replace(*change))
        with pytest.raises(PartiganError, match=message):
            import_weights(weights, changed, tmp_path / "r")
        assert not (tmp_path / "r").exists()
    with pytest.raises(PartiganError, match="without running its code"):
        import_weights(arguments, arguments, tmp_path / "r")
