"""``partigan export``: a trained run as files for other programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from partigan import __version__
from partigan.errors import PartiganError
from partigan.extras import require
from partigan.files import refuse_existing, sha256, write_json
from partigan.folders import atomic_folder
from partigan.models.basf2.exporting import basf2_files
from partigan.models.model import Model, load
from partigan.models.native.physical import c_files
from partigan.outputs import writing
from partigan.run import Run, known_run


def _onnx(model: Model) -> Mapping[str, str | bytes]:
    require("onnx", "onnx", "onnxruntime")
    from partigan.models.onnx.exporting import onnx_files

    return onnx_files(model)


def _par04(model: Model) -> Mapping[str, str | bytes]:
    require("onnx", "onnx", "onnxruntime")
    from partigan.models.onnx.par04 import par04_files

    return par04_files(model)


_FILES: dict[str, Callable[[Model], Mapping[str, str | bytes]]] = {
    "c": c_files,
    "onnx": _onnx,
    "par04": _par04,
    "basf2": basf2_files,
}


def export(
    run: str | Path,
    out: Path,
    format: Literal["c", "onnx", "par04", "basf2"] = "c",
    overwrite: bool = False,
    trust: bool = False,
    verify: bool = True,
) -> Path:
    """Write a run's generator as files for other programs.

    As C: ``generator.c`` and ``generator.h`` make noise, and samples in physical units, with no library but libm;
    ``example.c`` makes those of ``test_vector.h`` and compares them with torch's; ``CMakeLists.txt`` builds both.
    As ONNX: ``generator.onnx`` takes noise, conditions and masks, and gives samples in physical units;
    ``example.cpp`` does so with ONNX Runtime. For basf2: ``generator.py`` with the class ``Model`` and the function
    ``generate``, which needs torch and numpy alone, and ``generator.pt``, its state.
    ``about.json`` says where the run comes from and what its conditions are.

    Args:
        run: run directory, or the name of a run that comes with partigan.
        out: folder to make.
        format: c, onnx, par04: ONNX as Geant4's example Par04 takes it, for calorimeter showers; or basf2: for its
            generator of PXD background.
        overwrite: replace an existing folder.
        trust: follow class paths outside partigan.
        verify: refuse a run whose files were changed since it was made.

    Returns:
        The folder.

    Raises:
        PartiganError: not a run, no generator, none that has this form, or an existing output.
    """
    refuse_existing(out, overwrite)
    model = load(run, trust, verify)
    model.generator  # noqa: B018  # refuses networks that do not generate
    try:
        files = _FILES[format](model)
    except PartiganError as error:
        name = {"c": "C", "onnx": "ONNX", "par04": "ONNX for Par04", "basf2": "a model for basf2"}[format]
        said = f"{run} cannot be exported as {name}: {error}".replace("; take --engine torch", "")
        raise PartiganError(said) from error
    trained = Run(known_run(run))
    about = {
        "kind": model.kind.name,
        "made_by": f"partigan {__version__}",
        "conditions": model.conditions,
        "manifest": model.manifest,
        "generator_sha256": sha256(trained.weights),
    }
    with writing(out, [trained.path], overwrite=overwrite), atomic_folder(out, "partigan export") as folder:
        for name, content in files.items():
            (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
        write_json(folder / "about.json", about)
    return out
