"""The authors' file of arguments: what is read, what must be, what is ignored, and that nothing else passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from authors import PAIRS, arguments
from partigan.errors import PartiganError
from partigan.models.importing.arguments import ALL, FIXED, IGNORED, LATER, READ, read_arguments


def written(path: Path, options: dict[str, Any]) -> Path:
    (path / "args.txt").write_text(str(options))
    return path / "args.txt"


@pytest.mark.parametrize("jets", "gqt")
@pytest.mark.parametrize("pair", PAIRS)
def test_every_published_file_is_understood(pair: str, jets: str, tmp_path: Path) -> None:
    given = arguments(pair, jets)
    read = read_arguments(written(tmp_path, given))
    assert read["model"] in READ
    assert read["mask_c"] is (pair in ("mp", "mplfc", "mppnet"))
    assert read["model_D"] == {"fc": "rgan", "mp": "mpgan", "mplfc": "mpgan"}.get(pair, read["model_D"])


def test_no_argument_is_in_two_classes() -> None:
    ignored = " ".join(IGNORED.values()).split()
    for generator in (*READ.keys() - {ALL}, ALL):
        names = [*READ[generator], *FIXED[generator], *(() if generator == ALL else ignored)]
        assert len(set(names)) == len(names)
    assert len(set(ignored)) == len(ignored)


@pytest.mark.parametrize("pair", ["mp", "mpfc", "fc", "graphcnn", "treeganfc"])
def test_every_argument_that_must_be_is_held_to_it(pair: str, tmp_path: Path) -> None:
    given = arguments(pair, "q")
    model = {"old_mpgan": "mpgan"}.get(given["model"], given["model"])
    for name, value in (FIXED[ALL] | FIXED[model]).items():
        other = {bool: not value, str: "other"}.get(type(value), 7)
        with pytest.raises(PartiganError, match=f"{name} = {other!r}; networks here have {value!r}"):
            read_arguments(written(tmp_path, {**given, name: other}))
    for name in sorted((READ[ALL] | READ[model]) - LATER):
        with pytest.raises(PartiganError, match="no networks here" if name == "model" else f"lacks {name};"):
            read_arguments(written(tmp_path, {key: entry for key, entry in given.items() if key != name}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mask_new": True}, "nothing is known here of mask_new"),
        ({"mask_c": False}, "mask = True and mask_c = False contradict"),
        ({"mask": False}, "mask = False and mask_c = True contradict"),
        ({"mask_learn": True}, "mask_learn = True; networks here have False"),
        ({"num_hits": 150}, "num_hits is 150; multiplicities are known for 30 particles only"),
        ({"num_hits": "many"}, "num_hits = 'many' is not a whole number"),
        ({"fe": 96}, "fe = 96 is not a list of whole numbers"),
        ({"pos_diffs": True, "all_ef": False}, "pos_diffs is here with deltar and all_ef only"),
        ({"pos_diffs": True, "deltar": True, "all_ef": True, "lfc": True}, "not here together with lfc"),
        ({"model_D": "pcgan"}, "no networks here for the generator 'mpgan' with critic 'pcgan'"),
    ],
)
def test_what_cannot_be_is_named(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(PartiganError, match=message):
        read_arguments(written(tmp_path, {**arguments("mp", "g"), **changes}))


def test_what_belongs_to_another_generator_does_not_matter(tmp_path: Path) -> None:
    assert read_arguments(written(tmp_path, {**arguments("fc", "g"), "gtanh": False, "fe1g": [1]}))["mask_c"] is False
