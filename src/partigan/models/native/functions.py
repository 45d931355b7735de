"""Operations of ATen on one element, and on one after the other, as expressions in C."""

COMPARED = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
FUNCTIONS = {
    **{
        name: f"v_{name}({{0}})"
        for name in ("exp", "log", "erf", "tanh", "sigmoid", "sqrt", "sin", "cos", "log1p", "expm1", "asinh", "floor")
    },
    "add": "{0} + {1}",
    "sub": "{0} - {1}",
    "mul": "{0} * {1}",
    "div": "{0} / {1}",
    "rsub": "{1} - {0}",
    "round": "v_rint({0})",
    "neg": "-{0}",
    "abs": "magnitude({0})",
    "sign": "v_sign({0})",
    "rsqrt": "1.0f / v_sqrt({0})",
    "reciprocal": "1.0f / {0}",
    "gelu": "v_gelu({0})",
    "silu": "{0} * v_sigmoid({0})",
    "relu": "most({0}, all(0.0f))",
    "softplus": "v_softplus({0} * {1}) / {1}",
    "leaky_relu": "pick({0} > 0.0f, {0}, {0} * {1})",
    "elu": "pick({0} > 0.0f, {0}, v_expm1({0}))",
    "atan2": "v_atan2({0}, {1})",
    "maximum": "most({0}, {1})",
    "minimum": "least({0}, {1})",
    "clamp_min": "most({0}, {1})",
    "clamp_max": "least({0}, {1})",
    "where": "where({0}, {1}, {2})",
    "lerp": "{0} + {2} * ({1} - {0})",
    "masked_fill": "where({1}, {2}, {0})",
    "bitwise_not": "1.0f - {0}",
    "logical_not": "truth({0} == 0.0f)",
    "bitwise_and": "{0} * {1}",
    "logical_and": "truth(({0} != 0.0f) & ({1} != 0.0f))",
    "bitwise_or": "most({0}, {1})",
    "copy": "{1}",
    "fill": "{1}",
    **dict.fromkeys(("_to_copy", "clone", "detach", "alias", "contiguous", "lift_fresh_copy"), "{0}"),
    **{name: f"truth({{0}} {sign} {{1}})" for name, sign in COMPARED.items()},
}
PLAIN = {"leaky_relu": (0.01,), "softplus": (1.0, 20.0)}  # defaults of arguments that ATen leaves out
REDUCED = {
    "sum": ("all(0.0f)", "{0} + {1}"),
    "mean": ("all(0.0f)", "{0} + {1}"),
    "amax": ("all(-INFINITY)", "most({0}, {1})"),
    "amin": ("all(INFINITY)", "least({0}, {1})"),
    "any": ("all(0.0f)", "most({0}, {1})"),
    "all": ("all(1.0f)", "least({0}, {1})"),
}
