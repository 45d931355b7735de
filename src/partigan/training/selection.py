"""Which checkpoint of a run is kept, and when a run has had enough."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from partigan.errors import PartiganError
from partigan.systems.options import Rules

ROSE = 10.0  # a veto metric that ends above so many times its lowest value has risen


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
        last_veto: value of ``veto`` of the newest checkpoint.
        overruled: whether the chosen checkpoint replaced one of lower ``metric``, which the veto no longer allows.
        real: both metrics of real samples against each other, where they are known.

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
    last_veto: float = math.inf
    overruled: bool = False
    real: dict[str, float] = field(default_factory=dict)

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
        self.lowest_veto, self.last_veto = min(self.lowest_veto, veto), veto
        limit = self.tolerance * self.lowest_veto
        better = veto <= limit and (value < self.best or self.best_veto > limit)
        if better or self.step < 0:
            self.overruled = value > self.best
            self.best, self.best_veto, self.step = value, veto, step
            return True
        return False

    def vetoed(self, values: dict[str, float]) -> bool:
        """True where a checkpoint that `take` has seen is better than the chosen one, but for its veto metric."""
        return values[self.metric] < self.best and values[self.veto] > self.tolerance * self.lowest_veto

    def word(self, step: int, values: dict[str, float]) -> str:
        """What became of the checkpoint that `take` has just seen; empty where there is nothing to say."""
        if step == self.step:
            return f"best so far, as {self.veto} vetoes the one before" if self.overruled else "best so far"
        return f"vetoed by {self.veto}" if self.vetoed(values) else ""

    def outcome(self) -> list[str]:
        """The chosen checkpoint beside real samples, in sentences, and whether the run got worse at its end."""
        if self.step < 0:
            return []
        chosen = {self.metric: self.best, self.veto: self.best_veto}
        real = ", ".join(f"{name} {self.real[name]:,.3g}" for name in chosen if name in self.real)
        numbers = ", ".join(f"{name} {value:,.3g}" for name, value in chosen.items())
        said = [f"best checkpoint: step {self.step:,}, {numbers}" + f" (real samples: {real})" * bool(real)]
        if self.last_veto > ROSE * self.lowest_veto:
            said.append(
                f"{self.veto} rose from {self.lowest_veto:,.3g} to {self.last_veto:,.3g} at the end; the run may have "
                "collapsed, or its learning rate be too high"
            )
        return said

    def tired(self, rules: Rules, step: int, validations: set[int]) -> bool:
        """True where too many of the ``validations`` (steps) have passed without a new best checkpoint."""
        return rules.patience is not None and sum(self.step < at <= step for at in validations) >= rules.patience

    def state(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)
