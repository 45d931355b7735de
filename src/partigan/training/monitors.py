"""What is written down and decided while a system trains."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from scipy.sparse.linalg import svds
from torch import Tensor, nn

from partigan.data.batch import Batch
from partigan.errors import PartiganError
from partigan.objectives.regularisation import weight_matrices

DENSE = 128  # matrices with a side of at most so many have all their singular values computed
DIVERSITY_SAMPLES = 500


class Log:
    """``metrics.jsonl`` and TensorBoard, cut back to a step where a training resumes.

    Args:
        folder: the run directory.
        step: lines of later steps are dropped.
    """

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.path = folder / "metrics.jsonl"
        kept = [line for line in read_log(self.path) if line["step"] <= step]
        self.path.write_text("".join(json.dumps(line) + "\n" for line in kept))
        self.lines = kept
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1 if step else None)

    def write(self, step: int, values: dict[str, float]) -> None:
        """One line of values at a training step."""
        self.lines.append({"step": step, **values})
        with self.path.open("a") as file:
            file.write(json.dumps(self.lines[-1]) + "\n")
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush everything."""
        self._board.close()


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a ``metrics.jsonl``; a line cut off by a kill is left out."""
    lines: list[dict[str, Any]] = []
    if path.exists():
        for line in path.read_text().splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:
                continue
    return lines


@dataclass(frozen=True)
class Rules:
    """Which checkpoint is kept, and what ends a run before its last step.

    Attributes:
        metric: validation metric of which the lowest is the best; None = what the kind of data says.
        veto: validation metric that vetoes, see `Selection`; the same as ``metric`` = none; None = as the kind says.
        tolerance: of the veto.
        patience: validations without a new best after which the run ends; None = it never does.
        collapse: what to do at signs of a collapse (`collapse_signs`): warn, stop the run, or do not look.
    """

    metric: str | None = None
    veto: str | None = None
    tolerance: float = 2.0
    patience: int | None = None
    collapse: Literal["warn", "stop", "ignore"] = "warn"

    def selection(self, default: tuple[str, str]) -> Selection:
        """The selection by these rules; ``default`` are the kind's metric and veto."""
        metric = self.metric or default[0]
        return Selection(metric, self.veto or (default[1] if self.metric is None else metric), self.tolerance)

    def tired(self, chosen: int, step: int, validations: set[int]) -> bool:
        """Whether too many of the ``validations`` (steps) have passed since the ``chosen`` step."""
        return self.patience is not None and sum(chosen < at <= step for at in validations) >= self.patience


@dataclass
class Selection:
    """Which checkpoint is the best: that of lowest ``metric``, unless ``veto`` is far above its lowest value.

    A low Wasserstein distance can be a fluctuation; a checkpoint whose veto metric is more than ``tolerance`` times
    the lowest seen so far is not taken, and is replaced when the veto metric falls so far that it would not be.

    Attributes:
        metric: name of the metric that decides.
        veto: name of the metric that vetoes.
        tolerance: factor above the lowest veto value.
        best: value of ``metric`` of the chosen checkpoint.
        best_veto: its value of ``veto``.
        lowest_veto: lowest value of ``veto`` so far.
        step: training step of the chosen checkpoint.

    References:
        arXiv:2305.15254, section 3.1 (best W1-M, vetoed by FPD; the paper does not say how).
    """

    metric: str
    veto: str
    tolerance: float = 2.0
    best: float = math.inf
    best_veto: float = math.inf
    lowest_veto: float = math.inf
    step: int = -1

    def take(self, step: int, values: dict[str, float]) -> bool:
        """Tell the values of a new checkpoint; True where it becomes the chosen one."""
        for name in (self.metric, self.veto):
            if name not in values:
                raise PartiganError(f"there is no validation metric {name!r}; there are {', '.join(values)}")
        value, veto = values[self.metric], values[self.veto]
        self.lowest_veto = min(self.lowest_veto, veto)
        limit = self.tolerance * self.lowest_veto
        better = veto <= limit and (value < self.best or self.best_veto > limit)
        if better or self.step < 0:
            self.best, self.best_veto, self.step = value, veto, step
            return True
        return False

    def state(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


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
    - A player's loss is a hundred times what it was, or the critic's, never negative, below 1 % of what it was at
      first: it tells everything that is generated.
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
    for player in ("critic", "generator"):
        losses = np.array([line[name] for line in log if (name := f"{player}/objective") in line])
        if len(losses) < 4:
            continue
        if abs(losses[-1]) > 100 * np.median(np.abs(losses[:-1])):
            signs.append(f"the {player}'s loss rose to {losses[-1]:.3g}")
        elif player == "critic" and losses.min() >= 0 and losses[-1] < 0.01 * losses[0]:
            signs.append(f"the critic's loss fell to {losses[-1]:.3g}: it tells all generated samples from real ones")
    return signs
