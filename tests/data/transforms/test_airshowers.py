from __future__ import annotations

import pytest
import torch

from partigan.data.batch import Batch
from partigan.data.transforms.airshowers import AboveTrigger, LogSignal
from partigan.errors import PartiganError


def maps(channels: int = 2) -> Batch:
    rng = torch.Generator().manual_seed(0)
    hit = torch.rand(40, 1, 9, 9, generator=rng) < 0.2
    signal = 115.2 + 10 ** (7 * torch.rand(40, 1, 9, 9, generator=rng))
    time = 4000 * torch.randn(40, 1, 9, 9, generator=rng)
    return Batch(torch.cat((signal, time), 1)[:, :channels] * hit)


@pytest.mark.parametrize("channels", [1, 2])
def test_there_and_back_and_through_its_state(channels: int) -> None:
    sample, transform = maps(channels), LogSignal()
    transform.fit(sample)
    normal = transform.forward(sample)
    hit = sample.x[:, :1] > 0
    assert torch.equal(normal.x[:, :1] > 0, hit)
    assert 2 < normal.x[:, 0][hit[:, 0]].min() < normal.x[:, 0].max() <= 7.001
    if channels == 2:
        assert normal.x[:, 1][hit[:, 0]].square().mean() == pytest.approx(1, rel=1e-4)
    other = LogSignal()
    other.load_state(transform.state())
    torch.testing.assert_close(other.inverse(normal).x, sample.x, rtol=2e-4, atol=1e-3)


def test_stations_below_the_threshold_are_silent_and_signals_have_an_end() -> None:
    transform = LogSignal()
    transform.fit(maps())
    low = transform.lowest
    made = Batch(torch.tensor([[[[low - 0.01, low, 99.0, -1.0]], [[1.0, 1.0, 1.0, 1.0]]]]))
    signal, time = transform.inverse(made).x[0, :, 0]
    assert (signal > 0).tolist() == (time > 0).tolist() == [False, True, True, False]
    assert signal.max().item() == pytest.approx(10**transform.highest - 1, rel=1e-3)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.ones(2, 3, 9, 9), "channels signal and, optionally, time"),
        (torch.zeros(2, 1, 9, 9), "no station of the training sample has a signal"),
        (-torch.ones(2, 1, 9, 9), "signals down to -1"),
    ],
)
def test_what_cannot_be_normalised(x: torch.Tensor, message: str) -> None:
    with pytest.raises(PartiganError, match=message):
        LogSignal().fit(Batch(x))
    with pytest.raises(PartiganError, match="'unit' of LogSignal is not above 0"):
        LogSignal().load_state({"lowest": 1.0, "highest": 2.0, "unit": 0.0})


@pytest.mark.parametrize("channels", [1, 2])
def test_above_the_trigger_there_and_back_and_through_its_state(channels: int) -> None:
    sample, transform = maps(channels), AboveTrigger()
    transform.fit(sample)
    normal, hit = transform.forward(sample), sample.x[:, :1] > 0
    assert torch.equal(normal.x[:, :1] > 0, hit)
    assert normal.x[:, 0][hit[:, 0]].min() < 0.01  # signals begin where silent stations are
    other = AboveTrigger()
    other.load_state(transform.state())
    torch.testing.assert_close(other.inverse(normal).x, sample.x, rtol=1e-4, atol=1e-3)
    low, high = sample.x.clone(), sample.x.clone()
    low[:, :1][hit] = 100.0  # below the smallest of training: still a hit
    high[:, :1][hit] = 1e9
    for x, end in ((low, transform.lowest), (high, transform.highest)):
        signal = transform.inverse(transform.forward(Batch(x))).x[:, :1]
        assert torch.equal(signal > 0, hit)
        torch.testing.assert_close(signal[hit], torch.full_like(signal[hit], end), rtol=1e-3, atol=0)


def test_constants_of_the_trigger_that_cannot_be() -> None:
    with pytest.raises(PartiganError, match="no station of the training sample has a signal"):
        AboveTrigger().fit(Batch(torch.zeros(2, 1, 9, 9)))
    with pytest.raises(PartiganError, match="signals of the training sample are all alike"):
        AboveTrigger().fit(Batch(torch.full((2, 1, 9, 9), 200.0)))
    for wrong, message in (({"scale": 0.0}, "'scale' of AboveTrigger is not above 0"), ({"highest": 0.5}, "below")):
        with pytest.raises(PartiganError, match=message):
            AboveTrigger().load_state({"lowest": 1.0, "highest": 2.0, "scale": 1.0, **wrong})
