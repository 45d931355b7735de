"""Files as the authors of MPGAN publish them: arguments of all pairs of networks, and weights of these shapes."""

from __future__ import annotations

from ast import literal_eval
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

PAIRS = {  # generator, critic
    **{"mp": ("mpgan", "mpgan"), "mplfc": ("mpgan", "mpgan"), "mpfc": ("old_mpgan", "rgan")},
    **{"mppnet": ("old_mpgan", "pointnet"), "fc": ("rgan", None), "fcmp": ("rgan", "old_mpgan")},
    **{"fcpnet": ("rgan", "pointnet"), "graphcnn": ("graphcnngan", None), "graphcnnmp": ("graphcnngan", "old_mpgan")},
    **{"graphcnnpnet": ("graphcnngan", "pointnet"), "treeganfc": ("treegan", "rgan")},
    **{"treeganmp": ("treegan", "mpgan"), "treeganpnet": ("treegan", "pointnet")},
}
NEWER = ("mp", "mplfc", "treeganmp")
_VALUES = """
dataset 'jets' ttsplit 0.7 load_model False override_load_check False override_args False start_epoch 0 num_epochs 2000
dir_path '/app' num_samples 50000 n False bottleneck False lx False save_zero True no_save_zero_or False save_epochs 5
save_model_epochs 5 debug False break_zero False low_samples False const_ylim False real_only False multi_gpu False
log_file 'x.txt' log 'INFO' seed 4 num_hits 30 coords 'polarrel' norm 1 sd 0.2 node_feat_size 3 hidden_node_size 32
latent_node_size 0 clabels 0 clabels_fl True clabels_hl True fn [256,256] fe1g 0 fe1d 0 fe [96,160,192] fmg [64]
mp_iters_gen 2 mp_iters_disc 2 mp_iters 2 sum True int_diffs False pos_diffs False deltar True deltacoords False
leaky_relu_alpha 0.2 dea True fnd [] lfc False lfc_latent_size 128 fully_connected True num_knn 10 self_loops True
glorot 0 gtanh True mask_feat False mask_feat_bin False mask_weights False mask_manual False mask_exp False
mask_real_only False mask_learn False mask_learn_bin True mask_learn_sep False mask_disc_sep False mask_fnd_np False
mask_c False mask_fne_np False mask_epoch 0 noise_padding False optimizer 'rmsprop' loss 'ls' lr_disc 3e-05
lr_gen 1e-05 beta1 0.9 beta2 0.999 batch_size 256 num_critic 1 num_gen 1 batch_norm_disc False batch_norm_gen False
spectral_norm_disc False spectral_norm_gen False disc_dropout 0.5 gen_dropout 0 label_smoothing False label_noise 0 gp 0
aug_t False aug_f False aug_r90 False aug_s False translate_ratio 0.125 scale_sd 0.125 translate_pn_ratio 0.05
adaptive_prob False aug_prob 1.0 fpnd True fpnd_batch_size 256 gpu_batch 50 eval True eval_tot_samples 50000
w1_num_samples [10000] cov_mmd_num_samples 100 cov_mmd_num_batches 10 jf ['mass','pt'] latent_dim 128 rgang_fc [64,128]
rgand_sfc 0 rgand_fc 0 graphcnng_layers [32,24] graphcnng_tanh False models_path '/app' losses_path '/app'
args_path '/app' figs_path '/app' datasets_path '/app' outs_path '/app' augment False clabels_first_layer 0
clabels_hidden_layers 0 mask False
"""
_OLD = "train True err_path '/app' evaluation_path '/app' noise_path '/app'"
_NEW = (
    "efp True efp_jobs None pcgan_latent_dim 128 pcgan_z1_dim 256 pcgan_z2_dim 10 pcgan_d_dim 256 pcgan_pool 'max1' "
    "pad_hits 0 all_ef False latent_node_size 32 deltar False"
)
_TREE = "treegang_degrees [2,2,2,2,2] treegang_features [96,64,64,64,64,3] treegang_support 10 num_hits 32 pad_hits 2"
_POINTNET = "pointnetd_pointfc [64,128,1024] pointnetd_fc [512]"


def _options(text: str) -> dict[str, Any]:
    words = text.split()
    return {name: literal_eval(value) for name, value in zip(words[::2], words[1::2], strict=True)}


def arguments(pair: str, jets: str) -> dict[str, Any]:
    """What stands in the ``args.txt`` of a pair of networks, such as ``mpfc``, trained on jets of a class."""
    model, critic = PAIRS[pair]
    options = (
        _options(_VALUES) | _options(_NEW if pair in NEWER else _OLD) | {"name": pair, "jets": jets, "model": model}
    )
    if pair != "fc":  # the oldest
        options |= {"model_D": critic or "rgan", "all_ef": options.get("all_ef", True)}
    if critic == "pointnet" or pair in NEWER:
        options |= _options(_POINTNET)
    if critic == "pointnet":
        options |= {"pos_diffs": True, "dea": False}
    if model == "treegan":
        options |= _options(_TREE)
    if model == "graphcnngan":
        options["num_knn"] = 20
    if pair in ("mp", "mplfc", "mppnet"):
        options |= {"mask": True, "mask_c": True}
    options["lfc"] = pair == "mplfc" or (pair, jets) == ("mpfc", "g")
    return options


def tensors(options: dict[str, Any]) -> dict[str, Tensor]:
    """Weights at random under the authors' names, for a pair of networks of `arguments`."""
    torch.manual_seed(3)
    make = {"rgan": _rgan, "graphcnngan": _graphcnn, "treegan": _treegan}.get(options["model"], _message_passing)
    return make(options)


def _linear(name: str, inputs: int, outputs: int, bias: bool = True) -> dict[str, Tensor]:
    return {f"{name}.{part}": value for part, value in nn.Linear(inputs, outputs, bias).state_dict().items()}


def _message_passing(options: dict[str, Any]) -> dict[str, Tensor]:
    older, hidden = "train" in options, options["hidden_node_size"]
    latent = options["latent_node_size"] or hidden
    found = _linear("lfc" if older else "lfc_layer", options["lfc_latent_size"], 30 * latent) if options["lfc"] else {}
    for number in range(options["mp_iters_gen"]):
        inputs = hidden if number else latent
        outputs = hidden if older or number < options["mp_iters_gen"] - 1 else 3
        edge = [2 * inputs + options["pos_diffs"], *options["fe"]]
        node = [options["fe"][-1] + inputs, *options["fn"], outputs]
        for net, widths in (("fe", edge), ("fn", node)):
            for layer, (a, b) in enumerate(pairwise(widths)):
                name = f"{net}.{number}.{layer}" if older else f"mp_layers.{number}.{net}.net.{layer}"
                found |= _linear(name, a, b)
    return found


def _rgan(options: dict[str, Any]) -> dict[str, Tensor]:
    widths = [options["latent_dim"], *options["rgang_fc"], 30 * 3]
    return {k: v for i, (a, b) in enumerate(pairwise(widths)) for k, v in _linear(f"model.{2 * i}", a, b).items()}


def _graphcnn(options: dict[str, Any]) -> dict[str, Tensor]:
    widths = [*options["graphcnng_layers"], 3]
    found = _linear("dense", options["latent_dim"], 30 * widths[0])
    for i, (a, b) in enumerate(pairwise(widths)):
        found |= _linear(f"layers.{i}.nn", a, a * b) | {f"layers.{i}.root": torch.randn(a, b)}
        found |= {f"layers.{i}.bias": torch.randn(b)} | _linear(f"edge_weights.{i}", a, a * b)
        found |= {f"bn_layers.{i}.module.{part}": value for part, value in nn.BatchNorm1d(b).state_dict().items()}
    return found


def _treegan(options: dict[str, Any]) -> dict[str, Tensor]:
    widths, found, nodes = options["treegang_features"], {}, 1
    for i, degree in enumerate(options["treegang_degrees"]):
        name, a, b = f"gcn.TreeGCN_{i}", widths[i], widths[i + 1]
        found |= {f"{name}.W_branch": torch.randn(nodes, a, degree * a) / 10, f"{name}.bias": torch.randn(1, degree, b)}
        for k in range(i + 1):
            found |= _linear(f"{name}.W_root.{k}", widths[k], b, bias=False)
        support = options["treegang_support"] * a
        found |= _linear(f"{name}.W_loop.0", a, support, False) | _linear(f"{name}.W_loop.1", support, b, False)
        nodes *= degree
    return found
