from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Any

import awkward as ak
import h5py
import numpy as np
import pytest
import uproot
from PIL import Image

from helpers import assert_same_hits, toy_hits
from partigan.data.hitmap_files import hitmap_attributes, read_hitmaps, write_hitmaps
from partigan.data.hitmaps import Hitmaps
from partigan.data.pxd import NAMES, SENSORS
from partigan.errors import PartiganError


@pytest.mark.parametrize("name", ["a.h5", "a.hdf5", "a.root", "images"])
def test_what_is_written_is_read(tmp_path: Path, name: str) -> None:
    """The suffix decides the format."""
    sample = toy_hits(10)
    write_hitmaps(tmp_path / name, [sample.events(0, 3), sample.events(3, len(sample))], {"kind": "pxd", "n": 10})
    assert hitmap_attributes(tmp_path / name) == {"kind": "pxd", "n": 10}
    assert h5py.is_hdf5(tmp_path / name) == name.startswith("a.h")
    assert_same_hits(read_hitmaps(tmp_path / name), sample)
    parts = [read_hitmaps(tmp_path / name, split) for split in ("train", "valid", "test")]
    assert [len(part) for part in parts] == [7, 1, 2]
    assert_same_hits(Hitmaps.joined(parts), sample)


def root_file(path: Path, **columns: list[Any]) -> Path:
    """A file of basf2's branches with one entry; others than those given have one good hit."""
    good = {"sensorID": [SENSORS[0].vxd_id | 2], "uCellID": [3], "vCellID": [4], "charge": [50]} | columns
    digits = ak.zip({f"m_{name}": ak.Array([[], values]) for name, values in good.items() if values})
    with uproot.recreate(path) as file:
        file.mktree("tree", {"PXDDigits": digits.type.content}, field_name=lambda outer, inner: f"{outer}.{inner}")
        file["tree"].extend({"PXDDigits": digits})
    return path


def test_root_files_of_floating_charges_and_frames(tmp_path: Path) -> None:
    sample = read_hitmaps(root_file(tmp_path / "a.root", charge=[77.0]))
    assert sample.counts.sum(1).tolist() == [0, 1]
    assert (sample.u[0], sample.v[0], sample.charge[0]) == (3, 4, 77)


def test_overlaid_charges_count_as_the_largest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert read_hitmaps(root_file(tmp_path / "a.root", charge=[300])).charge.tolist() == [255]
    assert (
        "a.root: hits of more than 255 ADU, as overlay makes them, count as 255, where the ADC ends: 1\n"
        in capsys.readouterr().err
    )
    write_hitmaps(tmp_path / "a.h5", [toy_hits()], {})
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        charge = file["charge"][:].astype(np.uint16)
        charge[:2] = 300, 4000
        del file["charge"]
        file["charge"] = charge
    assert read_hitmaps(tmp_path / "a.h5").charge[:2].tolist() == [255, 255]
    assert "ends: 2\n" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a.h5", "a.root"])
def test_digits_keep_what_overlay_added(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    both = toy_hits(seed=1).overlaid(toy_hits(seed=2)).overlaid(toy_hits(seed=1))
    assert both.charge.max() > 255
    write_hitmaps(tmp_path / name, [both], {})
    assert_same_hits(read_hitmaps(tmp_path / name, digits=True), both)
    assert capsys.readouterr().err == ""
    if name == "a.root":
        digits = uproot.open(tmp_path / name)["tree"].arrays(library="np")
        for branch, column in (("sensorID", both.vxd_id), ("uCellID", both.u), ("charge", both.charge)):
            found = digits[f"PXDDigits.m_{branch}"]
            assert {part.dtype.name for part in found} == {"uint16"}
            np.testing.assert_array_equal(np.concatenate(found), column)
    with pytest.raises(PartiganError, match=r"cannot write .*: File exists"):
        write_hitmaps(tmp_path / name / name, [both], {})


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"sensorID": [9]}, r"entry 1: PXDDigits\.m_sensorID = 9 is no sensor"),
        ({"uCellID": [250]}, r"entry 1: PXDDigits\.m_uCellID = 250, not a whole number from 0 to 249"),
        ({"vCellID": [768]}, r"entry 1: PXDDigits\.m_vCellID = 768, not a whole number from 0 to 767"),
        ({"charge": [-1.0]}, r"entry 1: PXDDigits\.m_charge = -1\.0, not a whole number"),
        ({"uCellID": [1.5]}, r"entry 1: PXDDigits\.m_uCellID = 1\.5, not a whole number"),
        ({"vCellID": [float("nan")]}, r"entry 1: PXDDigits\.m_vCellID = nan, not a whole number"),
        ({"sensorID": [2.0**40]}, r"entry 1: PXDDigits\.m_sensorID = 1099511627776\.0, not a whole number"),
        ({"charge": []}, r"tree has no branch PXDDigits\.m_charge"),
    ],
)
def test_bad_root_files_are_refused(tmp_path: Path, columns: dict[str, list[Any]], message: str) -> None:
    path = root_file(tmp_path / "a.root", **columns)
    with pytest.raises(PartiganError, match=rf"a\.root: {message}"):
        read_hitmaps(path)


@pytest.mark.parametrize("name", ["a.h5", "a.root"])
@pytest.mark.parametrize("part", [0.01, 0.5, 0.95])
def test_truncated_files_are_refused(tmp_path: Path, name: str, part: float) -> None:
    write_hitmaps(tmp_path / name, [toy_hits()], {})
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(part * len(content))])
    with pytest.raises(PartiganError, match=rf"{name}:? .*(truncated|not an HDF5)"):
        read_hitmaps(tmp_path / name)


def _damage(path: Path, what: str) -> None:
    """Damage a file of toy hits."""
    with h5py.File(path, "r+") as file:
        if what == "u":
            file["u"][-1] = 250
        elif what == "v":
            file["v"][-1] = 768
        elif what == "charge":
            file["charge"][0] = 0
        elif what == "order":
            file["u"][:2] = file["u"][:2][::-1]
        elif what == "counts":
            file["counts"][0, 0] += 1
        elif what == "missing":
            del file["charge"]
        elif what == "huge counts":
            del file["counts"]
            file["counts"] = np.full((3, 40), 2**64 - 1, np.uint64)
        elif what == "many events":
            del file["counts"]
            file.create_dataset("counts", (10**12, 40), "i4", chunks=(1000, 40))[:3] = 0
        elif what == "fractions":
            values = file["u"][:] + 0.5
            del file["u"]
            file["u"] = values
        elif what == "wraps":
            values = file["u"][:] + np.uint64(2**32)
            del file["u"]
            file["u"] = values
        elif what == "sensors":
            file.attrs["sensors"] = sorted(NAMES)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("u", "entry 2: u = 250, not a whole number from 0 to 249"),
        ("v", "entry 2: v = 768, not a whole number from 0 to 767"),
        ("charge", "hits of charge 0, or not sorted"),
        ("order", "hits of charge 0, or not sorted"),
        ("counts", r"u is uint8\[\d+\], counts is of \d+ hits"),
        ("missing", "no dataset 'charge'"),
        ("huge counts", "counts row 0 has 18446744073709551615 hits of a sensor"),
        ("many events", r"counts is int32\[1000000000000, 40\], but rows of it are missing"),
        ("fractions", r"u is float64\[\d+\], counts is of \d+ hits"),
        ("wraps", r"entry 0: u = 4294967\d+, not a whole number"),
        ("sensors", r"its sensors are 1\.1\.1, 1\.1\.2, 1\.2\.1, \.\.\.; needed is the order"),
    ],
)
def test_bad_hdf5_files_are_refused(tmp_path: Path, what: str, message: str) -> None:
    write_hitmaps(tmp_path / "a.h5", [toy_hits()], {})
    _damage(tmp_path / "a.h5", what)
    with pytest.raises(PartiganError, match=rf"a\.h5: {message}"):
        read_hitmaps(tmp_path / "a.h5")


def _header_alone(width: int, height: int) -> bytes:
    """A PNG that says how large it is and ends."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


def _spoil(folder: Path, what: str) -> None:
    """Spoil a folder of images."""
    image = folder / "1.1.1/0.png"
    if what == "sensor":
        image.parent.rename(folder / "3.1.1")
    elif what == "missing":
        image.unlink()
    elif what == "name":
        image.rename(image.with_stem("first"))
    elif what == "size":
        Image.fromarray(np.zeros((768, 250), np.uint8)).save(image)
    elif what == "JPEG":
        Image.fromarray(np.zeros((250, 768), np.uint8)).save(image, format="JPEG")
    elif what == "bomb":
        image.write_bytes(_header_alone(100_000, 100_000))
    elif what == "flipped":
        content = bytearray(image.read_bytes())
        content[-30] ^= 1
        image.write_bytes(content)
    elif what == "twice":
        (folder / "1.1.1/00.png").write_bytes(image.read_bytes())
    elif what == "pipe":
        image.unlink()
        os.mkfifo(image)
    elif what == "truncated":
        image.write_bytes(image.read_bytes()[:60])


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("sensor", r"3\.1\.1 is no PXD sensor"),
        ("missing", r"event 0 has no image of sensor 1\.1\.1"),
        ("name", r"1\.1\.1/first\.png: its name is not the number"),
        ("size", r"1\.1\.1/0\.png: L image of 768 x 250 pixels"),
        ("JPEG", r"1\.1\.1/0\.png cannot be read as PNG"),
        ("bomb", r"1\.1\.1/0\.png"),
        ("flipped", r"1\.1\.1/0\.png cannot be read as PNG"),
        ("twice", r"1\.1\.1/00?\.png and .*1\.1\.1/00?\.png are the same event"),
        ("pipe", r"1\.1\.1/0\.png is a pipe, not a file"),
        ("truncated", r"1\.1\.1/0\.png cannot be read as PNG"),
    ],
)
def test_bad_folders_of_images_are_refused(tmp_path: Path, what: str, message: str) -> None:
    write_hitmaps(tmp_path / "images", [toy_hits(1, 50, busy=(0,))], {})
    _spoil(tmp_path / "images", what)
    with pytest.raises(PartiganError, match=message):
        read_hitmaps(tmp_path / "images")
