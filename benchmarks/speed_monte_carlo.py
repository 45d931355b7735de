"""Rows of `speed.py`: generators beside the simulators of their training data, and steps of training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from networks import SETUPS
from networks import training as step_of
from partigan import config, load
from partigan.data.batch import Batch
from partigan.data.loader import Loader
from partigan.data.sources import source
from partigan.errors import PartiganError
from partigan.kinds import find
from partigan.models.model import Model
from partigan.run import Run
from partigan.simulate.airshower import simulate_airshower
from partigan.simulate.calorimeter import Task, simulate_calorimeter
from partigan.simulate.cherenkov import SPECIES, draw_tracks, simulate_cherenkov
from partigan.simulate.jets import DETECTORS, cluster, pythia_settings, seen, silent, simulate_jets, start_pythia
from partigan.simulate.pxd import simulate_event, simulate_pxd
from partigan.simulate.pxd_parameters import CALIBRATED_AT, Parameters, Rates
from partigan.simulate.rich import Detector
from partigan.systems.system import DATA
from partigan.training.players import Feed, Players
from partigan.training.session import Session
from side_by_side import Job, turns

PT = 1000.0  # of hard partons, GeV
EVENTS = 40  # of Pythia at once
DATA_SETS: dict[str, tuple[Callable[..., Path], int, dict[str, Any]]] = {
    "top jets, 30 particles": (simulate_jets, 600, {"flavour": "t"}),
    "PXD, 40 sensors": (simulate_pxd, 5, {}),
    "air showers, 9 x 9 stations": (simulate_airshower, 3000, {}),
    "photons, ds1": (simulate_calorimeter, 1500, {"geometry": "ds1-photons"}),
    "electrons, ds2": (simulate_calorimeter, 300, {"geometry": "ds2"}),
    "pions, test beam": (simulate_calorimeter, 1500, {"geometry": "testbeam"}),
    "Cherenkov detector": (simulate_cherenkov, 10_000, {}),
}
"""How training data are simulated: by what, how many, and with what."""
GENERATORS = (
    ("top jets, 30 particles", "mdma-fast", 8192),
    ("top jets, 30 particles", "mdma", 8192),
    ("top jets, 30 particles", "mpgan", 512),
    ("PXD, 40 sensors", "pxd-fast", 40),
    ("air showers, 9 x 9 stations", "airshower-fast", 1024),
    ("photons, ds1", "calo-fast", 1024),
    ("photons, ds1", "calo-mdma", 1024),
    ("electrons, ds2", "calo-fast", 128),
    ("pions, test beam", "calo-wgan", 128),
    ("Cherenkov detector", "cherenkov-fast", 8192),
)
"""What is generated in the place of what, by which preset, and how many samples at once."""
SHIPPED = ("pxd-fast",)  # runs that come with partigan, whose speed depends on their weights
SAMPLES = {"pxd-fast": 40}  # in an event, of which the simulator makes one


def simulators() -> dict[str, Callable[[], Job]]:
    """One simulation of some samples, made ready, for each data set."""

    def jets() -> Job:
        response = DETECTORS["simplified"]
        pythia = start_pythia(pythia_settings("t", response, PT, 0.01), 1)

        def some() -> int:
            with silent():
                return len(cluster(seen(pythia.nextBatch(EVENTS), pythia, response), PT, 30)[0])

        return some

    def pxd() -> Job:
        rates, rng = Rates.calibrated(), np.random.default_rng(1)

        def event() -> int:
            simulate_event(CALIBRATED_AT, Parameters(), rates, rng)
            return 1

        return event

    def airshowers() -> Job:
        numbers = iter(range(10**9))

        def some() -> int:
            with TemporaryDirectory() as folder:
                simulate_airshower(1000, Path(folder) / "showers.h5", seed=next(numbers))
            return 1000

        return some

    def calorimeter(name: str) -> Callable[[], Job]:
        def ready() -> Job:
            task, rng = Task.of(name, None, ""), np.random.default_rng(1)
            return lambda: len(task.showers(100, rng))

        return ready

    def cherenkov() -> Job:
        rng = np.random.default_rng(1)
        return lambda: len(draw_tracks(2000, SPECIES, 0.6, Detector(), rng))

    made = (
        jets,
        pxd,
        airshowers,
        *(calorimeter(name) for name in ("ds1-photons", "ds2", "testbeam")),
        cherenkov,
    )
    return dict(zip(DATA_SETS, made, strict=True))


class Samples:
    """Small simulated files, made when they are asked for.

    Args:
        folder: where they are made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._made: dict[str, Path] = {}

    def file(self, name: str) -> Path:
        """The file of a data set."""
        if name not in self._made:
            simulate, number, options = DATA_SETS[name]
            path = self.folder / f"{len(self._made)}.h5"
            amount = {"events": number} if simulate is simulate_pxd else {"n": number}
            self._made[name] = simulate(out=path, seed=1, **amount, **options)
        return self._made[name]

    def prepared(self, name: str, preset: str) -> tuple[Session, Batch, Any]:
        """A preset made ready to train on a data set, the training sample, and its kind."""
        content = config.read(preset)
        kind = find(content["kind"])
        given = source(self.file(name), kind)
        real = given.training()
        session = Session(Run(self.folder / "unused"), content)
        session.prepare({DATA: real}, kind.conditions.arguments(real), {})
        return session, real, (kind, kind.conditions.state(real, given.describe()))


def monte_carlo(samples: Samples, number: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Simulator, and generator to physical units, in turns on the same core."""
    ready = simulators()
    for name, preset, size in GENERATORS:
        if preset in SHIPPED:
            model = load(preset)
        else:
            session, _, (kind, state) = samples.prepared(name, preset)
            model = Model(session.system.networks[session.system.product].eval(), session.transform, kind, state)
        events = size // SAMPLES.get(preset, 1)
        jobs = {"simulator": ready[name](), "torch": _generation(model, size, events)}
        with suppress(PartiganError):  # it may have none
            jobs["native"] = _generation(model.native(), size, events)
        yield f"{name}, `{preset}`", turns(jobs, number)


def _generation(model: Model, size: int, made: int) -> Job:
    def some() -> int:
        model.sample(size, 1)
        return made

    return some


SMALL = 16  # batch of steps whose plain form takes long
STEPS = (
    ("top jets, 30 particles", "mdma-fast"),
    ("top jets, 30 particles", "epic"),
    ("PXD, 40 sensors", "pxd-fast"),
    ("air showers, 9 x 9 stations", "airshower-fast"),
    ("air showers, 9 x 9 stations", "airshower-wgan-gp"),
    ("photons, ds1", "calo-fast"),
    ("photons, ds1", "calo-mdma"),
    ("Cherenkov detector", "cherenkov-fast"),
    ("Cherenkov detector", "cherenkov-cramer"),
)


def training(samples: Samples, number: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """A turn of every phase, loaders and optimisers included; those of `networks.py` beside their plain form."""
    for system in SETUPS:
        setup = replace(SETUPS[system], batch=SMALL)
        jobs = {label: _one(step_of(setup, 30, form)) for label, form in (("plain", 0), ("partigan", 1))}
        yield f"`{system}`, 30 particles, batch of {setup.batch}", turns(jobs, number)
    for name, preset in STEPS:
        session, real, _ = samples.prepared(name, preset)
        options = session.trainer.options
        loader = Loader(session.transform.held(real), options.batch_size, session.seed, transform=session.transform)
        feed = Feed({DATA: loader}, session.seed, session.physical)
        players = Players(session.trainer.fabric, session.system, feed, options.gradient_clip)
        jobs = {"partigan": _step(players)}
        yield f"`{preset}`, {name}, batch of {options.batch_size}", turns(jobs, number)


def _one(job: Job) -> Job:
    """A job whose result is one step."""

    def step() -> int:
        job()
        return 1

    return step


def _step(players: Players) -> Job:
    numbers = iter(range(10**9))

    def step() -> int:
        players.train_step(next(numbers), 10_000)
        return 1

    return step
