"""Operations of ATen as nodes of ONNX: shapes, parts and places of arrays, tables, and layers of images."""

from __future__ import annotations

import torch
from torch import Tensor

from partigan.errors import PartiganError
from partigan.models.onnx.graph import Graph
from partigan.models.onnx.operations import Writer
from partigan.models.onnx.tracing import Amount, Operation

END = 2**62  # beyond the end of every dimension


def _x(graph: Graph, step: Operation) -> str:
    return graph.of(step.given["self"])


def viewed(graph: Graph, step: Operation) -> str:
    """Another shape."""
    return graph.reshaped(_x(graph, step), step.given["self"].shape, step.made[0].shape)


def expanded(graph: Graph, step: Operation) -> str:
    """Repeated along dimensions of size 1."""
    return graph.expanded(_x(graph, step), step.given["self"].shape, step.made[0].shape)


def turned(graph: Graph, step: Operation) -> str:
    """Dimensions in another order."""
    order = [*range(len(step.made[0].shape))]
    if step.name == "permute":
        order = [d % len(order) for d in step.given["dims"]]
    elif order[1:]:
        one, other = (step.given["dim0"], step.given["dim1"]) if step.name == "transpose" else (0, 1)
        order[one], order[other] = order[other], order[one]
    return graph.add("Transpose", _x(graph, step), perm=order)


def sliced(graph: Graph, step: Operation) -> str:
    """A part of a dimension."""
    given = step.given
    if given["self"].shape == step.made[0].shape:
        return _x(graph, step)
    bounds = [given[name] for name in ("start", "end")]
    first, last = (END if value is None and end else value or 0 for end, value in enumerate(bounds))
    return _slice(graph, _x(graph, step), given["dim"], first, last, given["step"])


def _slice(graph: Graph, name: str, dim: int, first: int | Amount, last: int | Amount, by: int = 1) -> str:
    return graph.add("Slice", name, graph.amount(first), graph.amount(last), graph.whole([dim]), graph.whole([by]))


def selected(graph: Graph, step: Operation) -> str:
    """One of a dimension."""
    index = step.given["index"]
    at = graph.number(index, torch.int64) if isinstance(index, int) else graph.of(index)
    return graph.add("Gather", _x(graph, step), at, axis=step.given["dim"])


def split(graph: Graph, step: Operation) -> list[str]:
    """All parts of a dimension."""
    dim, name = step.given["dim"], _x(graph, step)
    if len(step.made) == 1:
        return [graph.add("Identity", name)]
    sizes = graph.shape([each.shape[dim] for each in step.made])
    return graph.several("Split", len(step.made), name, sizes, axis=dim)


def unbound(graph: Graph, step: Operation) -> list[str]:
    """Each of a dimension."""
    dim, name = step.given["dim"], _x(graph, step)
    return [graph.add("Gather", name, graph.number(k, torch.int64), axis=dim) for k in range(len(step.made))]


def joined(graph: Graph, step: Operation) -> str:
    """Arrays one after the other."""
    dim, made = step.given["dim"], step.made[0]
    dim %= len(made.shape)
    parts = [graph.of(part, made.kind) for part in step.given["tensors"] if part.shape != (0,)]
    if step.name == "stack":
        parts = [graph.add("Unsqueeze", part, graph.whole([dim])) for part in parts]
    return graph.add("Concat", *parts, axis=dim)


def repeated(graph: Graph, step: Operation) -> str:
    """Tiles."""
    repeats, x = step.given["repeats"], step.given["self"]
    shape = (1,) * (len(repeats) - len(x.shape)) + tuple(x.shape)
    return graph.add("Tile", graph.reshaped(_x(graph, step), x.shape, shape), graph.shape(repeats))


def flipped(graph: Graph, step: Operation) -> str:
    """Backwards."""
    name = _x(graph, step)
    for dim in step.given["dims"]:
        name = _slice(graph, name, dim, -1, -END, -1)
    return name


def placed(graph: Graph, step: Operation) -> str:
    """A part of a dimension with other numbers."""
    given, made = step.given, step.made[0]
    name, new, dim = _x(graph, step), graph.of(given["src"], made.kind), given["dim"] % len(made.shape)
    if step.name == "select_scatter":
        first, last = given["index"], given["index"] + 1
        first, last = (first, last) if first >= 0 else (made.shape[dim] + first, made.shape[dim] + last)
        new = graph.add("Unsqueeze", new, graph.whole([dim]))
    else:
        first, last = given["start"] or 0, END if given["end"] is None else given["end"]
        if given["step"] != 1:
            raise PartiganError("writes every second element, which has no form in ONNX")
    if first == 0 and given["src"].shape == made.shape:
        return new
    return graph.add("Concat", _slice(graph, name, dim, 0, first), new, _slice(graph, name, dim, last, END), axis=dim)


def diagonal(graph: Graph, step: Operation) -> str:
    """A matrix with another diagonal."""
    given, made = step.given, step.made[0]
    if given["offset"] != 0 or {d % len(made.shape) for d in (given["dim1"], given["dim2"])} != {
        len(made.shape) - 1,
        len(made.shape) - 2,
    }:
        raise PartiganError("writes a diagonal that has no form in ONNX")
    numbers = graph.once(
        "Range", graph.number(0, torch.int64), graph.of(made.shape[-1], torch.int64), graph.number(1, torch.int64)
    )
    same = graph.once("Equal", numbers, graph.once("Unsqueeze", numbers, graph.whole([1])))
    new = graph.add("Unsqueeze", graph.of(given["src"], made.kind), graph.whole([-1]))
    return graph.add("Where", same, new, _x(graph, step))


def gathered(graph: Graph, step: Operation) -> str:
    """Elements whose numbers are given along a dimension."""
    return graph.add("GatherElements", _x(graph, step), graph.of(step.given["index"]), axis=step.given["dim"])


def put(graph: Graph, step: Operation) -> str:
    """Places of a dimension with other numbers: both arrays one after the other, in another order."""
    given, made = step.given, step.made[0]
    if given["index"].values is None or not isinstance(size := made.shape[given["dim"]], int):
        raise PartiganError("decides by the values of samples")
    order = torch.arange(size)
    order[given["index"].values] = size + torch.arange(len(given["index"].values))
    both = graph.add("Concat", _x(graph, step), graph.of(given["source"], made.kind), axis=given["dim"])
    return graph.add("Gather", both, graph.constant(order), axis=given["dim"])


def looked_up(graph: Graph, step: Operation) -> str:
    """Rows of a table."""
    return graph.add("Gather", graph.of(step.given["weight"]), graph.of(step.given["indices"]), axis=0)


def scattered(graph: Graph, step: Operation) -> str:
    """Elements whose numbers are given along a dimension have other values, or more added to them."""
    made, given = step.made[0], step.given
    index = given["index"]
    new = given["src"] if "src" in given else given["value"]
    name = graph.of(new, made.kind)
    updates = name if "src" in given else graph.add("Expand", name, graph.shape(index.shape))
    if made.kind == torch.bool:
        base, updates = (graph.cast(each, torch.int32) for each in (_x(graph, step), updates))
        return graph.cast(graph.add("ScatterElements", base, graph.of(index), updates, axis=given["dim"]), torch.bool)
    reduction = "add" if step.name == "scatter_add" else "none"
    return graph.add(
        "ScatterElements", _x(graph, step), graph.of(index), updates, axis=given["dim"], reduction=reduction
    )


def indexed(graph: Graph, step: Operation) -> str:
    """Rows whose numbers are given; with several lists, of the first dimensions."""
    given = step.given["indices"]
    lists = [each for each in given if each is not None]
    if any(each.kind == torch.bool for each in lists):
        raise PartiganError("decides by the values of samples")
    if len(lists) == 1:
        return graph.add("Gather", _x(graph, step), graph.of(lists[0]), axis=given.index(lists[0]))
    if any(each is None for each in given[: len(lists)]):
        raise PartiganError("takes elements by lists of numbers that have no form in ONNX")
    rank = max(len(each.shape) for each in lists)
    shape = next(each.shape for each in lists if len(each.shape) == rank)
    parts = [
        graph.add("Unsqueeze", graph.add("Expand", graph.of(each), graph.shape(shape)), graph.whole([-1]))
        for each in lists
    ]
    return graph.add("GatherND", _x(graph, step), graph.add("Concat", *parts, axis=-1))


def ranked(graph: Graph, step: Operation) -> list[str]:
    """The largest or smallest, or all in order; equal ones in the order of their numbers."""
    given, x = step.given, step.given["self"]
    dim = given["dim"]
    name = graph.of(x, torch.int32 if x.kind in (torch.bool, torch.uint8) else None)
    largest = given["descending"] if step.name == "sort" else given["largest"]
    number = graph.amount(x.shape[dim] if step.name == "sort" else given["k"])
    values, at = graph.several("TopK", 2, name, number, axis=dim, largest=int(largest))
    return [graph.cast(values, x.kind) if x.kind in (torch.bool, torch.uint8) else values, at]


def searched(graph: Graph, step: Operation) -> str:
    """How many of a row of knots lie below each value of the same row: halving, knot by knot."""
    given = step.given
    knots, x = (
        given[name] for name in (("sorted_sequence", "self") if step.name == "searchsorted" else ("boundaries", "self"))
    )
    right = bool(given["right"] or given.get("side") == "right")
    count, made = knots.shape[-1], step.made[0]
    if not isinstance(count, int):
        raise PartiganError("searches among as many knots as there are particles, which has no form in ONNX")
    table, value, kind = graph.of(knots), graph.of(x), torch.int64
    one_row = len(knots.shape) == 1
    flat = graph.filled(0, kind, made.shape)
    step_size = 1 << (count.bit_length() - 1)
    while step_size:
        there = graph.add("Add", flat, graph.number(step_size, kind))
        at = graph.add("Min", there, graph.number(count, kind))
        at = graph.add("Sub", at, graph.number(1, kind))
        knot = graph.add("Gather", table, at) if one_row else graph.add("GatherElements", table, at, axis=-1)
        below = graph.add("LessOrEqual" if right else "Less", knot, value)
        inside = graph.add("LessOrEqual", there, graph.number(count, kind))
        flat = graph.add("Where", graph.add("And", below, inside), there, flat)
        step_size //= 2
    return flat if made.kind == kind else graph.cast(flat, made.kind)


def convolved(graph: Graph, step: Operation) -> str:
    """Convolutions, plain and transposed."""
    given = step.given
    padding = [*given["padding"]] * 2
    inputs = [graph.of(given[name]) for name in ("input", "weight", "bias") if given[name] is not None]
    options = {
        "strides": [*given["stride"]],
        "pads": padding,
        "dilations": [*given["dilation"]],
        "group": given["groups"],
    }
    if not isinstance(given["groups"], int):
        raise PartiganError("convolves each sample with weights of its own, which has no form in ONNX")
    if not given["transposed"]:
        return graph.add("Conv", *inputs, **options)
    return graph.add("ConvTranspose", *inputs, output_padding=[*given["output_padding"]], **options)


def batch_norm(graph: Graph, step: Operation) -> list[str]:
    """The affine map of each channel that running means make of it."""
    given = step.given
    if given.get("training"):
        return _own_norm(graph, step)
    mean, variance = given["running_mean"].values, given["running_var"].values
    weight, bias = (
        plain if given[name] is None else given[name].values
        for name, plain in (("weight", torch.ones_like(mean)), ("bias", torch.zeros_like(mean)))
    )
    inputs = (graph.constant(part) for part in (weight, bias, mean, variance))
    return [graph.add("BatchNormalization", graph.of(given["input"]), *inputs, epsilon=float(given["eps"]))]


def _own_norm(graph: Graph, step: Operation) -> list[str]:
    """Mean 0 and variance 1 of each channel, where samples have channels of their own."""
    x, axes = step.given["input"], graph.whole(range(2, len(step.made[0].shape)))
    if x.shape[0] != 1 or step.given["weight"] is not None:
        raise PartiganError("normalises batches, which are more than a sample")
    centred = graph.add("Sub", graph.of(x), graph.add("ReduceMean", graph.of(x), axes))
    variance = graph.add("ReduceMean", graph.add("Mul", centred, centred), axes)
    width = graph.add("Sqrt", graph.add("Add", variance, graph.number(step.given["eps"], x.kind)))
    return [graph.add("Div", centred, width)]


def layer_norm(graph: Graph, step: Operation) -> list[str]:
    """Mean 0 and variance 1 along the last dimensions, then an affine map."""
    given = step.given
    shape = [int(size) for size in given["normalized_shape"]]
    weight = graph.constant(torch.ones(shape)) if given["weight"] is None else graph.of(given["weight"])
    inputs = [graph.of(given["input"]), weight, *([] if given["bias"] is None else [graph.of(given["bias"])])]
    return [graph.add("LayerNormalization", *inputs, axis=-len(shape), epsilon=float(given["eps"]))]


def enlarged(graph: Graph, step: Operation) -> str:
    """Every pixel several times."""
    x, made = step.given["self"], step.made[0]
    factors = [new / old for old, new in zip(x.shape[2:], made.shape[2:], strict=True)]
    scales = graph.constant(torch.tensor([1.0, 1.0, *factors]))
    options = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return graph.add("Resize", _x(graph, step), "", scales, **options)


def patches(graph: Graph, step: Operation) -> str:
    """All patches of an image, as columns."""
    given, (batch, channels, height, width) = step.given, step.given["self"].shape
    places = []
    for d, size in enumerate((height, width)):
        kernel, by, apart, pad = (given[name][d] for name in ("kernel_size", "stride", "dilation", "padding"))
        number = (size + 2 * pad - apart * (kernel - 1) - 1) // by + 1
        places.append(torch.arange(number)[None] * by + torch.arange(kernel)[:, None] * apart)
    rows, columns = places
    top, left = given["padding"]
    padded = _x(graph, step)
    if top or left:
        padded = graph.add("Pad", padded, graph.whole([0, 0, top, left, 0, 0, top, left]))
    whole = (batch, channels, (height + 2 * top) * (width + 2 * left))
    flat = graph.reshaped(padded, (batch, channels, -1, -1), whole)
    at = rows[:, None, :, None] * (width + 2 * left) + columns[None, :, None, :]
    found = graph.add("Gather", flat, graph.constant(at.flatten()), axis=2)
    return graph.reshaped(found, whole, step.made[0].shape)


def shuffled(graph: Graph, step: Operation) -> str:
    """Channels to pixels."""
    return graph.add("DepthToSpace", _x(graph, step), blocksize=step.given["upscale_factor"], mode="CRD")


def padded(graph: Graph, step: Operation) -> str:
    """A constant around."""
    pad, rank = step.given["pad"], len(step.made[0].shape)
    pairs = [*zip(pad[::2], pad[1::2], strict=True)][::-1]
    pairs = [(0, 0)] * (rank - len(pairs)) + pairs
    amounts = graph.shape([low for low, _ in pairs] + [high for _, high in pairs])
    return graph.add("Pad", _x(graph, step), amounts, graph.number(step.given["value"], step.made[0].kind))


def pooled(graph: Graph, step: Operation) -> list[str]:
    """The largest, or the mean, of each patch."""
    given = step.given
    kernel = [*given["kernel_size"]] * (3 - len(given["kernel_size"]))
    strides = [*(given["stride"] or kernel)]
    pads = [*given["padding"]] * (4 // len(given["padding"]))
    op, options = ("MaxPool", {}) if "max" in step.name else ("AveragePool", {"count_include_pad": 1})
    return [graph.add(op, _x(graph, step), kernel_shape=kernel, strides=strides, pads=pads, **options)]


def averaged(graph: Graph, step: Operation) -> str:
    """Means of patches, which may differ in size: a product with a matrix for rows, and one for columns."""
    rows, columns = (
        _means(old, new)
        for old, new in zip(step.given["self"].shape[-2:], step.made[0].shape[-2:], strict=True)
        if isinstance(old, int) and isinstance(new, int)
    )
    return graph.add("MatMul", graph.constant(rows), graph.add("MatMul", _x(graph, step), graph.constant(columns.T)))


def _means(old: int, new: int) -> Tensor:
    """Which elements each mean is of, and with which weight, ``(new, old)``."""
    found, places = torch.zeros(new, old), torch.arange(new)
    for row, (first, last) in enumerate(zip(places * old // new, -(-(places + 1) * old // new), strict=True)):
        found[row, first:last] = 1 / (last - first)
    return found


def distances(graph: Graph, step: Operation) -> str:
    """Distances of all pairs."""
    if step.given["p"] != 2:
        raise PartiganError("uses a distance that is not that of Euclid, which has no form in ONNX")
    one = graph.add("Unsqueeze", graph.of(step.given["x1"]), graph.whole([-2]))
    other = graph.add("Unsqueeze", graph.of(step.given["x2"]), graph.whole([-3]))
    return graph.add("ReduceL2", graph.add("Sub", one, other), graph.whole([-1]), keepdims=0)


WRITERS: dict[str, Writer] = {
    **dict.fromkeys(("view", "_unsafe_view", "reshape", "unsqueeze", "squeeze", "_reshape_alias"), viewed),
    "expand": expanded,
    **dict.fromkeys(("permute", "transpose", "t"), turned),
    "slice": sliced,
    "select": selected,
    **dict.fromkeys(("split", "split_with_sizes"), split),
    "unbind": unbound,
    **dict.fromkeys(("cat", "stack"), joined),
    "repeat": repeated,
    "flip": flipped,
    **dict.fromkeys(("slice_scatter", "select_scatter"), placed),
    "diagonal_scatter": diagonal,
    "gather": gathered,
    "embedding": looked_up,
    **dict.fromkeys(("scatter", "scatter_add"), scattered),
    "index_copy": put,
    "index": indexed,
    **dict.fromkeys(("topk", "sort"), ranked),
    **dict.fromkeys(("searchsorted", "bucketize"), searched),
    "convolution": convolved,
    **dict.fromkeys(("native_batch_norm", "_native_batch_norm_legit_no_training"), batch_norm),
    "native_layer_norm": layer_norm,
    "upsample_nearest2d": enlarged,
    "im2col": patches,
    "pixel_shuffle": shuffled,
    "constant_pad_nd": padded,
    **dict.fromkeys(("max_pool2d_with_indices", "avg_pool2d"), pooled),
    "_adaptive_avg_pool2d": averaged,
    "_cdist_forward": distances,
}
