"""A recorded network as one C file: its constants, a function for each kind of step, and the samples' loop."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import torch
from torch import Tensor

from partigan.compiling import lanes
from partigan.errors import PartiganError
from partigan.models.native.functions import FUNCTIONS, PLAIN, REDUCED
from partigan.models.native.recording import Fixed, Lane, Program, Step, View
from partigan.models.native.sizes import NONE, ONE, Size
from partigan.models.native.views import END, arena, broadcast, collapsed, dense, flipped, index, loops

GROUPS = 3  # groups of samples that are made together
NEAR = 8192  # vectors that the nearest caches hold
LARGEST = 2**20  # vectors beyond which memory is slower than the arithmetic


@dataclass(frozen=True)
class Source:
    """A network in C.

    Attributes:
        code: of C11 with vector extensions, without the numbers.
        weights: all numbers, ``(n,)`` of single precision.
    """

    code: str
    weights: Tensor


def emit(program: Program) -> Source:
    """A network as code and numbers; networks of one architecture have the same code.

    Args:
        program: what the network does to a sample.

    Raises:
        PartiganError: a step that has no form in C, or a sample that is too large.
    """
    file = _File(program)
    if file.places[END] > LARGEST:
        raise PartiganError(f"needs {file.places[END] / 2**18:.3g} MB for a sample, beyond what caches hold")
    for step in program.steps:
        file.step(step)
    return Source(file.text(), torch.cat([torch.zeros(0), *(values.flatten() for values in file.constants)]))


class _File:
    """What is written so far."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.constants: list[Tensor] = []
        self.length = 0
        self.known: dict[int, int] = {}
        self.functions: dict[str, str] = {}
        self.calls: list[str] = []
        self.places = arena(program)

    def text(self) -> str:
        """The whole file."""
        noise, condition, mask = self.program.inputs
        inputs = (("noise", noise), ("condition", condition), ("mask", mask))
        parts = [lanes()]
        parts += ["", *self.functions.values()]
        body = "\n".join(f"    {call}" for call in self.calls)
        parts.append(
            "static void network(vf *work, const float *weights, int n, int groups) {\n"
            f"    (void)n, (void)weights;\n{body}\n}}\n"
        )
        of = {
            "WORK": str(self.places[END]),
            "GROUPS": str(GROUPS if GROUPS * self.places[END] <= NEAR else 1),
            "PARTICLES": str(self.program.particles),
            "NOISE": _values(noise),
            "CONDITION": _values(condition),
            "MADE": _values(self.program.output),
        }
        at = {label: str(0 if lane is None else self.places[lane.storage]) for label, lane in inputs}
        at["out"] = self._offset(self.program.output)
        ending = resources.files("partigan.models.native").joinpath("files/samples.c").read_text(encoding="utf-8")
        of |= {f"AT_{label.upper()}": place for label, place in at.items()}
        for key, value in of.items():
            ending = ending.replace(f"@{key}@", value)
        ending = ending.replace("@MASKED@", str(int(mask is not None)))
        return "\n".join(parts) + ending

    def _offset(self, lane: Lane) -> str:
        if dense(lane) is None:
            raise PartiganError("has an output that does not lie in one piece")
        return f"{self.places[lane.storage]} + {lane.offset.text()}"

    def step(self, step: Step) -> None:
        """Write one step."""
        name = step.name.rstrip("_") if not step.name.startswith("_") else step.name
        given, out = step.arguments, step.results[0]
        if name in ("mm", "bmm"):
            return self._multiply(out, given[0], given[1], None)
        if name in ("addmm", "baddbmm"):
            if any(step.options.get(key, 1) != 1 for key in ("alpha", "beta")):
                raise PartiganError(f"uses {step.name} with factors, which has no form in C")
            return self._multiply(out, given[1], given[2], given[0])
        if name in ("cat", "stack"):
            return self._joined(out, given[0], given[1] if len(given) > 1 else 0, name == "stack")
        if name in REDUCED:
            return self._reduced(name, out, *given)
        if name in ("_softmax", "_safe_softmax"):
            return self._softmax(out, given[0], given[1])
        if name == "native_layer_norm":
            return self._layer_norm(step)
        if name == "searchsorted":
            return self._searched(out, given[0], given[1], step.options)
        if name == "bucketize":
            return self._searched(out, given[1], given[0], step.options)
        if name == "gather":
            return self._gathered(out, *given)
        if name == "embedding":
            return self._looked_up(out, *given)
        if name == "index" and len(given[1]) == 1:
            return self._looked_up(out, given[0], given[1][0])
        if name == "native_batch_norm":
            return self._batch_norm(out, *given)
        if name == "clamp":
            low, high = (*given[1:], None, None)[:2]
            low = step.options.get("min", low)
            high = step.options.get("max", high)
            text = "{0}"
            views: list[Any] = [given[0]]
            for function, bound in (("most", low), ("least", high)):
                if bound is not None:
                    text = f"{function}({text}, {{{len(views)}}})"
                    views.append(bound)
            return self._each(out, text, views)
        if name == "pow":
            return self._power(out, *given)
        if name in ("add", "sub") and step.options.get("alpha", 1) != 1:
            sign = "+" if name == "add" else "-"
            return self._each(out, f"{{0}} {sign} {{2}} * {{1}}", [*given[:2], step.options["alpha"]])
        if name == "gelu" and step.options.get("approximate", "none") != "none":
            raise PartiganError("uses the approximate GELU, which has no form in C")
        if name not in FUNCTIONS:
            raise PartiganError(f"uses {step.name}, which has no form in C")
        return self._each(out, FUNCTIONS[name], [*given, *PLAIN.get(name, ())[len(given) - 1 :]])

    def _power(self, out: Lane, base: Any, exponent: Any) -> None:
        """Squares and roots by themselves."""
        plain = {2: "{0} * {0}", 3: "{0} * {0} * {0}", 0.5: "v_sqrt({0})", -0.5: "1.0f / v_sqrt({0})", -1: "1.0f / {0}"}
        if isinstance(exponent, int | float) and exponent in plain:
            self._each(out, plain[exponent], [base])
        else:
            self._each(out, "v_pow({0}, {1})", [base, exponent])

    def _each(self, out: Lane, text: str, given: Sequence[Any]) -> None:
        """``out[i] = f(a[i], b[i], ...)`` for all elements."""
        views = [out, *(broadcast(each, out.sizes) for each in given if isinstance(each, View))]
        sizes, strides = collapsed(out.sizes, [view.strides for view in views])
        pointers = [f"p{number}" for number in range(len(views))]
        places = [f"{p}[{index(s)}]" for p, s in zip(pointers, strides, strict=True)]
        values = iter(
            place if isinstance(view, Lane) else f"all({place})"
            for place, view in zip(places[1:], views[1:], strict=True)
        )
        filled = text.format(*(next(values) if isinstance(each, View) else f"all({_number(each)})" for each in given))
        self._call(loops(sizes, f"{places[0]} = {filled};"), views)

    def _reduced(self, name: str, out: Lane, x: View, dims: Any = None, *_: Any) -> None:
        """A sum, mean or extreme along dimensions."""
        rank = len(x.sizes)
        if isinstance(dims, int):
            dims = (dims,)
        gone = {d % rank for d in dims} if dims else {*range(rank)}
        kept = [d for d in range(rank) if d not in gone]
        strides = out.strides if len(out.sizes) == len(kept) else [out.strides[d] for d in kept]
        start, text = REDUCED[name]
        inner = [x.sizes[d] for d in sorted(gone)]
        place = f"p1[{index([x.strides[d] for d in kept], 'i')} + {index([x.strides[d] for d in sorted(gone)], 'j')}]"
        loop = loops(inner, f"found = {text.format('found', place)};", "j")
        if name == "mean":
            count = " * ".join(f"({size.text()})" for size in inner)
            loop += f" found = found / all((float)({count}));"
        body = f"{{ vf found = {start}; {loop} p0[{index(strides)}] = found; }}"
        self._call(loops([x.sizes[d] for d in kept], body), [out, x])

    def _softmax(self, out: Lane, x: View, dim: int) -> None:
        """Exponentials over their sum along a dimension, neighbours of the last other dimension side by side."""
        rank = len(x.sizes)
        dim %= rank
        others = [d for d in range(rank) if d != dim]
        many, before = others[-1:], others[:-1]
        number = x.sizes[many[0]].text() if many else "1"
        shown = []
        for p, view in enumerate((out, x)):
            place = index([view.strides[d] for d in before], "i")
            beside = view.strides[many[0]].text() if many else "0"
            shown.append(f"p{p} + {place}, {beside}, {view.strides[dim].text()}")
        body = f"softmax({number}, {x.sizes[dim].text()}, {', '.join(shown)});"
        self._call(loops([x.sizes[d] for d in before], body), [out, x])

    def _layer_norm(self, step: Step) -> None:
        """Mean 0 and variance 1 along the last dimensions, then an affine map."""
        x, shape, weight, bias, epsilon = step.arguments
        out, rank, last = step.results[0], len(x.sizes), len(shape)
        if last != 1:
            raise PartiganError("normalises layers of several dimensions, which has no form in C")
        kept = [*range(rank - 1)]
        there, here = (index([view.strides[d] for d in kept], "i") for view in (out, x))
        loop = f"for (int j = 0; j < {x.sizes[-1].text()}; j++)"
        a = f"p1[{here} + j * ({x.strides[-1].text()})]"
        scaled, views = f"({a} - mean) * scale", [out, x]
        for sign, part in (("*", weight), ("+", bias)):
            if part is not None:
                scaled += f" {sign} all(p{len(views)}[j * ({part.strides[0].text()})])"
                views.append(part)
        count = f"(float)({x.sizes[-1].text()})"
        body = (
            f"{{ vf mean = all(0.0f), scale = all(0.0f); {loop} mean += {a}; mean = mean / all({count}); "
            f"{loop} scale += ({a} - mean) * ({a} - mean); scale = 1.0f / v_sqrt(scale / all({count}) + "
            f"{_number(epsilon)}); {loop} p0[{there} + j * ({out.strides[-1].text()})] = {scaled}; }}"
        )
        self._call(loops([x.sizes[d] for d in kept], body), views)

    def _batch_norm(self, out: Lane, x: View, weight: Any, bias: Any, mean: Fixed, variance: Fixed, *rest: Any) -> None:
        """The affine map of each channel that running means make of it."""
        training, _, epsilon = rest
        if training:
            raise PartiganError("normalises batches, which are more than a sample")
        scale = (variance.values + epsilon).rsqrt() * (1 if weight is None else weight.values)
        shift = (0 if bias is None else bias.values) - mean.values * scale
        shape = tuple(size if d == 1 else ONE for d, size in enumerate(x.sizes))
        strides = tuple(ONE if d == 1 else NONE for d in range(len(shape)))
        self._each(out, "{0} * {1} + {2}", [x, *(Fixed(each, shape, strides) for each in (scale, shift))])

    def _searched(self, out: Lane, knots: View, x: Any, options: dict[str, Any]) -> None:
        """How many of a row of knots lie below each value of the same row."""
        if not isinstance(knots, Fixed) or not isinstance(x, Lane):
            raise PartiganError("searches among values of samples, which has no form in C")
        right = int(options.get("right", False) or options.get("side") == "right")
        row, place, here = index(knots.strides[:-1]), index(out.strides), index(x.strides)
        table = f"p1 + {row}, {knots.strides[-1].text()}, {knots.sizes[-1].text()}, {right}"
        each = f"for (int lane = 0; lane < LANES; lane++) p0[{place}][lane] = below({table}, p2[{here}][lane]);"
        self._call(loops(out.sizes, each), [out, knots, x])

    def _gathered(self, out: Lane, x: View, dim: int, at: Any, *_: Any) -> None:
        """The elements of each row whose numbers are given."""
        if dim % len(x.sizes) != len(x.sizes) - 1 or not isinstance(at, Lane):
            raise PartiganError("gathers along a dimension that is not the last, which has no form in C")
        rows = index(x.strides[:-1])
        number = f"p1[{rows} + (int)p2[{index(at.strides)}][lane] * ({x.strides[-1].text()})]"
        number = number + ("[lane]" if isinstance(x, Lane) else "")
        each = f"for (int lane = 0; lane < LANES; lane++) p0[{index(out.strides)}][lane] = {number};"
        self._call(loops(out.sizes, each), [out, x, at])

    def _looked_up(self, out: Lane, table: View, at: Any, *_: Any) -> None:
        """Rows of a table, such as one of each class, or its numbers."""
        if not isinstance(table, Fixed) or not isinstance(at, Lane) or len(table.sizes) > 2:
            raise PartiganError("looks up what differs from sample to sample, which has no form in C")
        row = f"(int)p2[{index(at.strides)}][lane] * ({table.strides[0].text()})"
        row += "".join(f" + i{len(out.sizes) - 1} * ({stride.text()})" for stride in table.strides[1:])
        each = f"for (int lane = 0; lane < LANES; lane++) p0[{index(out.strides)}][lane] = p1[{row}];"
        self._call(loops(out.sizes, each), [out, table, at])

    def _joined(self, out: Lane, parts: Sequence[View], dim: int, new: bool) -> None:
        """Copy each part to its place."""
        dim %= len(out.sizes)
        offset = out.offset
        for part in parts:
            sizes, strides = list(out.sizes), out.strides
            if new:
                sizes[dim] = ONE
                width = ONE
                rest = [d for d in range(len(sizes)) if d != dim]
                place = Lane(out.storage, offset, tuple(sizes[d] for d in rest), tuple(strides[d] for d in rest))
            else:
                width = part.sizes[dim]
                sizes[dim] = width
                place = Lane(out.storage, offset, tuple(sizes), strides)
            self._each(place, "{0}", [part])
            step = strides[dim].times(width)
            if step is None:
                raise PartiganError("has sizes that are no polynomial of the number of particles")
            offset = Size(offset.constant + step.constant, offset.linear + step.linear, offset.square + step.square)

    def _multiply(self, out: Lane, a: View, b: View, start: View | None) -> None:
        """Products of matrices, one by one where there are several."""
        first = None if start is None else broadcast(start, out.sizes)
        if isinstance(a, Fixed):  # the transposed product has the samples' numbers first
            a, b = flipped(b), flipped(a)
            out = flipped(out)
            first = None if first is None else flipped(first)
        rows, columns, terms = out.sizes[-2], out.sizes[-1], a.sizes[-1]
        thin = rows == ONE and isinstance(b, Fixed)  # groups of samples are the rows, so that weights are loaded once
        kinds = ("f" if isinstance(b, Fixed) else "v") + ("v" if isinstance(first, Lane) else "f")
        views: list[View] = [out, a, b, *([first] if first is not None else [])]
        several = len(out.sizes) == 3
        shown = []
        for number, view in enumerate(views):
            matrix = f" + i0 * ({view.strides[0].text()})" if several else ""
            apart = view.strides[-2].text()
            if thin and number != 2:
                apart = str(self.places[END]) if isinstance(view, Lane) else "0"
            shown.append(f"p{number}{matrix}, {apart}, {view.strides[-1].text()}")
        if first is None:
            shown.append("(const float *)0, 0, 0")
        sizes = ", ".join(("groups" if thin else rows.text(), columns.text(), terms.text()))
        body = loops(out.sizes[:1] if several else [], f"multiply_{kinds}({sizes}, {', '.join(shown)});")
        self._call(body, views, thin)

    def _call(self, body: str, views: Sequence[View], together: bool = False) -> None:
        """Call a function with this body, which is written once for all steps that do the same.

        Args:
            body: in C.
            views: what it works on.
            together: it does all groups of samples, not one.
        """
        kinds = ["vf *" if isinstance(view, Lane) else "const float *" for view in views]
        parameters = ", ".join(f"{kind}p{number}" for number, kind in enumerate(kinds))
        key = f"({parameters}, int n, int groups) {{\n    (void)n, (void)groups;\n    {body}\n}}\n"
        if key not in self.functions:
            self.functions[key] = f"static __attribute__((noinline)) void step_{len(self.functions)}{key}"
        number = list(self.functions).index(key)
        given = [self._address(view) for view in views]
        call = f"step_{number}({', '.join(given)}, n, groups);"
        each = (
            f"for (int group = 0; group < groups; group++) {{ vf *lanes = work + group * {self.places[END]}; {call} }}"
        )
        self.calls.append(call.replace("lanes + ", "work + ") if together else each)

    def _address(self, view: View) -> str:
        """Where a view begins."""
        if isinstance(view, Lane):
            offset = "" if view.offset == NONE else f" + {view.offset.text()}"
            return f"lanes + {self.places[view.storage]}{offset}"
        return self._constant(view.values)

    def _constant(self, values: Tensor) -> str:
        """Where numbers are that are the same for all samples."""
        if id(values) not in self.known:
            self.known[id(values)] = self.length
            self.constants.append(values)
            self.length += values.numel()
        return f"weights + {self.known[id(values)]}"


def _values(lane: Lane | None) -> str:
    """How many values a sample has of an input or output."""
    found: Size | None = NONE if lane is None else ONE
    for size in () if lane is None else lane.sizes:
        found = None if found is None else found.times(size)
    if found is None:
        raise PartiganError("has sizes that are no polynomial of the number of particles")
    return found.text()


def _number(value: Any) -> str:
    """A number in C, to single precision."""
    if isinstance(value, Size):
        return f"(float)({value.text()})"
    if isinstance(value, bool):
        return "1.0f" if value else "0.0f"
    if not isinstance(value, int | float):
        raise PartiganError(f"has an argument {value!r} that has no form in C")
    if math.isnan(value):
        return "NAN"
    if math.isinf(value) or abs(value) > torch.finfo(torch.float32).max:
        return "INFINITY" if value > 0 else "-INFINITY"
    text = f"{value:.9g}"
    return text + ("f" if "." in text or "e" in text else ".0f")
