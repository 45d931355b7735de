from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from partigan import PartiganError, presets
from partigan.config import build, changed, expanded, merged, read, resolve


@pytest.mark.parametrize(
    ("config", "overrides", "message"),
    [
        ("mdna", {}, "did you mean 'mdma'"),
        (
            "mdma",
            {"trainer.max_minute": 3},
            "unknown option 'trainer.max_minute'; did you mean 'trainer.max_minutes'",
        ),
        (
            "mdma",
            {"system.generator.laten": 3},
            "unknown option 'system.generator.laten'; did you mean 'system.generator.latent'",
        ),
        ("mdma", {"system.objectiv": 3}, "unknown option 'system.objectiv'; did you mean 'system.objective'"),
        ("mdma", {"trainer.batch_size": "many"}, "trainer.batch_size: 'many' is not of type int"),
        ("mdma", {"system.generator.latent": "x"}, "system.generator.latent: 'x' is not of type int"),
        ("mdma", {"system.terms": [{"objectives.penalties.R1": {}}]}, "system.terms: give names with their values"),
        (
            "mdma",
            {"system.objective": "nets.tables.TableCritic"},
            "system.objective: nets.* is not a class of Objective",
        ),
        (
            "mdma",
            {"system.terms.a.term": "objectives.losses.Hinge"},
            "system.terms.term: .*Hinge is not a class of Term",
        ),
        ("mdma", {"system.phases.a.updates": "critic"}, "system.phases.updates: 'critic' is not of type list"),
        ({"kindd": "jets"}, {}, "unknown option 'kindd'; did you mean 'kind'"),
        ({"kind": "jets"}, {}, "say what to train"),
        ("mdma", {"trainer.max_steps": -1}, "trainer.max_steps = -1; it must be above 0"),
    ],
)
def test_mistakes_in_the_configuration(config: Any, overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(PartiganError, match=message):
        build(resolve(read(config, overrides)))


def test_a_yaml_of_ones_own_changes_a_preset(tmp_path: Path) -> None:
    change = {"base": "mdma", "system": {"critic_steps": 2}, "trainer": {"max_steps": 7}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(change))
    mine, base = (read(name)["system"]["init_args"] for name in (str(tmp_path / "mine.yaml"), "mdma"))
    assert mine == {**base, "critic_steps": 2}
    (tmp_path / "own.yaml").write_text(f"base: {tmp_path / 'own.yaml'}")
    with pytest.raises(PartiganError, match="is its own base"):
        read(str(tmp_path / "own.yaml"))
    (tmp_path / "broken.yaml").write_text("a: [")
    with pytest.raises(PartiganError, match="cannot be read as YAML"):
        read(str(tmp_path / "broken.yaml"))


def test_short_forms_of_classes() -> None:
    short = {
        "critic": "nets.tables.TableCritic",
        "terms": [{"objectives.penalties.R1": {"x": {"torch.optim.Adam": None}}}],
    }
    adam = {"class_path": "torch.optim.Adam", "init_args": {}}
    assert expanded(short) == {
        "critic": {"class_path": "partigan.nets.tables.TableCritic", "init_args": {}},
        "terms": [{"class_path": "partigan.objectives.penalties.R1", "init_args": {"x": adam}}],
    }
    assert expanded(expanded(short)) == expanded(short)
    assert expanded({"about": {"title": "a.Title"}, "kind": "jets", "lr": 1}) == {
        "about": {"title": "a.Title"},
        "kind": "jets",
        "lr": 1,
    }


def test_changes_are_merged_into_classes_and_another_class_drops_arguments() -> None:
    base = expanded({"critic": {"nets.tables.TableCritic": {"width": 3, "depth": 2}}, "terms": {"a": 1, "b": 2}})
    deeper = merged(base, expanded({"critic": {"depth": 5}, "terms": {"b": None}}))
    assert deeper["critic"]["init_args"] == {"width": 3, "depth": 5}
    assert deeper["terms"] == {"a": 1, "b": None}
    other = merged(base, expanded({"critic": "nets.clouds.mdma.MDMACritic", "terms": None}))
    assert other == {
        "critic": {"class_path": "partigan.nets.clouds.mdma.MDMACritic", "init_args": {}},
        "terms": None,
    }


def test_options_by_dotted_name() -> None:
    found = changed(
        read("mdma"),
        {
            "system.generator.latent": "8",
            "system.objective": "objectives.losses.Hinge",
            "system.terms.r1": "{term: {objectives.penalties.R1: {}}, every: 4}",
            "trainer.max_steps": 3,
        },
    )
    arguments = found["system"]["init_args"]
    assert arguments["generator"]["init_args"]["latent"] == 8
    assert arguments["objective"]["class_path"] == "partigan.objectives.losses.Hinge"
    assert arguments["terms"]["r1"]["every"] == 4
    assert {*arguments["terms"]} == {"matching", "r1"}
    assert found["trainer"]["max_steps"] == 3


@pytest.mark.parametrize("preset", presets.names())
def test_every_preset_resolves_and_its_resolved_form_is_itself(preset: str) -> None:
    """In plain YAML, with every argument; reading it again changes nothing."""
    resolved = resolve(read(preset))
    again = yaml.safe_load(yaml.safe_dump(resolved))
    assert resolve(read(again)) == again
    about = presets.about(preset)
    assert {"title", "paper", "status", "kind"} <= {*about}


def test_arguments_that_the_data_decide_are_filled_in_where_they_are_left_open() -> None:
    data = {"particles": 150, "features": 3, "classes": 7}
    arguments = resolve(read("mdma", {"system.critic.particles": 30}), data)["system"]["init_args"]
    assert arguments["generator"]["init_args"]["particles"] == 150
    assert arguments["critic"]["init_args"]["particles"] == 30
    assert "classes" not in arguments["generator"]["init_args"]


def test_a_null_in_the_middle_takes_out_what_its_base_has(tmp_path: Path) -> None:
    for name, base, terms in (("a", "mdma", {"own": 1}), ("b", "a", None), ("c", "b", {"last": 2})):
        where = base if base == "mdma" else str(tmp_path / f"{base}.yaml")
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({"base": where, "system": {"terms": terms}}))
    assert read(str(tmp_path / "c.yaml"))["system"]["init_args"]["terms"] == {"last": 2}
    assert {*read("pxd-wgan-gp")["system"]["init_args"]["terms"]} == {"penalty"}


@pytest.mark.parametrize("preset", ["mdma-fast", "cyclegan-small"])
def test_what_the_data_decide_is_filled_in_as_if_it_were_given(preset: str) -> None:
    """It is filled in after the parser, which is held here to a configuration that gives all of it."""
    decided = {"particles": 7, "features": 3, "channels": 2, "height": 8, "width": 12, "classes": 3, "conditions": 0}
    filled = resolve(read(preset), decided)
    assert filled["system"] != resolve(read(preset))["system"]
    given = {**filled, "trainer": {**filled["trainer"], "max_steps": 3}}  # so that it is parsed anew
    assert repr(resolve(given)["system"]) == repr(filled["system"])
