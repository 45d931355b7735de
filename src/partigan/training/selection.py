"""Which checkpoint of a run is kept, and when a run has had enough."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from partigan.errors import PartiganError
from partigan.systems.options import Rules


@dataclass
class Selection:
    """Which checkpoint is the best: that of lowest ``metric``, unless ``veto`` is far above its lowest value.

    A low Wasserstein distance can be a fluctuation. A checkpoint whose veto metric is more than ``tolerance`` times the
    lowest seen so far is not taken. It is replaced when the veto metric falls so far that it would not be.

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

    @classmethod
    def by(cls, rules: Rules, default: tuple[str, str]) -> Selection:
        """The selection by a run's rules; ``default`` are the metric and veto of the kind of data."""
        metric = rules.metric or default[0]
        return cls(metric, rules.veto or (default[1] if rules.metric is None else metric), rules.tolerance)

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

    def vetoed(self, values: dict[str, float]) -> bool:
        """True where a checkpoint that `take` has seen is better than the chosen one, but for its veto metric."""
        return values[self.metric] < self.best and values[self.veto] > self.tolerance * self.lowest_veto

    def tired(self, rules: Rules, step: int, validations: set[int]) -> bool:
        """True where too many of the ``validations`` (steps) have passed without a new best checkpoint."""
        return rules.patience is not None and sum(self.step < at <= step for at in validations) >= rules.patience

    def state(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)
