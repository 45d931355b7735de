"""Weights that MPGAN's authors published."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from authors import PAIRS, arguments, tensors
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


def imported(pair: str, jets: str, folder: Path) -> tuple[Run, dict[str, Any], dict[str, Tensor]]:
    options = arguments(pair, jets)
    given = tensors(options)
    (folder / "args.txt").write_text(str(options))
    torch.save(given, folder / "G.pt")
    return import_weights(folder / "G.pt", folder / "args.txt", folder / "run"), options, given


@pytest.mark.parametrize("jets", "gqt")
@pytest.mark.parametrize("pair", PAIRS)
def test_all_published_generators_become_runs_and_mask_as_their_arguments_say(
    pair: str, jets: str, tmp_path: Path
) -> None:
    run, options, _ = imported(pair, jets, tmp_path)
    model = load(run.path)
    assert model.conditions["multiplicity"][30] > 70_000
    ten = replace(model, conditions={**model.conditions, "multiplicity": [0] * 10 + [1] + [0] * 20})
    sample = ten.sample(4, 1)
    assert sample.x.shape == (4, 30, 3)
    assert sample.mask is not None
    assert (sample.mask.sum(1) == (10 if options["mask_c"] else 30)).all()


def plain(noise: Tensor, mask: Tensor, options: dict[str, Any], given: dict[str, Tensor]) -> Tensor:
    """Equations 1 and 2 of the paper, pair by pair, with the authors' tensors of the older code."""

    def layer(name: str, x: Tensor) -> Tensor:
        return functional.linear(x, given[f"{name}.weight"], given[f"{name}.bias"])

    h = layer("lfc", noise).view(len(noise), 30, -1) if options["lfc"] else noise
    for number in range(2):
        to, of = h[:, :, None].expand(-1, -1, 30, -1), h[:, None].expand(-1, 30, -1, -1)
        distance = [(of - to + 1e-12).norm(dim=3, keepdim=True)] if options["pos_diffs"] else []
        m = torch.cat((to, of, *distance), 3)
        for k in range(3):
            m = functional.leaky_relu(layer(f"fe.{number}.{k}", m), 0.2)
        h = torch.cat(((m * mask[:, None, :, None]).sum(2), h), 2)
        for k in range(3):
            h = layer(f"fn.{number}.{k}", h)
            h = functional.leaky_relu(h, 0.2) if k < 2 else h
    return h[..., :3].tanh()


@pytest.mark.parametrize(("pair", "jets"), [("mpfc", "q"), ("mpfc", "g"), ("mppnet", "t")])
def test_older_networks_make_what_the_authors_code_makes(pair: str, jets: str, tmp_path: Path) -> None:
    run, options, given = imported(pair, jets, tmp_path)
    model = load(run.path)
    mask = torch.arange(30) < torch.tensor([[5], [17], [30]]) if options["mask_c"] else torch.ones(3, 30).bool()
    noise = 0.2 * torch.randn(3, *((128,) if options["lfc"] else (30, 32)))
    made = model.generator(noise, mask=mask if options["mask_c"] else None)
    expected = plain(noise, mask, options, given) * mask[..., None]
    torch.testing.assert_close(made, expected, atol=1e-5, rtol=1e-4)
    if not options["mask_c"]:  # every particle is real, whatever its pt
        jets_made = model.sample(3, 1)
        assert jets_made.mask is not None
        assert jets_made.mask.all()


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    text, weights, changed = str(arguments("mp", "g")), tmp_path / "G.pt", tmp_path / "args.txt"
    torch.save(tensors(arguments("mp", "g")), weights)
    for change, message in (
        (("'lfc': False", "'lfc': True"), r"missing: lift\.weight, lift\.bias"),
        (("'model': 'mpgan'", "'model': 'rgan'"), "only generators of message passing have masks"),
        (("'fe': [96, 160, 192]", "'fe': [96, 160]"), r"unexpected: mp_layers\.0\.fe"),
        (("'fn': [256, 256]", "'fn': [256, 255]"), r"of another shape: .*node\.1\.weight \(256, 256\) instead of"),
        (("'jets': 'g'", "'jets': 'w'"), "classes g, q and t, not 'w'"),
        (("'sd': 0.2", "'sd': 0.3"), "sd = 0.3; networks here have 0.2"),
        (("'mask_feat': False", "'mask_feat': True"), "mask_feat = True; networks here have False"),
        (("'model': 'mpgan'", "'model': 'pcgan'"), "no networks here for the generator 'pcgan'"),
        (("'sd': 0.2, ", ""), "lacks sd"),
        (("'fe': [96, 160, 192], ", ""), "lacks fe; give the args.txt"),
        (("{", "{[1]: 2, "), "a dictionary of arguments"),
        (("{", "{open('x'): 1, "), "a dictionary of arguments"),
    ):
        assert change[0] in text
        changed.write_text(text.replace(*change))
        with pytest.raises(PartiganError, match=message):
            import_weights(weights, changed, tmp_path / "r")
        assert not (tmp_path / "r").exists()
    changed.write_text(text)
    with pytest.raises(PartiganError, match="without running its code"):
        import_weights(changed, changed, tmp_path / "r")
