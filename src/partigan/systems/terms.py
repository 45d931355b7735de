"""When and how strongly a term acts, said once around any term."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from partigan.errors import PartiganError
from partigan.objectives.terms import Term
from partigan.systems.schedules import Schedule


@dataclass(frozen=True)
class ScheduledTerm:
    """A term of a phase's loss, with when and how strongly it acts.

    Attributes:
        term: the term.
        weight: its factor; None = the customary one of the term.
        until: training steps after which it is off; None = never.
        every: it acts in every ``every``-th step only, ``every`` times as strongly (lazy regularisation, T. Karras et
            al., arXiv:1912.04958, section 3.1).
        annealing: factor of the weight over the run; None = the term's own, which is 1 for most.

    Example:
        >>> from partigan.objectives.penalties import R1
        >>> penalty = ScheduledTerm(R1(), weight=2.0, every=16)
        >>> penalty.active(step=16), penalty.strength(done=0.5)
        (True, 32.0)
    """

    term: Term
    weight: float | None = None
    until: int | None = None
    every: int = 1
    annealing: Schedule | None = None

    def __post_init__(self) -> None:
        if self.every < 1:
            raise PartiganError(f"every = {self.every} of {type(self.term).__name__}; it must be at least 1")

    def active(self, step: int) -> bool:
        """True where the term acts in this training step."""
        return step % self.every == 0 and (self.until is None or step < self.until)

    def strength(self, done: float) -> float:
        """Factor of the term when a fraction ``done`` of the run is over."""
        weight = self.term.weight if self.weight is None else self.weight
        annealing = self.annealing or self.term.annealing
        return weight * self.every * annealing(done)


Terms = Mapping[str, ScheduledTerm]


def acting(terms: Terms, step: int) -> Iterator[tuple[str, ScheduledTerm]]:
    """The terms that act in a step, by label."""
    return ((label, term) for label, term in terms.items() if term.active(step))
