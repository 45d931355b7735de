"""A model as one ONNX file, compared with torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from typing import Any

import onnx
import onnxruntime
import torch
from onnx import helper
from torch import Tensor

from partigan import __version__
from partigan.errors import PartiganError
from partigan.models.model import EXAMPLES, Model
from partigan.models.native.network import recorded_particles
from partigan.models.native.physical import PhysicalGenerator, test_vector
from partigan.models.onnx import arrays, operations
from partigan.models.onnx.graph import KINDS, Graph, Sizes
from partigan.models.onnx.tracing import Array, Trace, trace
from partigan.nets.contracts import Generator
from partigan.randomness import rng_for

OPSET, IR = 18, 8  # of the end of 2022: what runs today reads them
AGREEMENT = 1e-4  # difference from torch, relative to the largest value
DECIDED = 5e-3  # share of values that may differ by more, where rounding decides
CHECKED = 16  # samples that are compared
PLAIN = ("example.cpp", "CMakeLists.txt")
INPUTS = ("noise", "condition", "mask")
SHAPES_ONLY = {*operations.FILLED, "fill", "full_like", "copy"}  # whose tensor gives its shape alone
WRITERS = {**operations.WRITERS, **arrays.WRITERS}


def onnx_files(model: Model) -> dict[str, str | bytes]:
    """A generator as ONNX with a program that uses it, by name of the file.

    Inputs of ``generator.onnx`` are ``noise``, and ``condition`` and ``mask`` where there are such; its output,
    ``sample``, has physical units. Noise is an input, since random numbers inside a model cannot be seeded.

    Args:
        model: with a generator.

    Raises:
        PartiganError: an operation that has no form in ONNX, or samples that are not torch's.
    """
    condition, mask = model.kind.conditions.draw(model.conditions, EXAMPLES, rng_for("onnx"))
    return files_of(model, physical_of(model), condition, mask if model.transform.masked else None)


def physical_of(model: Model) -> PhysicalGenerator:
    """A model's generator in physical units."""
    return PhysicalGenerator(model.generator.plain(), model.transform).eval()


def files_of(
    model: Model, generator: Generator, condition: Tensor | None, mask: Tensor | None
) -> dict[str, str | bytes]:
    """A form of a model's generator as ONNX, with its metadata and a program.

    Args:
        model: which it is of.
        generator: the form.
        condition: as for `written`.
        mask: as for `written`.

    Raises:
        PartiganError: as for `onnx_files`.
    """
    name, normal = type(model.network).__name__, model.generator.deployed().normal
    try:
        made = written(generator, condition, mask)
    except PartiganError as error:
        raise PartiganError(f"{name} has no form in ONNX, since it {error}") from error
    about = {
        "kind": model.kind.name,
        "made_by": f"partigan {__version__}",
        "noise": "normal numbers" if normal else f"of its own distribution, that of {name}.noise",
        "noise_mean_and_deviation": normal,
        "conditions": model.conditions,
        "transform": {"class": type(model.transform).__name__, **model.transform.state()},
        "manifest": model.manifest,
    }
    helper.set_model_props(made, {key: json.dumps(value) for key, value in about.items()})
    data = made.SerializeToString()
    check(data, generator, condition, mask)
    files = resources.files("partigan.models.onnx").joinpath("files")
    plainly = {name: files.joinpath(name).read_text(encoding="utf-8") for name in PLAIN}
    return {**plainly, "generator.onnx": data, "test_vector.h": test_vector(generator, condition, mask, "int64_t")}


def session(data: bytes) -> Any:
    """An opened model, with one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


@torch.inference_mode()
def check(data: bytes, physical: Generator, condition: Tensor | None, mask: Tensor | None) -> None:
    """Compare with torch; a value where rounding decides, such as whether a pixel is hit, may be another.

    Args:
        data: the model.
        physical: what it was made of.
        condition: as for `written`.
        mask: as for `written`.

    Raises:
        PartiganError: they differ.
    """
    condition, mask = (None if part is None else part[torch.arange(CHECKED) % len(part)] for part in (condition, mask))
    noise = physical.noise(CHECKED, mask, rng_for("check"))
    wanted = physical(noise, condition, mask)
    opened = session(data)
    given = {
        name: part.numpy() for name, part in zip(INPUTS, (noise, condition, mask), strict=True) if part is not None
    }
    found = torch.from_numpy(opened.run(None, given)[0])
    share = float(((found - wanted).abs() > AGREEMENT * wanted.abs().max()).double().mean())
    if found.shape != wanted.shape or not share <= DECIDED:
        raise PartiganError(f"its samples in ONNX differ from torch's in {share:.2g} of all values")


@torch.inference_mode(False)
def written(generator: Generator, condition: Tensor | None, mask: Tensor | None) -> onnx.ModelProto:
    """A generator as ONNX.

    Args:
        generator: in its deployed form.
        condition: those of samples, as it takes them; None = none.
        mask: of clouds, ``(samples, particles)``; None for others.

    Raises:
        PartiganError: an operation that has no form in ONNX.
    """
    rng = rng_for("onnx")

    def inputs(batch: int, particles: int) -> Sequence[Tensor | None]:
        rows = torch.arange(batch)
        seen = None if condition is None else condition[rows % len(condition)].clone()
        real = None
        if mask is not None:  # one cloud has padding, the other none
            real = torch.arange(particles) < torch.where(rows == 0, max(particles - 1, 1), particles)[:, None]
        return generator.noise(batch, real, rng).contiguous(), seen, real

    numbers = (0, 0, 0) if mask is None else recorded_particles(mask.shape[1] - 1)  # parts of all, each time
    return _model(trace(generator, inputs, numbers))


def _model(found: Trace) -> onnx.ModelProto:
    """All nodes in order, with inputs and output."""
    given = [(name, array) for name, array in zip(INPUTS, found.inputs, strict=True) if array is not None]
    graph = Graph("noise", "mask" if found.inputs[2] is not None else None)
    graph.names = {array.number: name for name, array in given}
    needed = _needed(found)
    for step, used in zip(found.operations, needed, strict=True):
        if not used:
            continue
        if step.name not in WRITERS:
            raise PartiganError(f"uses {step.name}, which has no form in ONNX")
        names = WRITERS[step.name](graph, step)
        for array, name in zip(step.made, [names] if isinstance(names, str) else names, strict=False):
            graph.names[array.number] = name
    graph.nodes.append(helper.make_node("Identity", [graph.of(found.output)], ["sample"]))
    made = helper.make_graph(
        graph.nodes,
        "generator",
        [_declared(name, array.kind, array.shape) for name, array in given],
        [_declared("sample", found.output.kind, found.output.shape)],
        graph.initializers,
    )
    return helper.make_model(
        made,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR,
        producer_name="partigan",
        producer_version=__version__,
    )


def _needed(found: Trace) -> list[bool]:
    """Which operations the output depends on."""
    alive, needed = {found.output.number}, []
    for step in reversed(found.operations):
        used = any(each.number in alive and each.values is None for each in step.made)
        needed.append(used)
        if used and step.name not in SHAPES_ONLY:
            alive |= {each.number for each in _arrays(step.given) if each.values is None}
        elif used:
            alive |= {each.number for key, each in step.given.items() if key != "self" and isinstance(each, Array)}
    return needed[::-1]


def _arrays(value: Any) -> list[Array]:
    if isinstance(value, Array):
        return [value]
    values = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else ()
    return [each for part in values for each in _arrays(part)]


def _declared(name: str, kind: torch.dtype, sizes: Sizes) -> onnx.ValueInfoProto:
    """Name, kind and shape of an input or output; what varies has a name."""
    shown = [
        size if isinstance(size, int) else "batch" if d == 0 else "particles" if d == 1 else f"{name}_{d}"
        for d, size in enumerate(sizes)
    ]
    return helper.make_tensor_value_info(name, KINDS[kind], shown)
