from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from partigan.cli import main
from partigan.data.batch import Batch
from partigan.errors import PartiganError
from partigan.kinds import kind_of
from partigan.metrics.weighted import Sample
from partigan.simulate import cherenkov
from partigan.simulate.cherenkov import CONDITIONS, TARGETS, draw_tracks, mass_densities, simulate_cherenkov
from partigan.simulate.rich import SPECIES, Detector

# Quartiles of the sample that pidgan's notebooks show: momentum (MeV), pseudorapidity, tracks, DLLs.
PUBLISHED = {
    "P": (5971, 10984, 22393),
    "ETA": (2.75, 3.34, 3.95),
    "nTracks": (116, 164, 228),
    "RichDLLe": (-12.26, -3.5, -0.18),
    "RichDLLk": (-16.8, 1.75, 14.2),
    "RichDLLmu": (-3.78, -0.63, 0.65),
    "RichDLLp": (-18.4, 1.71, 15.2),
}


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Batch:
    path = simulate_cherenkov(30_000, tmp_path_factory.mktemp("rich") / "rich.h5", seed=4)
    return kind_of(path).format.read(path, "all")


def columns(sample: Batch) -> dict[str, np.ndarray]:
    assert sample.condition is not None
    names = [*TARGETS, *CONDITIONS]
    return dict(zip(names, np.concatenate([sample.x, sample.condition], axis=1).T.astype(float), strict=True))


def test_marginals_are_near_published_ones() -> None:
    """Of the signal alone: medians within a fifth of the distance between the quartiles, and that within a third."""
    signal = draw_tracks(20_000, SPECIES, 1.0, Detector(), np.random.default_rng(1))
    for name, quartiles in PUBLISHED.items():
        found = np.quantile(columns(signal)[name], (0.25, 0.5, 0.75))
        width = quartiles[2] - quartiles[0]
        loose = 2 if name == "RichDLLe" or name == "RichDLLmu" else 1  # no electrons to calibrate with, no muon system
        assert abs(found[1] - quartiles[1]) < 0.2 * loose * width, name
        assert found[2] - found[0] == pytest.approx(width, rel=0.35 * loose), name
    momentum, eta = columns(signal)["P"], columns(signal)["ETA"]
    assert 3000 <= momentum.min() < momentum.max() < 200_000
    assert np.corrcoef(np.log(momentum), eta)[0, 1] > 0.3


def test_weighted_distributions_are_those_of_the_pure_signal(sample: Batch) -> None:
    """Means and shares of all columns, within errors; those without weights are not."""
    assert sample.weight is not None
    assert sample.truth is not None
    weight = sample.weight.numpy().astype(float)
    assert (weight < 0).mean() > 0.2
    true = sample.truth[:, 1].numpy() == 1
    assert weight.sum() == pytest.approx(true.sum(), rel=0.03)
    plain = []
    for name, values in columns(sample).items():
        for test in (values, (values > np.median(values[true])).astype(float)):
            weighted = Sample(test, weight)
            error = np.sqrt(weighted.spread(test) / len(test) + test[true].var() / true.sum())
            if error > 0:
                assert abs(weighted.mean() - test[true].mean()) < 4.5 * error, name
                plain.append(abs(test.mean() - test[true].mean()) / error)
    assert sum(pull > 4.5 for pull in plain) > 10


def test_the_mass_says_nothing_within_a_population(sample: Batch) -> None:
    assert sample.truth is not None
    mass, true, particle = sample.truth.numpy().T
    for population in (true == 1, true == 0):
        found = np.corrcoef(mass[population], sample.x[:, 1].numpy()[population])[0, 1]
        assert abs(found) < 4 / np.sqrt(population.sum())
    grid = np.linspace(*cherenkov.RANGE, 2001)
    assert mass_densities(grid).mean(0) * 120 == pytest.approx(1, rel=1e-3)
    assert sample.condition is not None
    meant = sample.condition[:, 3:].numpy().argmax(1)
    assert (particle[true == 1] == meant[true == 1]).all()
    assert (particle[true == 0] != meant[true == 0]).mean() > 0.4


def test_chunks_have_seeds_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the file does not depend on who makes them; a killed simulation resumes to the same file."""
    monkeypatch.setattr(cherenkov, "CHUNK", 300)
    whole = simulate_cherenkov(650, tmp_path / "one.h5", ["K", "pi"], seed=5)
    made: list[int] = []
    real = cherenkov.make_chunk

    def killed(path: Path, *arguments: Any) -> int:
        if made:
            raise KeyboardInterrupt
        made.append(arguments[-1])
        return real(path, *arguments)

    monkeypatch.setattr(cherenkov, "make_chunk", killed)
    with pytest.raises(KeyboardInterrupt):
        simulate_cherenkov(650, tmp_path / "two.h5", ["K", "pi"], seed=5)
    monkeypatch.setattr(cherenkov, "make_chunk", real)
    again = simulate_cherenkov(650, tmp_path / "two.h5", ["K", "pi"], seed=5, resume=True)
    assert again.read_bytes() == whole.read_bytes()
    found = kind_of(whole).format.read(whole, "all")
    assert found.condition is not None
    assert found.condition[:, 3:].sum(0).tolist()[:2] == [0, 0]
    assert len(kind_of(whole).format.read(whole, "train")) == 455


def test_the_command_makes_pure_samples_too(tmp_path: Path) -> None:
    out = tmp_path / "k.h5"
    main(["simulate", "cherenkov", "--n", "50", "--out", str(out), "--species", "K", "p", "--signal", "1"])
    found = kind_of(out).format.read(out, "all")
    assert found.weight is None
    assert found.truth is not None
    assert {*found.truth[:, 2].tolist()} == {3, 4}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n = 0; at least one row"),
        ({"workers": 0}, "workers = 0"),
        ({"seed": -1}, "seed = -1"),
        ({"signal": 0.0}, "signal = 0.0; it is a share"),
        ({"signal": 1.5}, "signal = 1.5"),
        ({"species": ["k"]}, "there is no particle 'k'; there are e, mu, pi, K, p"),
        ({"species": ["K", "K"]}, "name each particle once"),
        ({"species": []}, "species = none"),
    ],
)
def test_what_cannot_be_simulated(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(PartiganError, match=message):
        simulate_cherenkov(**{"n": 5, "out": tmp_path / "a.h5", **options})
    assert not (tmp_path / "a.h5").exists()
