"""Weights that authors published, as ordinary run directories."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from partigan import __version__, config
from partigan.errors import PartiganError
from partigan.files import sha256
from partigan.folders import atomic_folder
from partigan.models.checkpoint import fit_state, pack_module, save_tensors
from partigan.outputs import writing
from partigan.progress import tell
from partigan.run import Run

# What JetNet's gluon, light quark and top jets at 30 particles tell of the authors' training data: the greatest
# absolute eta_rel, phi_rel and pt_rel, and how many training jets have 0, 1, ... 30 particles.
MAXIMA = {
    "g": [1.4532885551452637, 0.520724892616272, 0.8537549376487732],
    "q": [1.6211985349655151, 0.4568111002445221, 0.8896132111549377],
    "t": [1.4242753982543945, 0.4949831962585449, 0.8774275183677673],
}
MULTIPLICITY = {
    "g": [0] * 7 + [1, 2, 3, 3, 6, 11, 20, 16, 26, 44, 52, 51, 81, 105, 113, 132, 156, 161, 227, 264, 283, 340, 430]
    + [121549],
    "q": [0] * 5 + [1, 3, 21, 33, 71, 118, 195, 381, 467, 716, 1008, 1363, 1610, 1925, 2321, 2547, 2847, 3117, 3301]
    + [3394, 3443, 3567, 3535, 3401, 3456, 76634],
    "t": [0] * 10 + [1, 2, 1, 3, 1, 8, 4, 8, 21, 31, 36, 55, 81, 89, 105, 177, 186, 245, 279, 382, 122846],
}  # fmt: skip
JET_PT = 1000.0  # GeV, the nominal parton pt of JetNet

# Presets by generator and critic of the authors' arguments.
PRESETS = {
    ("mpgan", "mpgan"): "mpgan",
    ("mpgan", "rgan"): "mpgan-fc",
    ("mpgan", "pointnet"): "mpgan-pointnet",
    **{
        (model, critic): f"{preset}{suffix}"
        for model, preset in (("rgan", "rgan"), ("graphcnngan", "graphcnn"), ("treegan", "treegan"))
        for critic, suffix in (("rgan", ""), ("pointnet", "-pointnet"), ("mpgan", "-mp"))
    },
}
FIXED = {"coords": "polarrel", "norm": 1, "sd": 0.2, "leaky_relu_alpha": 0.2, "fully_connected": True, "sum": True}

Rule = tuple[str, str, Callable[[Tensor], Tensor]]  # the authors' name, ours, what becomes of the values


def _same(value: Tensor) -> Tensor:
    return value


def _message_passing(options: dict[str, Any]) -> list[Rule]:
    edge, node = len(options["fe"]), len(options["fn"])
    parts = [("fe", k, "pair" if k == 0 else f"edge.{k - 1}") for k in range(edge)]
    parts += [("fn", k, "out" if k == node else f"node.{k}") for k in range(node + 1)]
    return [
        (r"lfc_layer\.(\w+)", r"lift.\1", _same),
        *((rf"mp_layers\.(\d)\.{net}\.net\.{k}\.(\w+)", rf"layers.\1.{ours}.\2", _same) for net, k, ours in parts),
    ]


def _rgan(options: dict[str, Any]) -> list[Rule]:
    return [(r"model\.(\d)\.(\w+)", r"layers.\1.\2", _same)]


def _graphcnn(options: dict[str, Any]) -> list[Rule]:
    return [
        (r"dense\.(\w+)", r"lift.\1", _same),
        (r"layers\.(\d)\.root", r"convolutions.\1.root.weight", torch.t),  # older versions of torch_geometric
        (r"layers\.(\d)\.lin\.weight", r"convolutions.\1.root.weight", _same),
        (r"layers\.(\d)\.bias", r"convolutions.\1.root.bias", _same),
        (r"layers\.(\d)\.nn\.(\w+)", r"convolutions.\1.matrix.\2", _same),
        (r"bn_layers\.(\d)\.module\.(\w+)", r"norms.\1.\2", _same),
        (r"edge_weights\..*", "", _same),  # the tensors of layers.*.nn once more
    ]


def _treegan(options: dict[str, Any]) -> list[Rule]:
    last = len(options["treegang_degrees"]) - 1
    level = r"gcn\.TreeGCN_(\d)\."
    return [
        (rf"gcn\.TreeGCN_{last}\.bias", "", _same),  # the leaves' bias is not used
        (level + r"bias", r"levels.\1.bias", lambda bias: bias[0]),
        (level + r"W_branch", r"levels.\1.branch", _same),
        (level + r"W_root\.(\d)\.weight", r"levels.\1.ancestors.\2.weight", _same),
        (level + r"W_loop\.0\.weight", r"levels.\1.widen.weight", _same),
        (level + r"W_loop\.1\.weight", r"levels.\1.narrow.weight", _same),
    ]


_RULES = {"mpgan": _message_passing, "rgan": _rgan, "graphcnngan": _graphcnn, "treegan": _treegan}
NEEDED = {  # further arguments that describe each generator
    "mpgan": ("fe", "fn", "mp_iters_gen", "hidden_node_size", "latent_node_size", "node_feat_size"),
    "rgan": ("latent_dim", "rgang_fc"),
    "graphcnngan": ("latent_dim", "graphcnng_layers", "num_knn"),
    "treegan": ("treegang_degrees", "treegang_features", "treegang_support"),
}


def import_weights(weights: Path, arguments: Path, out: Path, overwrite: bool = False) -> Run:
    """Turn a generator that MPGAN's authors published into a run directory.

    All generators of arXiv:2106.11535 are understood, of both generations of the authors' code; the file of
    arguments says which one it is, for which class of jets, and the critic that it was trained with. The run has no
    critic and no history: it is for `generate` and `evaluate`. Numbers of particles are drawn from those of JetNet's
    training jets (``generate --conditions`` takes them from another file).

    Args:
        weights: the authors' ``G_best_epoch.pt``, a state dict; read without unpickling objects.
        arguments: the authors' ``args.txt``, a Python dictionary.
        out: run directory to make.
        overwrite: replace an existing run.

    Returns:
        The run.

    Raises:
        PartiganError: files that cannot be read, arguments of networks that are not here, or weights that are not
            what the arguments say (with the names that are missing, unexpected or of another shape).

    References:
        R. Kansal et al., arXiv:2106.11535; weights under the MIT licence.
    """
    weights, arguments, out = Path(weights), Path(arguments), Path(out)
    with writing(out, [weights, arguments], overwrite=overwrite):
        return _imported(weights, arguments, out)


def _imported(weights: Path, arguments: Path, out: Path) -> Run:
    options, tensors = _arguments(arguments), _tensors(weights)
    older = any(name.startswith("fe.") for name in tensors)
    resolved = _config(options, older)
    system, transform, _ = config.build(resolved)
    generator = system.networks["generator"]
    renamed, unexpected = _renamed(tensors, _RULES[options["model"]](options))
    if older:  # its last layer is as wide as the others, and three of its outputs are used
        for part in ("weight", "bias"):
            name = f"layers.{options['mp_iters_gen'] - 1}.out.{part}"
            if name in renamed:
                renamed[name] = renamed[name][: options["node_feat_size"]]
    fit_state(generator, renamed, f"{weights} is not the generator that {arguments} describes", unexpected)
    jets = options["jets"]
    transform.load_state({"maxima": MAXIMA[jets]})
    conditions = {"particles": _particles(options), "multiplicity": MULTIPLICITY[jets], "jet_pt": JET_PT}
    manifest = {
        "versions": {"partigan": __version__, "torch": torch.__version__},
        "data": {"file": str(weights), "sha256": sha256(weights)},
        "imported": {"paper": "arXiv:2106.11535", "name": options.get("name"), "jets": jets},
    }
    with atomic_folder(out, "partigan import-weights") as folder:
        run = Run(folder)
        save_tensors(run.weights, pack_module("generator", generator), {"imported": str(weights)})
        stored = {"kind": "jets", "state": transform.state(), "conditions": conditions}
        run.create(yaml.safe_dump(resolved, sort_keys=False), stored, manifest)
    tell(f"{resolved['about']['title']}, {jets} jets: {out}")
    return Run(out)


def _arguments(path: Path) -> dict[str, Any]:
    """The authors' arguments, checked for what all of our networks share."""
    try:
        options = ast.literal_eval(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise PartiganError(f"{path} is missing") from error
    except (OSError, ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
        raise PartiganError(
            f"{path} is not a dictionary of arguments as MPGAN's authors write them: {error}"
        ) from error
    needed = ("model", "jets", "num_hits", *FIXED)
    if not isinstance(options, dict) or (missing := [name for name in needed if name not in options]):
        names = ", ".join(missing) if isinstance(options, dict) else "a dictionary"
        raise PartiganError(f"{path} lacks {names}; give the args.txt that belongs to the weights")
    options["model"] = {"old_mpgan": "mpgan"}.get(options["model"], options["model"])
    options["model_D"] = {"old_mpgan": "mpgan"}.get(options.get("model_D", ""), options.get("model_D") or "rgan")
    if (pair := (options["model"], options["model_D"])) not in PRESETS:
        raise PartiganError(f"{path}: there are no networks here for the generator {pair[0]!r} with critic {pair[1]!r}")
    if options["jets"] not in MAXIMA:
        raise PartiganError(f"{path}: normalisations are known for the classes g, q and t, not {options['jets']!r}")
    for name, value in FIXED.items():
        if options[name] != value:
            raise PartiganError(f"{path}: {name} = {options[name]!r}; networks here have {value!r}")
    if missing := [name for name in NEEDED[options["model"]] if name not in options]:
        raise PartiganError(f"{path} lacks {', '.join(missing)}; give the args.txt that belongs to the weights")
    masks = [name for name in ("mask_feat", "mask_learn", "mask_learn_sep", "mask_manual") if options.get(name)]
    if masks:
        raise PartiganError(f"{path}: weights with {' and '.join(masks)} cannot be imported, only those with mask_c")
    return dict(options)


def _tensors(path: Path) -> dict[str, Tensor]:
    if not path.exists():
        raise PartiganError(f"{path} is missing")
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever the file's content leads to
        raise PartiganError(f"{path} is not a file of weights that can be read without running its code") from error
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise PartiganError(f"{path} is not a state dict of a network; give the authors' G_best_epoch.pt")
    return dict(tensors)


def _config(options: dict[str, Any], older: bool) -> dict[str, Any]:
    """The preset of the pair, with the sizes of the arguments."""
    model = options["model"]
    preset = PRESETS[model, options["model_D"]]
    if model == "mpgan" and options.get("lfc"):
        preset = "mpgan-lfc"
    content = config.read(preset)
    sizes: dict[str, Any] = {"particles": _particles(options)}
    if model == "mpgan":
        hidden = options["hidden_node_size"]
        sizes |= {"hidden": hidden, "latent": options["latent_node_size"] or hidden, "edge": options["fe"]}
        sizes |= {"node": options["fn"], "iterations": options["mp_iters_gen"]}
        if options.get("lfc"):
            sizes["noise_size"] = options.get("lfc_latent_size", 128)
        elif older and options.get("pos_diffs"):
            if not (options.get("deltar") and options.get("all_ef")) or options.get("deltacoords"):
                raise PartiganError("pos_diffs is here with deltar and all_ef and without deltacoords only")
            sizes["distance"] = True
    elif model == "rgan":
        sizes |= {"latent": options["latent_dim"], "widths": options["rgang_fc"]}
    elif model == "graphcnngan":
        sizes |= {"latent": options["latent_dim"], "widths": options["graphcnng_layers"], "k": options["num_knn"]}
    else:
        features = options["treegang_features"]
        sizes |= {"latent": features[0], "hidden": features[1], "degrees": options["treegang_degrees"]}
        sizes["support"] = options["treegang_support"]
    content["about"]["status"] = "weights published by the authors"
    return config.resolve(config.changed(content, {f"system.generator.{name}": size for name, size in sizes.items()}))


def _particles(options: dict[str, Any]) -> int:
    """Particles of a jet: TreeGAN's data were padded to a power of 2."""
    return int(options["num_hits"] - options.get("pad_hits", 0))


def _renamed(tensors: dict[str, Tensor], rules: list[Rule]) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors under our names, and the authors' names that no rule knows."""
    renamed, unexpected = {}, []
    for name, tensor in tensors.items():
        unified = re.sub(r"^(f[en])\.(\d)\.", r"mp_layers.\2.\1.net.", name)  # the older code's names
        for pattern, ours, change in rules:
            if match := re.fullmatch(pattern, unified):
                if ours:
                    renamed[match.expand(ours)] = change(tensor)
                break
        else:
            unexpected.append(name)
    return renamed, unexpected
