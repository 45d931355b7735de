from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers import content_of
from partigan.errors import PartiganError
from partigan.files import lock_name, write_text
from partigan.folders import atomic_folder, open_folder
from partigan.outputs import writing

SUFFIXES = {".h5": "HDF5"}


@pytest.mark.parametrize("out", ["", ".", "..", "/", "sub/..", "../here"])
def test_the_working_directory_and_those_around_it_are_no_outputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    (tmp_path / "here" / "sub").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    before = content_of(tmp_path)
    with pytest.raises(PartiganError, match="is the working directory"), writing(out, overwrite=True):
        pass
    assert content_of(tmp_path) == before


def test_inputs_are_never_written_over(tmp_path: Path) -> None:
    data = tmp_path / "data" / "a.h5"
    write_text(data, "")
    (tmp_path / "soft.h5").symlink_to(data)
    os.link(data, tmp_path / "hard.h5")
    attempts = {
        data: "is also an input",
        tmp_path / "soft.h5": "is also an input",
        tmp_path / "hard.h5": "is also an input",
        tmp_path / "data": r"the input .*a\.h5 lies inside",
        tmp_path: r"the input .*a\.h5 lies inside",
    }
    for out, message in attempts.items():
        with pytest.raises(PartiganError, match=message), writing(out, [None, data, 3], overwrite=True):
            pass
    with pytest.raises(PartiganError, match="lies inside the input"), writing(tmp_path / "data" / "b", [data.parent]):
        pass
    with writing(tmp_path / "b.h5", [data, data.parent]):
        pass


def test_a_folder_that_another_command_made_is_left_alone(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "run", "partigan train") as folder:
        write_text(folder / "generator.safetensors", "")
    for name in ("generator.safetensors", "sub/mine.h5"):
        with (
            pytest.raises(PartiganError, match=r"lies inside .*run, which partigan train made"),
            writing(tmp_path / "run" / name, overwrite=True),
        ):
            pass


def test_a_command_that_calls_others_holds_its_folder_for_them(tmp_path: Path) -> None:
    with writing(tmp_path / "demo"):
        open_folder(tmp_path / "demo", "partigan demo", {})
        with writing(tmp_path / "demo" / "runs" / "a"), writing(tmp_path / "demo"):
            write_text(tmp_path / "demo" / "runs" / "a" / "b", "")
    assert not [*tmp_path.rglob("*.lock.*")]


@pytest.mark.parametrize(("name", "suffixes"), [("a.csv", SUFFIXES), ("a", SUFFIXES), ("a.v2", {**SUFFIXES, "": "x"})])
def test_an_unknown_suffix_is_refused(tmp_path: Path, name: str, suffixes: dict[str, str]) -> None:
    message = r"the suffix decides the format, and there are \.h5 \(HDF5\)"
    with pytest.raises(PartiganError, match=message), writing(tmp_path / name, suffixes=suffixes):
        pass


def test_existing_outputs_need_to_be_overwritten(tmp_path: Path) -> None:
    write_text(tmp_path / "a.h5", "")
    (tmp_path / "folder.h5").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a").touch()
    attempts: dict[str, Callable[[], object]] = {
        r"a\.h5 exists; give --overwrite": lambda: writing(tmp_path / "a.h5", suffixes=SUFFIXES),
        r"folder\.h5 is a directory": lambda: writing(tmp_path / "folder.h5", suffixes=SUFFIXES, overwrite=True),
        "did not make: a": lambda: writing(tmp_path / "mine", overwrite=True),
        r"a\.h5 is a file": lambda: writing(tmp_path / "a.h5", overwrite=True),
    }
    for message, attempt in attempts.items():
        with pytest.raises(PartiganError, match=message), attempt():  # type: ignore[attr-defined]
            pass
    with writing(tmp_path / "a.h5", suffixes=SUFFIXES, overwrite=True):
        pass


HOLD = """
import sys, time
from partigan.outputs import writing
with writing(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_process_gets_one_line_at_once_and_the_lock_dies_with_the_first(tmp_path: Path) -> None:
    out = tmp_path / "a.h5"
    first = subprocess.Popen([sys.executable, "-c", HOLD, str(out)], stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    assert first.stdout.readline() == "held\n"
    with pytest.raises(PartiganError, match=r"another process is writing .*a\.h5; wait"), writing(out):
        pass
    first.kill()
    first.communicate()
    assert lock_name(out).exists()
    with writing(out):
        pass
    assert not lock_name(out).exists()


def test_threads_share_no_output_either(tmp_path: Path) -> None:
    found: list[str] = []

    def attempt() -> None:
        try:
            with writing(tmp_path / "a"):
                pass
        except PartiganError as error:
            found.append(str(error))

    with writing(tmp_path / "a"):
        thread = threading.Thread(target=attempt)
        thread.start()
        thread.join()
    assert len(found) == 1
    assert "another process is writing" in found[0]


def test_a_lock_file_that_was_removed_is_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first holder removes its lock file between open and flock of the second."""
    import fcntl

    lock, real, calls = lock_name(tmp_path / "a"), fcntl.flock, []

    def late(descriptor: int, how: int) -> None:
        if not calls:
            lock.unlink()
        calls.append(how)
        real(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with writing(tmp_path / "a"):
        assert len(calls) == 2
        assert lock.exists()
