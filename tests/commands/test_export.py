"""A run as a C program."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from helpers import JetFile, needs_compiler
from partigan import export, load, profile, train
from partigan.cli import main
from partigan.commands.profile import SIMULATORS
from partigan.compiling import FLAGS, compiler
from partigan.errors import PartiganError
from partigan.models.onnx.exporting import session

PHILOX = (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)  # the authors' known answer for counter and key 0


def trained(data: Path | dict[str, str], out: Path, preset: str, **options: object) -> Path:
    options |= {"trainer.max_steps": 2, "trainer.batch_size": 32, "trainer.validations": 1}
    return train(preset, data, out, 1, 1, overrides=options).path


@needs_compiler
@pytest.mark.parametrize("preset", ["mdma", "toys-wgan"])
def test_the_program_makes_the_samples_of_torch(
    preset: str, jet_file: JetFile, two_tables: dict[str, str], tmp_path: Path
) -> None:
    data, options = (jet_file(), {"system.generator.blocks": 1}) if preset == "mdma" else (two_tables["data"], {})
    run = trained(data, tmp_path / "run", preset, **options)  # type: ignore[arg-type]
    out = export(run, tmp_path / "c")
    about = json.loads((out / "about.json").read_text(encoding="utf-8"))
    assert about["kind"] == load(run).kind.name
    built([*FLAGS[:-3], "-Wall", "-Werror", "-c"], out / "generator.c", out / "generator.o")
    said = example(out).stdout
    assert "largest difference from torch" in said
    vector, code = ((out / name).read_text(encoding="utf-8") for name in ("test_vector.h", "example.c"))
    (out / "example.c").write_text(code.replace("partigan_draw(1,", "partigan_draw(0,"), encoding="utf-8")
    radius, phase = np.sqrt(-2 * np.log((PHILOX[0] + 1) / 2**32)), 2 * np.pi * PHILOX[1] / 2**32
    found = re.search(r"begins with (\S+) (\S+)", example(out).stdout)
    assert found is not None
    assert [float(x) for x in found.groups()] == pytest.approx(
        [radius * np.cos(phase), radius * np.sin(phase)], abs=1e-5
    )
    wrong = re.sub(r"(expected\[\d+\] = \{\n)[^,]+", r"\g<1>7000.0", vector)
    (out / "test_vector.h").write_text(wrong, encoding="utf-8")
    assert example(out).returncode == 1


def test_a_run_as_onnx(jet_file: JetFile, tmp_path: Path) -> None:
    """Metadata, and the example in C++ where there are headers of ONNX Runtime."""
    run = trained(jet_file(), tmp_path / "run", "mdma", **{"system.generator.blocks": 1})
    out = export(run, tmp_path / "onnx", "onnx")
    opened = session((out / "generator.onnx").read_bytes())
    about = {key: json.loads(value) for key, value in opened.get_modelmeta().custom_metadata_map.items()}
    assert about["kind"] == "jets"
    assert about["noise_mean_and_deviation"] == [0, 1]
    assert about["transform"]["class"] == "LogStandardise"
    assert about["manifest"] == load(run).manifest
    assert [each.name for each in opened.get_inputs()] == ["noise", "mask"]
    assert opened.get_inputs()[0].shape == ["batch", "particles", 3]
    if (headers := os.environ.get("ONNXRUNTIME_HEADERS")) is not None:
        library = next(Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.so*"))
        flags = ["-std=c++17", "-Wall", "-Werror", f"-I{headers}", str(library), f"-Wl,-rpath,{library.parent}"]
        subprocess.run(["c++", str(out / "example.cpp"), *flags, "-o", str(out / "example")], check=True)
        subprocess.run([str(out / "example"), str(out / "generator.onnx")], check=True)


def test_a_profile(
    two_tables: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = trained(two_tables["data"], tmp_path / "run", "toys-wgan"), tmp_path / "speed.json"
    monkeypatch.setattr("partigan.threads.TRIAL", 0.01)
    found = profile(run, out, threads=1)
    assert found == json.loads(out.read_text(encoding="utf-8"))
    forms = ["eager", "torch", *(["native"] if compiler() else [])]
    for form in forms:
        rate = found[form]["samples_per_second"]
        assert found[form]["share"] == pytest.approx(rate * found["operations_a_sample"] / found["operations_a_second"])
        assert found[form]["ms_for_one"] > 1e3 / rate
    network = load(run).deployed()
    products = sum(weight.numel() for weight in network.parameters() if weight.dim() == 2)
    assert found["operations_a_sample"] == 2 * products
    assert "inference form" in capsys.readouterr().out
    with pytest.raises(PartiganError, match=r"speed\.json exists"):
        profile(run, out)


def test_a_profile_with_the_simulator(
    jet_file: JetFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained(jet_file(), tmp_path / "run", "rgan")
    monkeypatch.setattr("partigan.threads.TRIAL", 0.01)
    monkeypatch.setitem(SIMULATORS, "jets", ("Pythia", lambda state: state["jet_pt"] / 1e3))
    found = profile(run, threads=1)
    seconds = load(run).conditions["jet_pt"] / 1e3
    assert found["simulator_ms"] == pytest.approx(1e3 * seconds)
    assert found["torch"]["speed_up"] == pytest.approx(seconds * found["torch"]["samples_per_second"])
    assert "Pythia: " in capsys.readouterr().out

    def missing(state: dict[str, object]) -> float:
        raise PartiganError("pythia8mc not installed")

    monkeypatch.setitem(SIMULATORS, "jets", ("Pythia", missing))
    assert "simulator_ms" not in profile(run, threads=1)


def built(flags: list[str], source: Path, out: Path, *libraries: str) -> None:
    subprocess.run([str(compiler()), *flags, str(source), "-o", str(out), *libraries], check=True)


def example(folder: Path) -> subprocess.CompletedProcess[str]:
    """What the example says, linked with the generator."""
    built(["-Wall", "-Werror", str(folder / "generator.o")], folder / "example.c", folder / "example", "-lm")
    return subprocess.run([str(folder / "example")], capture_output=True, text=True, check=False)


def test_what_cannot_be_exported(jet_file: JetFile, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = trained(jet_file(), tmp_path / "run", "mpgan")
    with pytest.raises(PartiganError, match="cannot be exported as C: MPGenerator has no form in C: its noise"):
        export(run, tmp_path / "c")
    assert not (tmp_path / "c").exists()
    (tmp_path / "c").mkdir()
    for out, *options in ("c",), ("d", "--format", "fortran"):
        with pytest.raises(SystemExit):
            main(["export", str(run), "--out", str(tmp_path / out), *options])
    said = capsys.readouterr().err
    assert "c exists; give --overwrite" in said
    assert "fortran" in said
