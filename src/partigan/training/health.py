"""Signs that a training goes wrong: singular values, diversity, losses."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import svds
from torch import Tensor, nn

from partigan.data.batch import Batch
from partigan.objectives.regularisation import weight_matrices

DENSE = 128  # matrices with a side of at most so many have all their singular values computed
DIVERSITY_SAMPLES = 500


def first_singular_values(network: nn.Module) -> dict[str, float]:
    """Largest singular value of every weight matrix, by the layer's name; the network is not touched.

    Large matrices by Arnoldi iteration.

    References:
        A. Brock et al., arXiv:1809.11096, section 4.1; H. Hashemi et al., PE-GAN, section 4.1.
    """
    found = {}
    with torch.no_grad():
        for name, matrix in weight_matrices(copy.deepcopy(network).eval()):
            if min(matrix.shape) <= DENSE:
                found[name] = float(torch.linalg.matrix_norm(matrix.float(), 2))
            else:
                start = np.ones(min(matrix.shape))
                found[name] = float(svds(matrix.double().cpu().numpy(), 1, v0=start, return_singular_vectors=False)[0])
    return found


def diversity(real: Batch, fake: Batch) -> float:
    """How far generated samples are from their nearest neighbour among each other, over the same of real ones.

    1 for a perfect generator, near 0 where its samples are all alike. Clouds are compared by the sorted values of
    each feature, so that the order of particles does not matter.

    Args:
        real: in the normalised space.
        fake: the same.

    Returns:
        The ratio of the median distances, of 500 samples each.
    """
    size = min(len(real), len(fake), DIVERSITY_SAMPLES)

    def nearest(sample: Batch) -> Tensor:
        x = sample.x[:size] if sample.mask is None else sample.x[:size].sort(1).values
        distances = torch.cdist(x.flatten(1), x.flatten(1), compute_mode="donot_use_mm_for_euclid_dist")
        return distances.fill_diagonal_(torch.inf).amin(1).median()

    return float(nearest(fake) / nearest(real).clamp_min(1e-12))


def collapse_signs(log: list[dict[str, Any]]) -> list[str]:
    """Signs of a collapse at the newest validation, one sentence each.

    - The first singular value of a layer fell below half of what it was at the validation before, or rose tenfold.
    - A loss is a hundred times what it was. Or that of a critic, never negative, is below 1 % of what it was at first:
      it tells all generated samples from real ones.
    - Generated samples are alike (`diversity` below 0.1).

    Args:
        log: lines of ``metrics.jsonl``, the newest last.

    References:
        H. Hashemi et al., PE-GAN, section 4.1; A. Brock et al., arXiv:1809.11096, section 4. The thresholds are ours.
    """
    signs = []
    validations = [line for line in log if "diversity" in line]
    for line, before in zip(validations[-1:], validations[-2:-1], strict=False):
        for name, value in line.items():
            old = before.get(name, value)
            if "/singular/" in name and not 0.5 * old <= value <= 10 * old:
                signs.append(f"the first singular value {name} went from {old:.3g} to {value:.3g}")
    if validations and (ratio := validations[-1]["diversity"]) < 0.1:
        signs.append(f"generated samples are alike: their diversity is {ratio:.3g} of that of real ones")
    named = dict.fromkeys(name for line in log for name in line if name.endswith("objective"))
    for name in named:
        losses = np.array([line[name] for line in log if name in line])
        player = name.removesuffix("objective").rstrip("/.")
        if len(losses) < 4:
            continue
        if abs(losses[-1]) > 100 * np.median(np.abs(losses[:-1])):
            signs.append(f"the {player}'s loss rose to {losses[-1]:.3g}")
        elif _is_critic(player, log) and losses.min() >= 0 and losses[-1] < 0.01 * losses[0]:
            signs.append(f"the {player}'s loss fell to {losses[-1]:.3g}: it tells all generated samples from real ones")
    return signs


def _is_critic(phase: str, log: list[dict[str, Any]]) -> bool:
    """True for a phase whose scores of generated samples are logged."""
    return any(f"{phase}/score/fake" in line for line in log)
