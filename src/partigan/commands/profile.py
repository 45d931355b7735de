"""``partigan profile``: how fast a run generates on this machine, and what share of the machine that is."""

from __future__ import annotations

import copy
import platform
import resource
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from partigan.errors import PartiganError
from partigan.evaluation.terminal import lines_of, say, width
from partigan.files import refuse_existing, write_json
from partigan.models.model import Model, load
from partigan.nets.contracts import Generator
from partigan.outputs import writing
from partigan.run import known_run
from partigan.simulate.jets import seconds_of_a_jet
from partigan.threads import choose, step_seconds

SIDE = 1024  # of the matrices whose product is the machine's ceiling
SIMULATORS: dict[str, tuple[str, Callable[[dict[str, Any]], float]]] = {
    "jets": ("Pythia 8 and FastJet", lambda state: seconds_of_a_jet(state["jet_pt"], state["particles"]))
}
"""By kind, what a generator stands in for, and seconds that this takes for a sample, given the run's conditions."""
FORMS = {"eager": "as trained", "torch": "inference form", "native": "compiled C"}


class _AsTrained(Generator):
    """A generator in evaluation mode as its own inference form: nothing is folded."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = copy.deepcopy(generator).eval()

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        return self.generator.noise(size, mask, rng)

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        made: Tensor = self.generator(noise, condition, mask)
        return made

    def deployed(self) -> Generator:
        return self


def profile(
    run: str | Path,
    json: Path | None = None,
    threads: int | None = None,
    overwrite: bool = False,
    trust: bool = False,
    verify: bool = True,
) -> dict[str, Any]:
    """Measure how fast a run generates on this machine.

    Samples are made as ``generate`` makes them, from noise to physical units, without the file: by the network as it
    was trained, by its inference form, and by compiled C where there is one. The share of the machine is that of
    floating-point operations in products and convolutions, over those of a product of two large matrices in the same
    time. What compiled C does is counted as what torch does for the same samples. For jets, Pythia and FastJet are
    timed beside it, where they are installed.

    Args:
        run: run directory, or the name of a run that comes with partigan.
        json: file to make, with the same numbers.
        threads: None = OMP_NUM_THREADS, or measured: one, or more where they are faster.
        overwrite: replace an existing file.
        trust: follow class paths outside partigan.
        verify: refuse a run whose files were changed since it was made.

    Returns:
        For each form samples a second, ms for a single one, share of the machine and, where a simulator is timed, how
        much faster it is than that on one core (``speed_up``); further the machine's operations a second, operations
        of a sample, the largest memory of this process in MB, and ms of the simulator for a sample.

    Raises:
        PartiganError: not a run, no generator, or an existing output.
    """
    if json is not None:
        refuse_existing(json, overwrite)
    model = load(run, trust, verify)
    forms, why = {"eager": replace(model, network=_AsTrained(model.generator)), "torch": model}, ""
    number = choose(threads, lambda: model.once)
    try:
        forms["native"] = model.native()
    except PartiganError as error:
        why = str(error).replace("; take --engine torch", "")
    size = model.kind.conditions.block
    with FlopCounterMode(display=False) as counter:
        model.sample(size, 1)
    operations, ceiling = counter.get_total_flops() / size, _ceiling()
    found: dict[str, Any] = {name: _form(form, size, operations / ceiling) for name, form in forms.items()}
    found |= {
        "operations_a_sample": operations,
        "operations_a_second": ceiling,
        "memory_mb": _memory(),
        "threads": number,
        "machine": f"{platform.machine()}, torch {torch.__version__}",
    }
    title, simulated = _simulated(model)
    if simulated is not None:
        found["simulator_ms"] = 1e3 * simulated
        for name in forms:
            found[name]["speed_up"] = simulated * found[name]["samples_per_second"]
    cells = [
        [FORMS[name], f"{row['samples_per_second']:,.4g}", f"{row['ms_for_one']:.3g}", f"{row['share']:.0%}"]
        for name, row in ((name, found[name]) for name in forms)
    ]
    say(*lines_of(("form", "samples/s", "ms for one", "of the machine"), cells, [""] * len(cells), width()))
    say(f"million operations: {operations / 1e6:.3g} a sample; the machine does {ceiling / 1e6:,.3g} a second")
    say(f"threads: {number}; memory: {found['memory_mb']:.0f} MB", *([f"no compiled C: {why}"] if why else []))
    if simulated is not None:
        faster = ", ".join(f"{FORMS[name]} {found[name]['speed_up']:.3g} times as fast" for name in forms)
        say(f"{title}: {1e3 * simulated:.3g} ms a sample on one core; {faster}")
    if json is not None:
        with writing(json, [known_run(run)], overwrite=overwrite):
            write_json(json, found)
    return found


def _form(model: Model, size: int, seconds: float) -> dict[str, float]:
    """What one form does; ``seconds`` that the machine needs for a sample."""
    rate = size / step_seconds(lambda: model.sample(size, 1))
    one = step_seconds(lambda: model.once(1))
    return {"samples_per_second": rate, "ms_for_one": 1e3 * one, "share": seconds * rate}


def _simulated(model: Model) -> tuple[str, float | None]:
    """What the generator stands in for, and its seconds for a sample; None where that cannot be measured here."""
    if model.kind.name in SIMULATORS:
        title, seconds = SIMULATORS[model.kind.name]
        with suppress(PartiganError):
            return title, seconds(model.conditions)
    return "", None


def _ceiling() -> float:
    """Floating-point operations a second in a product of large matrices; the best of five tries."""
    one, other = torch.rand(SIDE, SIDE), torch.rand(SIDE, SIDE)
    times = []
    for _ in range(5):
        began = time.perf_counter()
        one @ other
        times.append(time.perf_counter() - began)
    return 2 * SIDE**3 / min(times)


def _memory() -> float:
    """The largest memory of this process so far, MB."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
