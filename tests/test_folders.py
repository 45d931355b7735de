from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from helpers import content_of
from partigan.errors import PartiganError
from partigan.files import MANIFEST, write_text
from partigan.folders import atomic_folder, open_folder, refuse_strangers, remove_folder, sweep


def made(path: Path, *names: str) -> Path:
    with atomic_folder(path, "a test") as folder:
        for name in names or ("numbers", "sub/page"):
            write_text(folder / name, "old")
    return path


def test_a_folder_has_a_manifest_of_its_files(tmp_path: Path) -> None:
    folder = made(tmp_path / "a")
    write_text(folder / "later", "")
    said = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    assert said == {"made_by": "a test", "job": {}, "files": ["numbers", "sub/page", "later"]}
    remove_folder(folder)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("name", [".env", "notes.txt", "sub/mine", ".git/config"])
@pytest.mark.parametrize("ours", [True, False])
def test_a_folder_with_any_other_file_is_refused_and_the_file_named(tmp_path: Path, name: str, ours: bool) -> None:
    folder = made(tmp_path / "a") if ours else tmp_path / "a"
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("mine", encoding="utf-8")
    before = content_of(tmp_path)
    for attempt in (remove_folder, refuse_strangers, made):
        with pytest.raises(PartiganError, match=rf"holds what partigan did not make: {name}; .*nothing was removed"):
            attempt(folder)
    assert content_of(tmp_path) == before


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "numbers").touch()
    folder = made(tmp_path / "a")
    (folder / "link").symlink_to(tmp_path / "mine")
    with pytest.raises(PartiganError, match="did not make: link"):
        remove_folder(folder)
    (folder / "link").unlink()
    (tmp_path / "name").symlink_to(folder)
    remove_folder(tmp_path / "name")
    assert not folder.exists()
    assert (tmp_path / "mine" / "numbers").exists()


def test_a_manifest_cannot_name_files_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    folder = made(tmp_path / "a")
    text = json.dumps({"made_by": "a test", "job": {}, "files": ["../mine", str(tmp_path / "mine"), "numbers"]})
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    with pytest.raises(PartiganError, match="did not make: sub/page"):
        remove_folder(folder)
    shutil.rmtree(folder / "sub")
    remove_folder(folder)
    assert (tmp_path / "mine").exists()


def test_a_copy_of_a_run_in_another_folder_is_not_of_that_folder(tmp_path: Path) -> None:
    run = made(tmp_path / "run")
    open_folder(tmp_path / "outer", "a test", {})
    made(tmp_path / "outer" / "inner")
    refuse_strangers(tmp_path / "outer")
    shutil.copytree(run, tmp_path / "outer" / "copy")
    with pytest.raises(PartiganError, match=r"did not make: copy/\.partigan\.json, copy/numbers"):
        remove_folder(tmp_path / "outer")
    shutil.rmtree(tmp_path / "outer" / "copy")
    remove_folder(tmp_path / "outer")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_an_open_folder_goes_on_for_the_same_job_only(tmp_path: Path) -> None:
    open_folder(tmp_path / "a", "a test", {"seed": 1})
    write_text(tmp_path / "a" / "b", "")
    (tmp_path / "a" / "mine").touch()
    open_folder(tmp_path / "a", "a test", {"seed": 1})
    with pytest.raises(PartiganError, match=r"a was made with seed = 1, not 2"):
        open_folder(tmp_path / "a", "a test", {"seed": 2})
    with pytest.raises(PartiganError, match=r"a was made by a test, not by another"):
        open_folder(tmp_path / "a", "another", {"seed": 1})
    (tmp_path / "c").mkdir()
    open_folder(tmp_path / "c", "a test", {})
    (tmp_path / "c" / MANIFEST).replace(tmp_path / "c" / "table.md")
    with pytest.raises(PartiganError, match=r"did not make: table\.md"):
        open_folder(tmp_path / "c", "a test", {})


def test_an_error_inside_leaves_the_older_folder(tmp_path: Path) -> None:
    folder = made(tmp_path / "a")
    before = content_of(tmp_path)
    with pytest.raises(ZeroDivisionError), atomic_folder(folder, "a test") as new:
        write_text(new / "numbers", f"{1 / 0}")
    assert content_of(tmp_path) == before


def test_leftovers_of_killed_jobs_go_and_an_older_folder_comes_back(tmp_path: Path) -> None:
    folder = made(tmp_path / "a")
    before = content_of(tmp_path)
    folder.rename(tmp_path / ".a.01234567.old.partigan")  # killed between two renames
    made(tmp_path / ".a.89abcdef.partigan")
    (tmp_path / ".a.00000000.partigan").touch()
    sweep(folder)
    assert content_of(tmp_path) == before
    others = (".a.b.01234567.partigan", ".a.partigan", ".a.lock.partigan", "a.01234567.partigan")
    for name in others:
        (tmp_path / name).touch()
    sweep(folder)
    assert {path.name for path in tmp_path.iterdir()} == {"a", *others}


def test_a_file_that_appears_at_the_last_moment_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made(tmp_path / "a")
    with monkeypatch.context() as patch:
        patch.setattr("partigan.folders.refuse_strangers", lambda path: (path / "mine").touch())
        remove_folder(folder)
    assert (folder / "mine").exists()
    assert (folder / "numbers").exists()
