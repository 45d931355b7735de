from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from helpers import content_of
from partigan.errors import PartiganError
from partigan.files import write_json, write_text
from partigan.jobs import STAMP, Parts


def said(path: Path) -> Mapping[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))["said"])


def parts(out: Path, seed: int = 1, **how: bool) -> Parts:
    return Parts(out, {"seed": seed}, 3, said, **{"resume": False, "overwrite": False, **how})


def made(out: Path, chunks: int = 3, seed: int = 1, **how: bool) -> Parts:
    """A job of which so many parts are made."""
    found = parts(out, seed, **how)
    for chunk in found.missing()[:chunks]:
        assert found.make(chunk, write_text, f"part {chunk} of {seed}") is None
    return found


def merged(job: Parts) -> bytes:
    texts = [job.path(chunk).read_text(encoding="utf-8") for chunk in range(3)]
    write_json(job.out, {"said": {STAMP: job.stamp}, "parts": texts})
    return job.out.read_bytes()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "a.h5"


def test_a_job_goes_on_where_it_stopped(out: Path) -> None:
    made(out, 2)
    with pytest.raises(PartiganError, match="holds an unfinished job; give --resume"):
        parts(out)
    job = parts(out, resume=True)
    assert job.missing() == [2]
    made(out, resume=True)
    merged(job)
    job.remove()
    assert [path.name for path in out.parent.iterdir()] == ["a.h5"]
    assert parts(out, overwrite=True).missing() == [0, 1, 2]


def test_parts_of_another_job_are_refused(out: Path) -> None:
    made(out, 2, seed=2)
    with pytest.raises(PartiganError, match=r"a\.h5\.parts was made with seed = 2, not 1"):
        parts(out, resume=True)
    assert parts(out, overwrite=True).missing() == [0, 1, 2]


def test_parts_without_a_receipt_or_another_content_are_made_anew(out: Path) -> None:
    job = made(out)
    (job.folder / "000000.json").unlink()
    job.path(1).write_text("damaged", encoding="utf-8")
    job.path(2).unlink()
    assert parts(out, resume=True).missing() == [0, 1, 2]


def test_a_receipt_of_another_job_is_refused(out: Path, tmp_path: Path) -> None:
    job, other = made(out), made(tmp_path / "b.h5", seed=2)
    for kind in ("h5", "json"):
        (other.folder / f"000001.{kind}").replace(job.folder / f"000001.{kind}")
    with pytest.raises(PartiganError, match=r"000001\.h5 belongs to another job"):
        parts(out, resume=True).missing()


@pytest.mark.parametrize("how", [{"resume": True}, {"overwrite": True}, {}])
@pytest.mark.parametrize("names", [["000000.h5", "000001.h5"], ["thesis.tex"], ["job.json"]])
def test_a_folder_that_is_not_ours_is_neither_used_nor_removed(
    out: Path, how: dict[str, bool], names: list[str]
) -> None:
    """Parts without their job, such as those of another seed, were trusted, and anything was removed."""
    folder = out.with_name("a.h5.parts")
    folder.mkdir()
    for name in names:
        (folder / name).write_text("{}", encoding="utf-8")
    before = content_of(out.parent)
    with pytest.raises(PartiganError, match=rf"a\.h5\.parts holds what partigan did not make: {names[0]}"):
        parts(out, **how)
    assert content_of(out.parent) == before


def test_a_file_of_ones_own_among_the_parts_is_named(out: Path) -> None:
    job = made(out, 1)
    (job.folder / "notes").touch()
    with pytest.raises(PartiganError, match="did not make: notes"):
        parts(out, resume=True)


@pytest.mark.parametrize("removed", [True, False])
def test_after_the_merge_a_job_is_finished(out: Path, removed: bool) -> None:
    job = made(out)
    content = merged(job)
    if removed:
        job.remove()
    with pytest.raises(PartiganError, match="exists"):
        parts(out)
    assert parts(out, resume=True).finished
    assert not job.folder.exists()
    assert out.read_bytes() == content


def test_an_older_output_is_not_the_merged_one(out: Path) -> None:
    """Killed before the merge of a job that overwrites; a resume took the older file for the new one."""
    merged(old := made(out, seed=2))
    old.remove()
    made(out, 2, overwrite=True)
    with pytest.raises(PartiganError, match=r"a\.h5 exists; give --overwrite"):
        parts(out, resume=True)
    assert parts(out, resume=True, overwrite=True).missing() == [2]
