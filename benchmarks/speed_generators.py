"""Rows of `speed.py`: forward passes of generators by torch, by compiled C and by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from partigan import config, generate, train
from partigan.data.jets import write_jets
from partigan.errors import PartiganError
from partigan.models.model import GROUP_VALUES
from partigan.models.native import NativeGenerator
from partigan.models.onnx.exporting import session, written
from side_by_side import Job, turns
from toy_jets import toy_jets

Row = tuple[str, dict[str, Any]]

FOUR_HEADS = {"system.generator.heads": 4}
CLOUDS = (
    ("mdma", 30, {}),
    ("mdma", 150, {}),
    ("mdma", 30, FOUR_HEADS),
    ("mdma", 150, FOUR_HEADS),
    ("epic", 30, {}),
    ("gapt", 30, {}),
    ("mpgan", 30, {}),
)
OTHERS = (("rgan", {"particles": 30, "features": 3}, 0), ("treegan", {"particles": 30, "features": 3}, 0))
TABLES = (("toys", {"features": 2, "classes": 1}, 1), ("cherenkov-cramer", {"features": 5, "conditions": 4}, 4))
GROWING = (("mdma", (30, 60, 150, 500), FOUR_HEADS), ("epic", (30, 60, 150, 500), {}), ("mpgan", (30, 60, 150), {}))
OF_PAIRS = {"mpgan": 57_600}  # pairs of particles in a group, whose number is what counts
BATCHES = (1, 16, 256)
ROWS = 4096  # samples of a turn's step that are no clouds
JETS = 100_000  # in a file


@torch.inference_mode()
def forward(
    preset: str, decided: dict[str, int], overrides: dict[str, Any], conditions: int, number: int, size: int = 0
) -> dict[str, Any]:
    """A generator's forward pass; ``size``: samples of a group, 0 = as many as suit it."""
    torch.manual_seed(1)
    system, transform, _ = config.build(config.resolve(config.read(preset, overrides), decided))
    plain = system.networks["generator"].deployed()
    width = decided.get("particles", 1)
    clouds = plain.masked and transform.masked
    at_once = OF_PAIRS[preset] // width**2 if preset in OF_PAIRS else GROUP_VALUES // width
    size = size or (max(at_once, 1) if clouds else ROWS)
    mask = torch.ones(size, width, dtype=torch.bool) if clouds else None
    condition = torch.rand(size, conditions) if conditions else None
    noise = plain.noise(size, mask, torch.Generator().manual_seed(1))
    jobs: dict[str, Job] = {"torch": lambda: len(plain(noise, condition))}
    with suppress(PartiganError):  # it may have none
        native = NativeGenerator(plain, condition, mask)
        jobs["native"] = lambda: len(native(noise, condition))
    given = {"noise": noise, "condition": condition, "mask": mask}
    given = {name: part.numpy() for name, part in given.items() if part is not None}
    with suppress(PartiganError):
        opened = session(written(plain, condition, mask).SerializeToString())
        jobs["ONNX"] = lambda: len(opened.run(None, given)[0])
    return turns(jobs, number)


def generation(folder: Path, threads: int, number: int) -> Iterator[Row]:
    """Generators of clouds and of tables, and files."""
    for preset, particles, overrides in CLOUDS:
        decided = {"particles": particles, "features": 3}
        yield f"`{preset}`{_heads(overrides)}, {particles} particles", forward(preset, decided, overrides, 0, number)
    for preset, decided, conditions in (*OTHERS, *TABLES):
        yield f"`{preset}`", forward(preset, decided, {}, conditions, number)
    yield "`mdma`, 30 particles, to a file", files(folder, threads, max(number // 2, 1))


def growth(number: int) -> Iterator[Row]:
    """More particles, and fewer jets at once."""
    for preset, sizes, overrides in GROWING:
        for particles in sizes:
            decided = {"particles": particles, "features": 3}
            row = forward(preset, decided, overrides, 0, max(number // 2, 1))
            yield f"`{preset}`{_heads(overrides)}, {particles} particles", row
    for size in BATCHES:
        row = forward("mdma", {"particles": 30, "features": 3}, FOUR_HEADS, 0, max(number // 2, 1), size)
        yield f"`mdma`{_heads(FOUR_HEADS)}, 30 particles, {size} at once", row


def _heads(overrides: dict[str, Any]) -> str:
    return "".join(f", {heads} heads" for heads in overrides.values())


def files(folder: Path, threads: int, number: int) -> dict[str, Any]:
    """`partigan generate`, to a file of jets."""
    write_jets(folder / "toys.h5", [toy_jets(1000, 30, 1)], {"flavour": "toy"})
    options = {"trainer.max_steps": 2, "trainer.validations": 1, "trainer.accelerator": "cpu"}
    run = train("mdma", folder / "toys.h5", folder / "run", 1, threads, overrides=options)
    jobs = {
        engine: lambda engine=engine: (
            generate(run.path, JETS, folder / f"{engine}.h5", engine=engine, threads=threads, overwrite=True) and JETS
        )
        for engine in ("torch", "native")
    }
    return turns(jobs, number)
