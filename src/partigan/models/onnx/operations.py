"""Operations of ATen as nodes of ONNX: elementwise functions, products, sums and shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from partigan.errors import PartiganError
from partigan.models.onnx.graph import Graph
from partigan.models.onnx.tracing import Amount, Array, Operation

Writer = Callable[[Graph, Operation], "str | list[str]"]
SAME = ("_to_copy", "clone", "detach", "alias", "contiguous", "lift_fresh", "lift_fresh_copy", "_conj")
FILLED = {
    **dict.fromkeys(("zeros", "new_zeros", "zeros_like", "empty", "new_empty", "empty_like"), 0),
    **dict.fromkeys(("ones", "new_ones", "ones_like"), 1),
}
PLAIN = {
    **{
        name: name.capitalize()
        for name in (
            "exp",
            "log",
            "erf",
            "tanh",
            "sigmoid",
            "sqrt",
            "sin",
            "cos",
            "tan",
            "atan",
            "asinh",
            "sinh",
            "cosh",
        )
    },
    **{name: name.capitalize() for name in ("floor", "ceil", "round", "sign", "abs", "neg", "reciprocal", "relu")},
    "maximum": "Max",
    "minimum": "Min",
    "isnan": "IsNaN",
}
COMPARED = {"eq": "Equal", "lt": "Less", "le": "LessOrEqual", "gt": "Greater", "ge": "GreaterOrEqual"}
LOGIC = {"and": "And", "or": "Or", "xor": "Xor", "not": "Not"}
REDUCED = {"sum": "ReduceSum", "mean": "ReduceMean", "amax": "ReduceMax", "amin": "ReduceMin", "prod": "ReduceProd"}
TERMS = 30  # of the continued fraction
# of the inverse error function, around 0 and in the tails
NEAR = (2.81022636e-8, 3.43273939e-7, -3.5233877e-6, -4.39150654e-6, 2.1858087e-4, -1.25372503e-3, -4.17768164e-3)
FAR = (-2.00214257e-4, 1.00950558e-4, 1.34934322e-3, -3.67342844e-3, 5.73950773e-3, -7.6224613e-3, 9.43887047e-3)
POLYNOMIALS = ((*NEAR, 0.246640727, 1.50140941), (*FAR, 1.00167406, 2.83297682))


def _kinds(*values: Any) -> torch.dtype:
    """The kind that torch computes with."""
    found = [torch.empty((2,) * min(len(v.shape), 1), dtype=v.kind) if isinstance(v, Array) else v for v in values]
    found = [0 if isinstance(v, Amount) else v for v in found]
    kind = torch.result_type(found[0], found[-1]) if len(found) > 1 else torch.result_type(found[0], found[0])
    return kind


def binary(op: str) -> Writer:
    """A function of two."""

    def write(graph: Graph, step: Operation) -> str:
        kind, given = step.made[0].kind, step.given
        one, other = graph.of(given["self"], kind), graph.of(given["other"], kind)
        if (alpha := given.get("alpha", 1)) != 1:
            other = graph.add("Mul", other, graph.of(alpha, kind))
        if step.given.get("rounding_mode") is not None:
            raise PartiganError("divides whole numbers, which has no form in ONNX")
        return graph.add(op, one, other)

    return write


def plain(op: str) -> Writer:
    """A function of one or two without more arguments."""

    def write(graph: Graph, step: Operation) -> str:
        values = [value for value in step.given.values() if isinstance(value, Array)]
        return graph.add(op, *(graph.of(value, values[0].kind) for value in values))

    return write


def compared(op: str, negated: bool = False) -> Writer:
    """A comparison."""

    def write(graph: Graph, step: Operation) -> str:
        one, other = step.given["self"], step.given["other"]
        kind = _kinds(one, other)
        kind = torch.int32 if kind in (torch.bool, torch.uint8) else kind
        found = graph.add(op, graph.of(one, kind), graph.of(other, kind))
        return graph.add("Not", found) if negated else found

    return write


def logic(op: str) -> Writer:
    """Of true and false."""

    def write(graph: Graph, step: Operation) -> str:
        values = [step.given[name] for name in ("self", "other") if name in step.given]
        return graph.add(op, *(graph.of(value, torch.bool) for value in values))

    return write


def reduced(op: str) -> Writer:
    """A sum, mean or extreme along dimensions."""

    def write(graph: Graph, step: Operation) -> str:
        x, dims = step.given["self"], step.given.get("dim")
        dims = [dims] if isinstance(dims, int) else dims
        axes = [*(dims or range(len(x.shape)))]
        name = graph.of(x, step.made[0].kind)
        return graph.add(op, name, graph.whole(axes), keepdims=int(bool(step.given.get("keepdim", False))))

    return write


def truth(op: str) -> Writer:
    """Whether any, or all, are true."""

    def write(graph: Graph, step: Operation) -> str:
        dim = step.given.get("dim")
        axes = [dim] if isinstance(dim, int) else [*(dim or range(len(step.given["self"].shape)))]
        whole = graph.cast(graph.of(step.given["self"], torch.bool), torch.int32)
        found = graph.add(op, whole, graph.whole(axes), keepdims=int(bool(step.given.get("keepdim", False))))
        return graph.cast(found, torch.bool)

    return write


def extreme(graph: Graph, step: Operation) -> str | list[str]:
    """The largest or smallest of all, or of a dimension with its place."""
    op, name = step.name.capitalize(), graph.of(step.given["self"])
    keep = int(bool(step.given.get("keepdim", False)))
    if "dim" not in step.given:
        return graph.add(f"Reduce{op}", name, keepdims=0)
    at = graph.add(f"Arg{op}", name, axis=step.given["dim"], keepdims=keep)
    return [graph.add(f"Reduce{op}", name, graph.whole([step.given["dim"]]), keepdims=keep), at]


def place(graph: Graph, step: Operation) -> str:
    """Where the largest or smallest is."""
    dim = step.given["dim"]
    if dim is None:
        raise PartiganError("looks for the largest of all samples, which has no form in ONNX")
    keep = int(bool(step.given["keepdim"]))
    return graph.add(f"Arg{step.name[3:].capitalize()}", graph.of(step.given["self"]), axis=dim, keepdims=keep)


def clamped(graph: Graph, step: Operation) -> str:
    """Within bounds."""
    kind, name = step.made[0].kind, graph.of(step.given["self"], step.made[0].kind)
    for op, bound in (("Max", step.given.get("min")), ("Min", step.given.get("max"))):
        if bound is not None:
            name = graph.add(op, name, graph.of(bound, kind))
    return name


def raised(graph: Graph, step: Operation) -> str:
    """Powers; squares and roots by themselves."""
    kind = step.made[0].kind
    base, exponent = graph.of(step.given["self"], kind), step.given["exponent"]
    if exponent == 2:
        return graph.add("Mul", base, base)
    if exponent in (0.5, -0.5):
        root = graph.add("Sqrt", base)
        return root if exponent > 0 else graph.add("Reciprocal", root)
    return graph.add("Pow", base, graph.of(exponent, kind))


def chosen(graph: Graph, step: Operation) -> str:
    """One or the other."""
    kind = step.made[0].kind
    if step.name == "masked_fill":
        values = (step.given["mask"], step.given["value"], step.given["self"])
    else:
        values = (step.given["condition"], step.given["self"], step.given["other"])
    return graph.add("Where", graph.of(values[0], torch.bool), *(graph.of(value, kind) for value in values[1:]))


def written(graph: Graph, step: Operation) -> str:
    """Functions that ONNX has not, or with other arguments."""
    made, given = step.made[0], step.given
    kind = made.kind
    x = graph.of(given["self"], kind)

    def number(value: float) -> str:
        return graph.number(value, kind)

    if step.name == "gelu":
        if given["approximate"] != "none":
            raise PartiganError("uses the approximate GELU, which has no form in ONNX")
        half = graph.add("Mul", x, number(0.5))
        return graph.add(
            "Mul", half, graph.add("Add", graph.add("Erf", graph.add("Mul", x, number(0.5**0.5))), number(1))
        )
    if step.name == "silu":
        return graph.add("Mul", x, graph.add("Sigmoid", x))
    if step.name == "leaky_relu":
        return graph.add("LeakyRelu", x, alpha=float(given["negative_slope"]))
    if step.name == "elu":
        return graph.add("Elu", x, alpha=float(given["alpha"]))
    if step.name == "softplus":
        x = graph.add("Mul", x, number(given["beta"])) if given["beta"] != 1 else x
        low = graph.add("Exp", graph.add("Neg", graph.add("Abs", x)))
        found = graph.add("Add", graph.add("Relu", x), _log1p(graph, low, kind))
        return graph.add("Mul", found, number(1 / given["beta"])) if given["beta"] != 1 else found
    if step.name == "log1p":
        return _log1p(graph, x, kind)
    if step.name == "expm1":  # tanh(x / 2) (e^x + 1)
        low = graph.add("Max", graph.add("Tanh", graph.add("Mul", x, number(0.5))), number(-1))
        return graph.add("Mul", low, graph.add("Add", graph.add("Exp", x), number(1)))
    if step.name == "rsqrt":
        return graph.add("Reciprocal", graph.add("Sqrt", x))
    if step.name == "square":
        return graph.add("Mul", x, x)
    if step.name == "rsub":
        return graph.add("Sub", graph.of(given["other"], kind), x)
    if step.name == "lerp":
        end, share = graph.of(given["end"], kind), graph.of(given["weight"], kind)
        return graph.add("Add", x, graph.add("Mul", share, graph.add("Sub", end, x)))
    if step.name == "addcmul":
        product = graph.add("Mul", graph.of(given["tensor1"], kind), graph.of(given["tensor2"], kind))
        if given["value"] != 1:
            product = graph.add("Mul", product, graph.of(given["value"], kind))
        return graph.add("Add", x, product)
    if step.name == "atan2":
        return _atan2(graph, x, graph.of(given["other"], kind), kind)
    if step.name == "linalg_vector_norm":
        if given["ord"] != 2:
            raise PartiganError("uses a norm that is not that of Euclid, which has no form in ONNX")
        return graph.add("ReduceL2", x, graph.whole([*given["dim"]]), keepdims=int(given["keepdim"]))
    return _log_ndtr(graph, x, kind) if step.name == "special_log_ndtr" else _ndtri(graph, x, kind)


def _log_ndtr(graph: Graph, x: str, kind: torch.dtype) -> str:
    """Logarithm of the share of normal numbers below x; tails by Laplace's continued fraction."""

    def number(value: float) -> str:
        return graph.number(value, kind)

    scaled = graph.add("Mul", x, number(0.5**0.5))
    share = graph.add("Mul", graph.add("Add", graph.add("Erf", scaled), number(1)), number(0.5))
    z = graph.add("Max", graph.add("Abs", scaled), number(2**0.5))
    total = z
    for k in range(TERMS, 0, -1):
        total = graph.add("Add", z, graph.add("Div", number(k / 2), total))
    far = graph.add("Log", graph.add("Mul", total, number(2 * torch.pi**0.5)))
    far = graph.add("Neg", graph.add("Add", far, graph.add("Mul", z, z)))
    above = _log1p(graph, graph.add("Neg", graph.add("Exp", far)), kind)
    middle = graph.add("Where", graph.add("Greater", x, number(2)), above, graph.add("Log", share))
    return graph.add("Where", graph.add("Less", x, number(-2)), far, middle)


def _log1p(graph: Graph, x: str, kind: torch.dtype) -> str:
    """``x log(u) / (u - 1)`` with ``u = 1 + x``, whose rounding cancels."""
    one = graph.number(1, kind)
    u = graph.add("Add", x, one)
    rest = graph.add("Sub", u, one)
    tiny = graph.add("Equal", rest, graph.number(0, kind))
    safe = graph.add("Where", tiny, one, rest)
    return graph.add("Where", tiny, x, graph.add("Mul", graph.add("Log", u), graph.add("Div", x, safe)))


def _atan2(graph: Graph, y: str, x: str, kind: torch.dtype) -> str:
    """Of the half angle: ``2 atan(y / (r + x))``, or ``2 atan((r - x) / y)`` where x is negative."""
    zero = graph.number(0, kind)
    r = graph.add("Sqrt", graph.add("Add", graph.add("Mul", x, x), graph.add("Mul", y, y)))
    left = graph.add("Less", x, zero)
    over = graph.add("Where", left, graph.add("Sub", r, x), y)
    under = graph.add("Where", left, y, graph.add("Add", r, x))
    nothing = graph.add("Equal", under, zero)
    ratio = graph.add("Div", over, graph.add("Where", nothing, graph.number(1, kind), under))
    angle = graph.add("Mul", graph.add("Atan", ratio), graph.number(2, kind))
    behind = graph.add("And", nothing, left)
    return graph.add("Where", behind, graph.number(torch.pi, kind), angle)


def _ndtri(graph: Graph, p: str, kind: torch.dtype) -> str:
    """Quantiles of the normal distribution (M. Giles, Approximating the erfinv function, GPU Computing Gems, 2011)."""
    y = graph.add("Sub", graph.add("Add", p, p), graph.number(1, kind))
    rest = graph.add("Mul", graph.number(4, kind), graph.add("Mul", p, graph.add("Sub", graph.number(1, kind), p)))
    w = graph.add("Neg", graph.add("Log", rest))
    near = graph.add("Less", w, graph.number(5, kind))
    found = []
    for start, numbers in (
        (graph.add("Sub", w, graph.number(2.5, kind)), POLYNOMIALS[0]),
        (graph.add("Sub", graph.add("Sqrt", w), graph.number(3, kind)), POLYNOMIALS[1]),
    ):
        total = graph.number(numbers[0], kind)
        for each in numbers[1:]:
            total = graph.add("Add", graph.add("Mul", total, start), graph.number(each, kind))
        found.append(total)
    return graph.add("Mul", graph.add("Mul", graph.add("Where", near, *found), y), graph.number(2**0.5, kind))


def product(graph: Graph, step: Operation) -> str:
    """Products of matrices."""
    given = step.given
    if step.name in ("addmm", "baddbmm"):
        if given["alpha"] != 1 or given["beta"] != 1:
            raise PartiganError(f"uses {step.name} with factors, which has no form in ONNX")
        one, other = (
            graph.of(given[name]) for name in (("mat1", "mat2") if step.name == "addmm" else ("batch1", "batch2"))
        )
        if step.name == "addmm" and len(given["self"].shape) == 1:
            return graph.add("Gemm", one, other, graph.of(given["self"]))
        return graph.add("Add", graph.of(given["self"]), graph.add("MatMul", one, other))
    return graph.add("MatMul", graph.of(given["self"]), graph.of(given["mat2" if "mat2" in given else "vec"]))


def softmax(graph: Graph, step: Operation) -> str:
    """Exponentials over their sum."""
    op = "LogSoftmax" if "log" in step.name else "Softmax"
    return graph.add(op, graph.of(step.given["self"]), axis=step.given["dim"])


def summed(graph: Graph, step: Operation) -> str:
    """Sums so far."""
    kind = step.made[0].kind
    return graph.add("CumSum", graph.of(step.given["self"], kind), graph.number(step.given["dim"], torch.int64))


def filled(graph: Graph, step: Operation) -> str:
    """The same number everywhere."""
    made = step.made[0]
    value: Any = FILLED.get(step.name, step.given.get("fill_value", step.given.get("value", step.given.get("s"))))
    if isinstance(value, Array | Amount):
        return graph.add("Expand", graph.of(value, made.kind), graph.shape(made.shape))
    return graph.filled(value, made.kind, made.shape)


def counted(graph: Graph, step: Operation) -> str:
    """0, 1, 2, ..."""
    start, end, by = (step.given.get(name) or default for name, default in (("start", 0), ("end", 0), ("step", 1)))
    return graph.add("Range", *(graph.of(value, step.made[0].kind) for value in (start, end, by)))


def same(graph: Graph, step: Operation) -> str:
    """The same numbers, perhaps of another kind."""
    return graph.of(step.given["self"], step.made[0].kind)


def copied(graph: Graph, step: Operation) -> str:
    """Numbers in the place of others."""
    return graph.expanded(graph.of(step.given["src"], step.made[0].kind), step.given["src"].shape, step.made[0].shape)


WRITERS: dict[str, Writer] = {
    **{name: plain(op) for name, op in PLAIN.items()},
    **{name: compared(op) for name, op in COMPARED.items()},
    "ne": compared("Equal", True),
    **{name: binary(op) for name, op in (("add", "Add"), ("sub", "Sub"), ("mul", "Mul"), ("div", "Div"))},
    **{f"{start}_{name}": logic(op) for start in ("bitwise", "logical") for name, op in LOGIC.items()},
    **{name: reduced(op) for name, op in REDUCED.items()},
    "any": truth("ReduceMax"),
    "all": truth("ReduceMin"),
    "max": extreme,
    "min": extreme,
    "argmax": place,
    "argmin": place,
    **dict.fromkeys(("clamp", "clamp_min", "clamp_max"), clamped),
    "pow": raised,
    **dict.fromkeys(("where", "masked_fill"), chosen),
    **dict.fromkeys(("gelu", "silu", "leaky_relu", "elu", "softplus", "log1p", "expm1", "rsqrt", "square"), written),
    **dict.fromkeys(("rsub", "lerp", "addcmul", "atan2", "linalg_vector_norm"), written),
    **dict.fromkeys(("special_ndtri", "special_log_ndtr"), written),
    **dict.fromkeys(("mm", "bmm", "mv", "addmm", "baddbmm"), product),
    **dict.fromkeys(("_softmax", "_safe_softmax", "_log_softmax"), softmax),
    "cumsum": summed,
    **dict.fromkeys((*FILLED, "full", "new_full", "full_like", "fill", "scalar_tensor"), filled),
    "arange": counted,
    **dict.fromkeys(SAME, same),
    "copy": copied,
}
