"""Time the simulation of calorimeter showers on one core, and compare its means with the parametrisation.

``python benchmarks/calorimeter_simulator.py`` writes ``results/calorimeter/simulator.json``.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np

from partigan.data.calorimeter import geometry, names
from partigan.simulate.calorimeter import Task
from partigan.simulate.calorimeter_showers import Calorimeter
from partigan.simulate.gflash import Averages, Shape

OUT = Path(__file__).parents[1] / "results" / "calorimeter" / "simulator.json"


def main() -> None:
    """Time all geometries; mean depth of the maximum and linearity in data set 2's calorimeter."""
    times = {}
    for name in names():
        task, showers = Task.of(name, None, ""), 200 if name == "ds3" else 1000
        task.showers(20, np.random.default_rng(0))
        began = time.process_time()
        task.showers(showers, np.random.default_rng(1))
        times[name] = round(1000 * (time.process_time() - began) / showers, 3)
    calorimeter, rows = Calorimeter.of(geometry("ds2")), []
    depth = 0.8 * (np.arange(45) + 0.5)
    for gev in (1, 10, 100):
        rng, energy = np.random.default_rng(2), np.full(500, 1000.0 * gev)
        found = calorimeter.electrons(energy, np.zeros(500), rng)
        profile = found.reshape(500, 45, -1).sum(2).mean(0)
        averages = Averages.of(np.full(50_000, energy[0] / calorimeter.medium.critical_energy), calorimeter.medium)
        shares = Shape.drawn(averages, rng).shares(np.linspace(0, 36, 46), np.zeros(50_000)).mean(0)
        rows.append(
            {
                "energy_gev": gev,
                "response": float((found.sum(1) / energy).mean()),
                "resolution": float((found.sum(1) / energy).std()),
                "expected_resolution": 0.2 / gev**0.5,
                "mean_depth_x0": float(profile @ depth / profile.sum()),
                "expected_mean_depth_x0": float(shares @ depth / shares.sum()),
            }
        )
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps({"cpu_ms_a_shower": times, "electrons_ds2": rows}, indent=2) + "\n", encoding="utf-8")
    print(OUT.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
