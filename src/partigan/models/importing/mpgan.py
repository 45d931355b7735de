"""Weights that authors published, as ordinary run directories."""

from __future__ import annotations

import re
import zipfile
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
from partigan.models.importing.arguments import PARTICLES, read_arguments
from partigan.outputs import writing
from partigan.progress import tell
from partigan.reading import assure_memory, readable, size_of
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
LARGEST = 1e6  # of weights; those of trained networks are below 100
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
Rule = tuple[str, str, Callable[[Tensor], Tensor]]  # the authors' name, ours, what becomes of the values


def _same(value: Tensor) -> Tensor:
    return value


def _message_passing(options: dict[str, Any]) -> list[Rule]:
    edge, node = len(options["fe"]), len(options["fn"])
    parts = [("fe", k, "pair" if k == 0 else f"edge.{k - 1}") for k in range(edge)]
    parts += [("fn", k, "out" if k == node else f"node.{k}") for k in range(node + 1)]
    return [
        (r"lfc(?:_layer)?\.(\w+)", r"lift.\1", _same),
        *((rf"mp_layers\.(\d)\.{net}\.net\.{k}\.(\w+)", rf"layers.\1.{ours}.\2", _same) for net, k, ours in parts),
    ]


def _rgan(options: dict[str, Any]) -> list[Rule]:
    return [(r"model\.(\d+)\.(\w+)", r"layers.\1.\2", _same)]


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


def import_weights(weights: Path, arguments: Path, out: Path, overwrite: bool = False) -> Run:
    """Turn a generator that MPGAN's authors published into a run directory.

    All generators of arXiv:2106.11535 are understood, of both generations of the authors' code; the file of
    arguments says which one it is, for which class of jets, and the critic that it was trained with. The run has no
    critic and no history: it is for `generate` and `evaluate`. Generators with ``mask_c`` draw numbers of particles
    from those of JetNet's training jets (``generate --conditions`` takes them from another file); all others make 30
    particles in every jet. Arguments are read, or must have the published value, or do not matter to generation; any
    other is refused by its name.

    Args:
        weights: the authors' ``G_best_epoch.pt``, a state dict; read without unpickling objects.
        arguments: the authors' ``args.txt``, a Python dictionary.
        out: run directory to make.
        overwrite: replace an existing run.

    Returns:
        The run.

    Raises:
        PartiganError: files that cannot be read, arguments that are not known or not supported, or weights that are not
            what the arguments say (with the names that are missing, unexpected or of another shape).

    References:
        R. Kansal et al., arXiv:2106.11535; weights under the MIT licence.
    """
    weights, arguments, out = Path(weights), Path(arguments), Path(out)
    with writing(out, [weights, arguments], overwrite=overwrite):
        return _imported(weights, arguments, out)


def _imported(weights: Path, arguments: Path, out: Path) -> Run:
    options, tensors = read_arguments(arguments), _tensors(weights)
    resolved = _config(options)
    system, transform, _ = config.build(resolved)
    generator = system.networks["generator"]
    renamed, unexpected = _renamed(tensors, _RULES[options["model"]](options))
    if any(name.startswith("fe.") for name in tensors):  # the older code's last layer is as wide as the others
        for part in ("weight", "bias"):
            name = f"layers.{_iterations(options) - 1}.out.{part}"
            if name in renamed:
                renamed[name] = renamed[name][: options["node_feat_size"]]  # the outputs that it uses
    fit_state(generator, renamed, f"{weights} is not the generator that {arguments} describes", unexpected)
    jets = options["jets"]
    transform.load_state({"maxima": MAXIMA[jets]})
    conditions = {"particles": PARTICLES, "multiplicity": MULTIPLICITY[jets], "jet_pt": JET_PT}
    manifest = {
        "versions": {"partigan": __version__, "torch": torch.__version__},
        "data": {"path": None, "sha256": None},  # JetNet, but nobody knows which file
        "imported": {
            **{"paper": "arXiv:2106.11535", "name": options.get("name"), "jets": jets},
            **{"file": str(weights), "sha256": sha256(weights)},
        },
    }
    with atomic_folder(out, "partigan import-weights") as folder:
        run = Run(folder)
        save_tensors(run.weights, pack_module("generator", generator), {"imported": str(weights)})
        stored = {"kind": "jets", "state": transform.state(), "conditions": conditions}
        run.create(yaml.safe_dump(resolved, sort_keys=False), stored, manifest)
        run.seal()
    tell(f"{resolved['about']['title']}, {jets} jets: {out}")
    return Run(out)


def _tensors(path: Path) -> dict[str, Tensor]:
    """Weights by the authors' names: the boundary around torch's reader, which runs no code of the file."""
    size_of(path)
    with readable(path, "weights"):
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                assure_memory(sum(entry.file_size for entry in archive.infolist()), f"{path}")
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever the file's content leads to, and advises to run its code
        raise PartiganError(f"{path} is not a file of weights that can be read without running its code") from error
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise PartiganError(f"{path} is not a state dict of a network; give the authors' G_best_epoch.pt")
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not (tensor.abs() < LARGEST).all():
            raise PartiganError(f"{path}: {name} has weights that are NaN or beyond {LARGEST:g}; fetch the file again")
    return dict(tensors)


def _config(options: dict[str, Any]) -> dict[str, Any]:
    """The preset of the pair, with the sizes of the arguments."""
    model = options["model"]
    changes: dict[str, Any] = {}
    if model == "mpgan":
        if options["lfc"]:
            changes["system.generator"] = "nets.clouds.mpgan.MPLFCGenerator"
        if not options["mask_c"]:  # as many particles in every jet
            changes["transform.padding"] = "particles"
            if options["model_D"] != "mpgan":
                changes["system.critic.mask_feature"] = False
    content = config.read(PRESETS[model, options["model_D"]], changes)
    content["about"]["status"] = "weights published by the authors"
    content["about"]["title"] += ", from one latent vector (LFC)" * bool(changes.get("system.generator"))
    sizes = {"particles": PARTICLES, **_SIZES[model](options)}
    return config.resolve(config.changed(content, {f"system.generator.{name}": size for name, size in sizes.items()}))


def _mpgan_sizes(options: dict[str, Any]) -> dict[str, Any]:
    hidden = options["hidden_node_size"]
    own = {"noise_size": options["lfc_latent_size"]} if options["lfc"] else {"distance": options["pos_diffs"]}
    return {
        **{"hidden": hidden, "latent": options["latent_node_size"] or hidden},
        **{"edge": options["fe"], "node": options["fn"], "iterations": _iterations(options)},
        **own,
    }


def _iterations(options: dict[str, Any]) -> int:
    return int(options["mp_iters_gen"] or options["mp_iters"])


def _rgan_sizes(options: dict[str, Any]) -> dict[str, Any]:
    return {"latent": options["latent_dim"], "widths": options["rgang_fc"]}


def _graphcnn_sizes(options: dict[str, Any]) -> dict[str, Any]:
    return {"latent": options["latent_dim"], "widths": options["graphcnng_layers"], "k": options["num_knn"]}


def _treegan_sizes(options: dict[str, Any]) -> dict[str, Any]:
    latent, hidden, *_ = options["treegang_features"]
    sizes = {"degrees": options["treegang_degrees"], "support": options["treegang_support"]}
    return {"latent": latent, "hidden": hidden, **sizes}


_SIZES = {"mpgan": _mpgan_sizes, "rgan": _rgan_sizes, "graphcnngan": _graphcnn_sizes, "treegan": _treegan_sizes}


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
