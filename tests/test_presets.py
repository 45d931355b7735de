"""Presets of large hitmaps, which are too slow to train here: they fit their data, whatever is added to them."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers import toy_hits
from partigan import presets
from partigan.config import build, read, resolve
from partigan.data.batch import Batch
from partigan.data.hitmap_files import write_hitmaps
from partigan.errors import PartiganError
from partigan.kinds import find

LARGE = [name for name in presets.names() if presets.about(name)["kind"] in ("pxd", "pxd-crop")]


def event(tmp_path: Path, kind: str) -> Batch:
    """One event of toy hits."""
    write_hitmaps(tmp_path / "a.h5", [toy_hits(1, busy=(0,))], {})
    return find(kind).format.read(tmp_path / "a.h5", "all")


@pytest.mark.parametrize("name", LARGE)
def test_presets_fit_their_data(tmp_path: Path, name: str) -> None:
    """Losses of both players and their gradients, with few feature maps; what the data decide is filled in."""
    roles = ("generator", "critic")
    small = {"filters": 2, "attention": 0}
    config = read(name, {f"system.{role}.{key}": value for role in roles for key, value in small.items()})
    sample = event(tmp_path, config["kind"])
    arguments = find(config["kind"]).conditions.arguments(sample)
    resolved = resolve(config, arguments)
    made = resolved["system"]["init_args"]
    networks = {role: made[role]["init_args"] for role in roles}
    assert all(network["classes"] == 40 for network in networks.values())
    for scheduled in filter(None, (made["terms"] or {}).values()):
        assert scheduled["term"]["init_args"].get("classes", 40) == 40
    if name.startswith("pe-gan"):
        assert networks["generator"]["prior"] == networks["critic"]["prior"] == arguments["prior"]
    system, transform, _ = build(resolved)
    transform.fit(sample)
    system.rehearse({"data": transform.forward(sample[:2])})


OWN = """
base: pe-gan-crop
system:
  critic: {filters: 2, dimension: 16, extras: {kernels: 3, codes: 8, dropout: 0.5}}
  generator: {filters: 2, latent: 8}
  critic_optimizer: {lr: 1.0e-5, weight_decay: 1.0e-4}
  terms:
    orthogonal: {term: objectives.regularisation.OrthogonalRegularisation}
    commitment: {term: objectives.regularisation.Commitment}
    latent: {term: objectives.latent.LatentOptimisation}
    r1: {term: objectives.penalties.R1}
    cut: {term: objectives.intensity.IntensityCut}
"""


def test_what_the_authors_tried_fits_together(tmp_path: Path) -> None:
    """Every option of docs/pxd.md at once, added to a preset by a YAML of one's own."""
    (tmp_path / "own.yaml").write_text(OWN)
    sample = event(tmp_path, "pxd-crop")
    config = read(str(tmp_path / "own.yaml"), {"system.critic.extras.kernels": 5})
    resolved = resolve(config, find("pxd-crop").conditions.arguments(sample))
    terms = resolved["system"]["init_args"]["terms"]
    assert [*terms] == ["contrastive", "consistency", "orthogonal", "commitment", "latent", "r1", "cut"]
    system, transform, _ = build(resolved)
    assert system.networks["critic"].pooled[0].kernels == 5  # type: ignore[union-attr, index]
    transform.fit(sample)
    system.rehearse({"data": transform.forward(sample[:3])}, transform.inverse)


def test_presets_that_there_are_not(tmp_path: Path) -> None:
    with pytest.raises(PartiganError, match=r"no preset or YAML file 'pegan'; did you mean 'pe-gan'\?"):
        presets.read("pegan")
    with pytest.raises(PartiganError, match="no preset or YAML file"):
        presets.read(str(tmp_path / "missing.yaml"))


def test_what_a_preset_is_about_comes_from_its_base_too() -> None:
    about = presets.about("pe-gan-crop")
    assert about["kind"] == "pxd-crop"
    assert about["paper"] == "PE-GAN"
    assert about["title"].startswith("PE-GAN, crops")


def test_terms_that_a_base_removes_do_not_come_back() -> None:
    """Of pe-gan, whose terms pxd-biggan-deep-projection removes, and pxd-biggan, which has none."""
    assert [*read("pxd-wgan-gp")["system"]["init_args"]["terms"]] == ["penalty"]
