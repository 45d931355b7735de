"""What monitors cost: time of their parts over that of a training step, for the smallest networks and for MDMA.

    python benchmarks/monitors.py [--steps 300]

Gradient norms and scores are taken in every step, singular values and diversity at every validation (50 in a run; here
they are spread over the steps of the preset).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from one_batch import players_of
from partigan import config
from partigan.data.batch import Batch
from partigan.kinds import find
from partigan.systems.system import Tick
from partigan.training.health import collapse_signs, diversity


def seconds(function: Callable[[], object], repeat: int) -> float:
    """Median time of one call."""
    times = []
    for _ in range(repeat):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return float(np.median(times))


def main() -> None:
    """Print a markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    steps = parser.parse_args().steps
    torch.set_num_threads(1)
    print("| preset | step, ms | norms and scores | at validations, spread | sum |\n|---|---|---|---|---|")
    for preset, shape in (("toys", (256, 2)), ("toys-wgan-gp", (256, 2)), ("mdma", (128, 30, 3))):
        x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        batch = Batch(x, torch.ones(shape[:2], dtype=torch.bool) if len(shape) == 3 else None)
        content = config.read(preset)
        arguments = find(content["kind"]).conditions.arguments(batch)
        system, _, options = config.build(config.resolve(content, arguments))
        players = players_of(system, batch, options)
        players.train_step(0, steps)
        step = seconds(lambda p=players: p.train_step(1, steps), steps)
        each = 0.0
        for name, phase in players.phases.items():
            for parameter in players.parameters[name]:
                parameter.grad = torch.ones_like(parameter)
            norm = seconds(
                lambda p=players, n=name, f=phase: p.fabric.clip_gradients(
                    p.networks[f.updates[0]], p.optimizers[n], max_norm=torch.inf
                ),
                steps,
            )
            each += phase.steps * norm
        score, notes = torch.randn(len(x), 1), Tick(0, torch.Generator()).notes

        def note(score: torch.Tensor = score, notes: dict[str, torch.Tensor] = notes) -> None:
            notes["real"] = score.detach().mean()
            notes["fake"] = score.detach().mean()

        each += players.phases["critic"].steps * seconds(note, steps)
        log = [{"step": n, "critic/objective": 1.0, "diversity": 1.0} for n in range(550)]
        rare = seconds(
            lambda p=players, b=batch, lines=log: (p.singular_values(), diversity(b, b), collapse_signs(lines)), 5
        )
        rare *= options.validations / options.max_steps
        cells = (f"{1e3 * step:.2f}", f"{each / step:.1%}", f"{rare / step:.2%}", f"{(each + rare) / step:.1%}")
        print(f"| {preset} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
