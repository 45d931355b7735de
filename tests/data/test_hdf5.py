from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from helpers import SHARED
from partigan.data.hdf5 import holds, open_hdf5, write_chunks
from partigan.data.stored import trusted
from partigan.errors import PartiganError


def read(path: Path, name: str = "rows") -> Any:
    with open_hdf5(path, "rows are needed") as file:
        found = file.dataset(name)
        return found.rows(0, len(found))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["rows"] = np.arange(1000.0)
    return tmp_path / "a.h5"


def test_a_file_that_another_process_writes_to(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        with pytest.raises(PartiganError, match=r"a\.h5: another process writes to it"):
            read(path)
    finally:
        os.close(descriptor)
    assert len(read(path)) == 1000


def test_a_file_without_permission(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(PartiganError, match=r"a\.h5: you have no permission to read it"):
        read(path)


def test_a_truncated_file(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(PartiganError, match=r"a\.h5: truncated \(.*make or fetch it again"):
        read(path)


def test_a_file_of_a_missing_filter() -> None:
    path = SHARED / "cases/blosc_like.h5"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    message = (
        "particle_features is compressed with the filter blosc, which is not installed; run: pip install hdf5plugin"
    )
    with pytest.raises(PartiganError, match=message):
        read(path, "particle_features")


def _external_storage(file: h5py.File) -> None:
    secret = Path(file.filename).with_name("secret")
    secret.write_bytes(bytes(80))
    file.create_dataset("rows", (10,), float, external=[(str(secret), 0, 80)])


def _external_link(file: h5py.File) -> None:
    os.mkfifo(Path(file.filename).with_name("pipe"))  # nobody may open it
    file["rows"] = h5py.ExternalLink("pipe", "/rows")


def _external_link_of_a_link(file: h5py.File) -> None:
    file["there"] = h5py.ExternalLink("other.h5", "/")
    file["rows"] = h5py.SoftLink("/there/rows")


def _dead_link(file: h5py.File) -> None:
    file["rows"] = h5py.SoftLink("/nowhere")


def _circular_link(file: h5py.File) -> None:
    file["rows"], file["again"] = h5py.SoftLink("/again"), h5py.SoftLink("/rows")


def _rows_missing(file: h5py.File) -> None:
    file.create_dataset("rows", (10**12, 3), "f4", chunks=(1000, 3))[:1000] = 1


def _last_rows_missing(file: h5py.File) -> None:
    file.create_dataset("rows", (2000, 3), "f4", chunks=(1000, 3), compression="gzip")[:1000] = 1


def _nothing_written(file: h5py.File) -> None:
    file.create_dataset("rows", (10**6,), "f4")


def _group(file: h5py.File) -> None:
    file.create_group("rows")


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((10,), float)
    layout[:] = h5py.VirtualSource("nowhere.h5", "rows", (10,))
    file.create_virtual_dataset("rows", layout)


def _large_attribute(file: h5py.File) -> None:
    file["rows"] = np.arange(10.0)
    space = h5py.h5s.create_simple((10**5,))
    h5py.h5a.create(file["rows"].id, b"features", h5py.h5t.IEEE_F32LE, space)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_external_storage, r"a\.h5: rows lies in another file, .*secret; copy its data into this one"),
        (_external_link, r"a\.h5: rows is a link to another file, pipe; copy its data into this one"),
        (_external_link_of_a_link, r"a\.h5: rows is a link to another file, other\.h5"),
        (_dead_link, r"a\.h5 cannot be read as HDF5"),
        (_circular_link, r"a\.h5: rows is a link that leads nowhere"),
        (_rows_missing, r"a\.h5: rows is float32\[1000000000000, 3\], but rows of it are missing"),
        (_last_rows_missing, r"a\.h5: rows is float32\[2000, 3\], but rows of it are missing"),
        (_nothing_written, r"a\.h5: rows is float32\[1000000\], but rows of it are missing"),
        (_group, r"a\.h5: rows is a group, not a dataset; rows are needed"),
        (_virtual, r"a\.h5: rows is virtual, its data lie in nowhere\.h5; copy them .* or give --trust"),
    ],
)
def test_only_what_the_file_holds_is_read(tmp_path: Path, make: Callable[[h5py.File], None], message: str) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        make(file)
    began = time.monotonic()
    with pytest.raises(PartiganError, match=message):
        read(tmp_path / "a.h5")
    assert holds(tmp_path / "a.h5", "rows")
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("value", [0, 3, 2**63, 2**64 - 8])
def test_a_heap_of_texts_without_end_is_refused(tmp_path: Path, value: int) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["rows"] = np.arange(10.0)
        file["rows"].attrs["features"] = ["some", "names"]
    assert list(read(tmp_path / "a.h5")) == [*range(10)]
    content = (tmp_path / "a.h5").read_bytes()
    place = content.index(b"GCOL") + 16
    while content[place : place + 2] != b"\0\0":  # what is free is the last object
        place += 16 + (int.from_bytes(content[place + 8 : place + 16], "little") + 7) // 8 * 8
    (tmp_path / "a.h5").write_bytes(content[: place + 8] + value.to_bytes(8, "little") + content[place + 16 :])
    with pytest.raises(PartiganError, match=r"a\.h5: damaged, a heap of its texts has no end"):
        read(tmp_path / "a.h5")


def test_soft_links_inside_the_file_are_followed(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["deep/down"] = np.arange(10.0)
        file["rows"] = h5py.SoftLink("/deep/down")
    np.testing.assert_array_equal(read(tmp_path / "a.h5"), np.arange(10.0))


def test_virtual_datasets_are_read_with_trust_where_their_sources_are(tmp_path: Path) -> None:
    for name in ("one", "two"):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["rows"] = np.arange(10.0)
    layout = h5py.VirtualLayout((20,), float)
    layout[:10] = h5py.VirtualSource("one.h5", "rows", (10,))
    with h5py.File(tmp_path / "half.h5", "w") as file:
        file.create_virtual_dataset("rows", layout)
    layout[10:] = h5py.VirtualSource("two.h5", "rows", (10,))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_virtual_dataset("rows", layout)
    with trusted(True):
        np.testing.assert_array_equal(read(tmp_path / "a.h5"), np.tile(np.arange(10.0), 2))
        with pytest.raises(PartiganError, match="no file is given for some of its rows"):
            read(tmp_path / "half.h5")
        (tmp_path / "two.h5").unlink()
        with pytest.raises(PartiganError, match=r"two\.h5 does not exist"):
            read(tmp_path / "a.h5")


def test_a_damaged_block_is_named(tmp_path: Path) -> None:
    rows = np.arange(4000.0).reshape(-1, 1)
    write_chunks(tmp_path / "a.h5", [{"rows": rows}], {}, {})
    content = bytearray((tmp_path / "a.h5").read_bytes())
    content[content.index(rows[2500:2510].tobytes()) + 3] ^= 1
    (tmp_path / "a.h5").write_bytes(content)
    with pytest.raises(PartiganError, match=r"a\.h5: rows rows 2000 to 2999: damaged, a block .* checksum"):
        read(tmp_path / "a.h5")


def test_files_are_the_same_bit_for_bit_whenever_they_are_written(tmp_path: Path) -> None:
    chunk = {"rows": np.arange(30.0, dtype=np.float32).reshape(10, 3)}
    for name, chunks in (("a.h5", [chunk]), ("b.h5", [{"rows": chunk["rows"][:4]}, {"rows": chunk["rows"][4:]}])):
        write_chunks(tmp_path / name, chunks, {"kind": "tables"}, {"rows": {"x": "", "y": "", "z": "GeV"}})
        time.sleep(1.1)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_a_block_that_expands_beyond_memory_is_refused_before_it_does(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("rows", (50_000_000,), "f8", chunks=(10_000_000,), compression="gzip", fillvalue=0)[:] = 0
    assert (tmp_path / "a.h5").stat().st_size < 10**6
    code = f"""
import resource
from pathlib import Path
from partigan.data.hdf5 import open_hdf5
taken = 4096 * int(Path("/proc/self/statm").read_text().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (taken + 2 * 10**8, taken + 2 * 10**8))
with open_hdf5(Path({str(tmp_path / "a.h5")!r}), "") as file:
    file.dataset("rows").rows(0, 50_000_000)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "PartiganError: reading rows 0 to 50000000 of" in done.stderr
    assert "GB of memory" in done.stderr
