"""The file of arguments beside weights that MPGAN's authors published: what is read, what must be, what is ignored.

Every argument of the authors' code is in one of three classes, for the generators that it concerns. One that is in none
of them is refused: it may change what is generated.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from partigan.errors import PartiganError
from partigan.reading import readable, size_of

PARTICLES = 30  # of JetNet, which all published generators are of

OLDER = {"old_mpgan": "mpgan"}
"""What files of the newer code call the older networks."""
GENERATORS = ("mpgan", "rgan", "graphcnngan", "treegan")
CRITICS = ("mpgan", "rgan", "pointnet")
CLASSES = ("g", "q", "t")

ALL = "all generators"
READ = {
    ALL: {"model", "model_D", "jets", "num_hits", "pad_hits", "mask"},
    "mpgan": {
        *("mask_c", "fe", "fn", "mp_iters_gen", "mp_iters", "hidden_node_size", "latent_node_size"),
        *("lfc", "lfc_latent_size", "pos_diffs", "all_ef", "deltar"),
    },
    "rgan": {"latent_dim", "rgang_fc"},
    "graphcnngan": {"latent_dim", "graphcnng_layers", "num_knn"},
    "treegan": {"treegang_degrees", "treegang_features", "treegang_support"},
}
"""Arguments that decide what is built and how it generates."""
LATER = {"model_D", "pad_hits"}
"""Of these, what older files lack."""
TEXTS = {"model", "model_D", "jets"}
LISTS = {"fe", "fn", "rgang_fc", "graphcnng_layers", "treegang_degrees", "treegang_features"}
FIXED: dict[str, dict[str, Any]] = {
    ALL: {
        **{"dataset": "jets", "coords": "polarrel", "norm": 1, "sd": 0.2, "node_feat_size": 3, "real_only": False},
        **{"leaky_relu_alpha": 0.2, "noise_padding": False},
    },
    "mpgan": {
        **{"fully_connected": True, "sum": True, "gtanh": True, "fe1g": 0, "int_diffs": False, "deltacoords": False},
        **{"clabels": 0, "clabels_first_layer": 0, "clabels_hidden_layers": 0},
        **{"batch_norm_gen": False, "spectral_norm_gen": False},
        **dict.fromkeys(("mask_feat", "mask_feat_bin", "mask_manual", "mask_real_only"), False),
        **{"mask_learn": False, "mask_learn_sep": False, "mask_fne_np": False, "mask_epoch": 0},
    },
    "rgan": {},
    "graphcnngan": {"graphcnng_tanh": False},
    "treegan": {},
}
"""Arguments whose published value is the only one that networks here have."""
IGNORED = {
    "the critic": "rgand_sfc rgand_fc pointnetd_pointfc pointnetd_fc dea fnd fe1d mp_iters_disc mask_weights "
    "mask_disc_sep mask_fnd_np batch_norm_disc spectral_norm_disc disc_dropout",
    "training": "train seed optimizer loss lr_disc lr_gen beta1 beta2 batch_size num_critic num_gen gen_dropout glorot "
    "gp label_smoothing label_noise augment aug_t aug_f aug_r90 aug_s translate_ratio scale_sd translate_pn_ratio "
    "adaptive_prob aug_prob ttsplit start_epoch num_epochs load_model override_load_check override_args multi_gpu",
    "masks that are learned, graphs that are not complete, labels": "fmg mask_exp mask_learn_bin self_loops clabels_fl "
    "clabels_hl",
    "evaluation": "eval num_samples eval_tot_samples w1_num_samples cov_mmd_num_samples cov_mmd_num_batches jf fpnd "
    "fpnd_batch_size efp efp_jobs gpu_batch low_samples",
    "names, places and logs": "name n lx log log_file debug bottleneck break_zero const_ylim save_zero no_save_zero_or "
    "save_epochs save_model_epochs dir_path datasets_path models_path losses_path args_path figs_path err_path "
    "evaluation_path outs_path noise_path",
    "a generator that is not here": "pcgan_latent_dim pcgan_z1_dim pcgan_z2_dim pcgan_d_dim pcgan_pool",
}
"""Arguments that do not change what is generated, by what they are about."""

_BYTES = 2**16  # of the authors' files, which have a twentieth of it


def read_arguments(path: Path) -> dict[str, Any]:
    """The arguments of a published generator.

    Args:
        path: the authors' ``args.txt``, a Python dictionary.

    Returns:
        Those that are read, with ``model`` and ``model_D`` under one name for both generations of the code, and
        ``mask_c``, whether numbers of particles are drawn and the others masked.

    Raises:
        PartiganError: the file cannot be read, or an argument is missing, unknown, or has a value that networks here
            do not have; the message names it.
    """
    options = _dictionary(path)
    model, critic = (OLDER.get(str(name), str(name)) for name in (options.get("model"), options.get("model_D") or ""))
    critic = critic or ("mpgan" if model == "mpgan" else "rgan")
    if model not in GENERATORS or critic not in CRITICS:
        raise PartiganError(f"{path}: there are no networks here for the generator {model!r} with critic {critic!r}")
    _check(path, options, model)
    if options["jets"] not in CLASSES:
        raise PartiganError(f"{path}: normalisations are known for the classes g, q and t, not {options['jets']!r}")
    if (particles := options["num_hits"] - options.get("pad_hits", 0)) != PARTICLES:
        raise PartiganError(f"{path}: num_hits is {particles}; multiplicities are known for {PARTICLES} particles only")
    masked = model == "mpgan" and options["mask_c"]
    if options["mask"] and model != "mpgan":
        raise PartiganError(f"{path}: mask = True; only generators of message passing have masks")
    if options["mask"] != masked:
        raise PartiganError(f"{path}: mask = {options['mask']} and mask_c = {options.get('mask_c')} contradict")
    if model == "mpgan" and options["pos_diffs"] and not (options["deltar"] and options["all_ef"]):
        raise PartiganError(f"{path}: pos_diffs is here with deltar and all_ef only")
    if model == "mpgan" and options["pos_diffs"] and options["lfc"]:
        raise PartiganError(f"{path}: pos_diffs is not here together with lfc")
    return {**options, "model": model, "model_D": critic, "mask_c": masked}


def _dictionary(path: Path) -> dict[str, Any]:
    if size_of(path) > _BYTES:
        raise PartiganError(f"{path} is too large for a dictionary of arguments as MPGAN's authors write them")
    with readable(path, "a dictionary of arguments as MPGAN's authors write them"):
        options = ast.literal_eval(path.read_text(encoding="utf-8"))
    if not isinstance(options, dict) or not all(isinstance(name, str) for name in options):
        raise PartiganError(f"{path} is not a dictionary of arguments as MPGAN's authors write them")
    return options


def _check(path: Path, options: dict[str, Any], model: str) -> None:
    """Refuse arguments that are missing, unknown, or of a value that networks here do not have."""
    fixed = FIXED[ALL] | FIXED[model]
    needed = READ[ALL] | READ[model] | {*fixed}
    if missing := sorted(needed - LATER - options.keys()):
        raise PartiganError(f"{path} lacks {', '.join(missing)}; give the args.txt that belongs to the weights")
    ignored = " ".join(IGNORED.values()).split()
    known = set(ignored).union(*READ.values(), *FIXED.values())
    if unknown := sorted(options.keys() - known):
        raise PartiganError(
            f"{path}: nothing is known here of {', '.join(unknown)}, which may change what is generated; take out "
            "what does not"
        )
    for name in (READ[ALL] | READ[model]) & options.keys() - TEXTS:
        entries = options[name] if name in LISTS else [options[name]]
        if not (isinstance(entries, list) and entries and all(isinstance(entry, int) for entry in entries)):
            wanted = "a list of whole numbers" if name in LISTS else "a whole number"
            raise PartiganError(f"{path}: {name} = {options[name]!r} is not {wanted}")
    for name, value in fixed.items():
        if options[name] != value:
            raise PartiganError(f"{path}: {name} = {options[name]!r}; networks here have {value!r}")
