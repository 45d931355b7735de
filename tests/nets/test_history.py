from __future__ import annotations

import pytest
import torch

from partigan.data.batch import Batch
from partigan.errors import PartiganError
from partigan.nets.history import History


def batches(number: int, size: int = 8) -> list[Batch]:
    """Samples that say in which batch they were made, as value and as label."""
    return [Batch(torch.full((size, 1), float(n)), condition=torch.full((size,), n)) for n in range(number)]


def test_half_of_what_the_critic_sees_was_made_earlier() -> None:
    history, seen = History(size=20, features=1, classes=50), []
    for number, batch in enumerate(batches(50)):
        mixed = history.mixed(batch, torch.Generator().manual_seed(number))
        assert torch.equal(mixed.x[:, 0].long(), mixed.condition)  # type: ignore[arg-type]
        assert mixed.x.max() <= number
        seen.append((mixed.x < number).float().mean().item())
    assert seen[:3] == [0, 0, 0]  # it fills
    assert sum(seen[5:]) / len(seen[5:]) == pytest.approx(0.5, abs=0.1)
    assert history.filled == 20


def test_nothing_is_shown_twice_at_once_nor_lost() -> None:
    """A remembered sample goes out once, and a new one takes its place."""
    history = History(size=4, features=1)
    history.mixed(Batch(torch.arange(4.0)[:, None]), torch.Generator())
    mixed = history.mixed(Batch(torch.arange(10.0, 20.0)[:, None]), torch.Generator().manual_seed(1))
    both = torch.cat((mixed.x, history.x)).flatten()
    assert sorted(both.tolist()) == [*map(float, range(4)), *map(float, range(10, 20))]


def test_weights_stay_with_their_samples() -> None:
    history = History(size=4, features=1)
    for number in range(4):
        x = torch.arange(8.0 * number, 8.0 * number + 8)
        mixed = history.mixed(Batch(x[:, None], weight=-x), torch.Generator().manual_seed(number))
        assert torch.equal(mixed.weight, -mixed.x[:, 0])  # type: ignore[arg-type]
    assert mixed.x.min() < 24


def test_state_is_all_that_it_is() -> None:
    one, two = History(size=4, features=1, conditions=2), History(size=4, features=1, conditions=2)
    made = [Batch(torch.rand(3, 1), condition=torch.rand(3, 2)) for _ in range(5)]
    for batch in made[:3]:
        one.mixed(batch, torch.Generator())
    two.load_state_dict(one.state_dict())
    for batch in made[3:]:
        a, b = (history.mixed(batch, torch.Generator().manual_seed(2)) for history in (one, two))
        assert torch.equal(a.x, b.x)
        assert torch.equal(a.condition, b.condition)  # type: ignore[arg-type]


def test_what_has_no_history() -> None:
    with pytest.raises(PartiganError, match="size = 0"):
        History(size=0)
    with pytest.raises(PartiganError, match="not clouds"):
        History(features=3).mixed(Batch(torch.rand(2, 5, 3), torch.ones(2, 5, dtype=torch.bool)), torch.Generator())
