"""The one trainer: ordered phases, schedules in steps, exact resumption, on whatever devices Fabric gives."""

from __future__ import annotations

import copy
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from partigan.data.batch import Batch
from partigan.data.loader import Loader
from partigan.errors import PartiganError
from partigan.progress import TrainingDisplay, console
from partigan.randomness import rng_for
from partigan.run import Run
from partigan.training.checkpoint import (
    Checkpoints,
    pack_module,
    pack_optimizer,
    save_tensors,
    unpack_module,
    unpack_optimizer,
)
from partigan.training.ema import EMA
from partigan.training.monitors import Log, Rules, Selection, collapse_signs, first_singular_values
from partigan.training.system import Phase, System, Tick

Validate = Callable[[nn.Module, int], dict[str, float]]
MEASURE_SECONDS = 4.0


class Trainer:
    """Trains any system.

    Args:
        max_steps: training steps; one step is one turn of every phase.
        max_minutes: wall-clock minutes, turned into steps once by a measurement before training; where both are
            given, the smaller number of steps counts.
        batch_size: samples in a batch of each process.
        validations: how often the run is validated, evenly over its steps.
        snapshots: generated samples that are kept at every validation, as ``samples/<step>.h5`` in the run directory.
        ema_half_life: half-life of the averaged generator as a fraction of the run; 0 = no averaging.
        ema_decay: what the average keeps of itself in a step, as papers give it (0.9999), in place of a half-life.
        gradient_clip: largest norm of a phase's gradient; None = not clipped.
        rules: which checkpoint is kept, and what ends a run early.
        checkpoint_seconds: time between two checkpoints; it has no influence on the result.
        accelerator: as in Lightning Fabric (cpu, cuda, mps, auto).
        devices: number of devices.
        strategy: as in Lightning Fabric (auto, ddp, ...).
        precision: as in Lightning Fabric (32-true, bf16-mixed, ...).
    """

    def __init__(
        self,
        max_steps: int | None = None,
        max_minutes: float | None = None,
        batch_size: int = 128,
        validations: int = 50,
        snapshots: int = 0,
        ema_half_life: float = 0.02,
        ema_decay: float | None = None,
        gradient_clip: float | None = None,
        rules: Rules | None = None,
        checkpoint_seconds: float = 60.0,
        accelerator: str = "auto",
        devices: int = 1,
        strategy: str = "auto",
        precision: str = "32-true",
    ) -> None:
        if max_steps is None and max_minutes is None:
            raise PartiganError("say how long to train: --trainer.max_minutes or --trainer.max_steps")
        for name, value in (
            ("max_steps", max_steps),
            ("max_minutes", max_minutes),
            ("batch_size", batch_size),
            ("validations", validations),
            ("gradient_clip", gradient_clip),
        ):
            if value is not None and value <= 0:
                raise PartiganError(f"trainer.{name} = {value}; it must be above 0")
        if rules is not None and rules.patience is not None and rules.patience < 1:
            raise PartiganError(f"trainer.rules.patience = {rules.patience}; it must be above 0")
        if ema_half_life < 0:
            raise PartiganError(f"trainer.ema_half_life = {ema_half_life}; it must not be below 0")
        self.max_steps, self.max_minutes, self.batch_size = max_steps, max_minutes, batch_size
        self.snapshots = snapshots
        if ema_decay is not None and not 0 <= ema_decay < 1:
            raise PartiganError(f"trainer.ema_decay = {ema_decay}; it must be at least 0 and below 1")
        self.validations, self.ema_half_life, self.ema_decay = validations, ema_half_life, ema_decay
        self.rules = rules or Rules()
        self.gradient_clip, self.checkpoint_seconds = gradient_clip, checkpoint_seconds
        self.fabric = Fabric(accelerator=accelerator, devices=devices, strategy=strategy, precision=precision)  # type: ignore[arg-type]

    def fit(
        self, run: Run, system: System, loader: Loader, validate: Validate, selection: Selection, seed: int
    ) -> None:
        """Train from the run's newest checkpoint, or from the start, to the end.

        Args:
            run: where everything is written.
            system: networks and phases.
            loader: batches of the normalised training sample.
            validate: gives metrics of a generator; called with it and the training step.
            selection: chooses the best checkpoint by these metrics.
            seed: together with the step it decides all randomness.

        Raises:
            PartiganError: a loss is not finite (says which term and step).
            KeyboardInterrupt: after a checkpoint was written.
        """
        fabric = self.fabric
        checkpoints = Checkpoints(run.path / "checkpoints")
        found = checkpoints.newest()
        plan = run.manifest.get("plan") or self._plan(system, loader, validate, seed)
        total = plan["max_steps"]
        if fabric.is_global_zero:
            run.update_manifest(plan=plan)

        players = Players(fabric, system)
        ema = EMA(system.networks[system.product], self.ema_half_life * total, self.ema_decay)
        start, spent, stopped = 0, 0.0, ""
        if found:
            tensors, state = found
            for name, network in system.networks.items():
                unpack_module(f"network.{name}", network, tensors)
            for number, optimizer in enumerate(players.optimizers):
                unpack_optimizer(f"optimizer.{number}", optimizer, tensors)
            unpack_module("ema", ema.network, tensors)
            vars(selection).update(state["selection"])
            start, spent, stopped = state["step"], state["seconds"], state.get("stopped", "")

        validate_at = {round(total * k / self.validations) for k in range(1, self.validations + 1)}
        log_every = max(1, total // 500)
        log = Log(run.path, start) if fabric.is_global_zero else None
        began, saved, losses = time.monotonic() - spent, time.monotonic(), _Means()
        step = start

        def save() -> None:
            if fabric.is_global_zero:
                tensors = pack_module("ema", ema.network)
                for name, network in system.networks.items():
                    tensors |= pack_module(f"network.{name}", network)
                for number, optimizer in enumerate(players.optimizers):
                    tensors |= pack_optimizer(f"optimizer.{number}", optimizer)
                state = {"selection": selection.state(), "seconds": time.monotonic() - began, "stopped": stopped}
                checkpoints.save(step, tensors, state)

        with (
            _Interruption() as interruption,
            TrainingDisplay(total, start, run.path.name, fabric.is_global_zero) as display,
            ExitStack() as stack,
        ):
            if log:
                stack.callback(log.close)
            while step < total and not stopped:
                losses.add(players.train_step(step, total, loader, seed, self.gradient_clip))
                ema.update(system.networks[system.product])
                step += 1
                if log and (step % log_every == 0 or step in validate_at):
                    log.write(step, means := losses.take())
                    display.losses(means)
                if log and step in validate_at:
                    values = validate(ema.network, step)
                    log.write(step, values | players.singular_values())
                    if chosen := selection.take(step, values):
                        weights = pack_module(system.product, ema.network)
                        save_tensors(run.weights, weights, {"step": step, **values})
                    display.validation(step, values, chosen)
                    stopped = self._reason_to_stop(log, selection, step, validate_at)
                if step in validate_at:
                    stopped = fabric.broadcast(stopped)
                display.advance(step, self.batch_size * fabric.world_size)
                if (
                    interruption.requested
                    or step == total
                    or stopped
                    or time.monotonic() - saved > self.checkpoint_seconds
                ):
                    save()
                    saved = time.monotonic()
                if interruption.requested:
                    raise KeyboardInterrupt
        fabric.barrier()
        if fabric.is_global_zero:
            run.update_manifest(
                finished={
                    "step": step,
                    "seconds": round(time.monotonic() - began, 1),
                    "selection": selection.state(),
                    **({"stopped": stopped} if stopped else {}),
                }
            )

    def _reason_to_stop(self, log: Log, selection: Selection, step: int, validations: set[int]) -> str:
        """Why the run ends here, by its rules; empty where it goes on."""
        signs = [] if self.rules.collapse == "ignore" else collapse_signs(log.lines)
        for sign in signs:
            console.print(f"step {step}: {sign}; a collapse?")
        if signs and self.rules.collapse == "stop":
            return "; ".join(signs)
        if self.rules.tired(selection.step, step, validations):
            return f"no better checkpoint in {self.rules.patience} validations"
        return ""

    def _plan(self, system: System, loader: Loader, validate: Validate, seed: int) -> dict[str, Any]:
        """The number of training steps, measured on copies where minutes were asked for."""
        if self.max_minutes is None:
            return {"max_steps": self.max_steps}
        twin = copy.deepcopy(system)
        players = Players(self.fabric, twin)

        def seconds_per_step(steps: int) -> float:
            began = time.monotonic()
            for step in range(steps):
                players.train_step(step, 100, loader, seed, self.gradient_clip)
            return (time.monotonic() - began) / steps

        seconds_per_step(5)
        steps = self.fabric.broadcast(max(int(MEASURE_SECONDS / seconds_per_step(5)), 5))  # the same in all processes
        per_step = seconds_per_step(steps)
        product = twin.networks[twin.product].eval()
        validate(product, 0)
        began = time.monotonic()
        validate(product, 0)
        per_validation = time.monotonic() - began
        seconds = max(60 * self.max_minutes - self.validations * per_validation, 0.0)
        measured = self.fabric.broadcast(max(int(seconds / per_step), 1))
        return {
            "max_steps": measured if self.max_steps is None else min(measured, self.max_steps),
            "max_minutes": self.max_minutes,
            "seconds_per_step": per_step,
            "seconds_per_validation": per_validation,
        }


class Players:
    """A system's networks and optimisers, set up on the devices."""

    def __init__(self, fabric: Fabric, system: System) -> None:
        self.fabric, self.phases = fabric, system.phases
        self.networks = {name: fabric.to_device(network) for name, network in system.networks.items()}
        self.parameters = [
            [p for name in phase.update for p in system.networks[name].parameters()] for phase in self.phases
        ]
        plain = [phase.optimizer(parameters) for phase, parameters in zip(self.phases, self.parameters, strict=True)]
        self.rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in plain]
        self.optimizers: list[Any] = [fabric.setup_optimizers(optimizer) for optimizer in plain]
        self.scaled = getattr(fabric._precision, "scaler", None) is not None  # skips steps whose gradients overflow
        self.turns = sum(phase.steps for phase in self.phases)
        self.progressive: list[Any] = [
            network for network in system.networks.values() if hasattr(network, "set_progress")
        ]

    def train_step(self, step: int, total: int, loader: Loader, seed: int, clip: float | None) -> dict[str, Tensor]:
        """One turn of every phase; returns the parts of the losses, by ``phase/part``."""
        parts: dict[str, Tensor] = {}
        turn = step * self.turns
        done = min(step / total, 1.0)
        for network in self.progressive:
            network.set_progress(done)
        for number, phase in enumerate(self.phases):
            if step % phase.every == 0:
                for group, rate in zip(self.optimizers[number].param_groups, self.rates[number], strict=True):
                    group["lr"] = rate * phase.schedule(done)
                for update in range(phase.steps):
                    parts |= self._update(number, step, done, loader, turn + update, seed, clip)
            turn += phase.steps
        return parts

    def _update(
        self, number: int, step: int, done: float, loader: Loader, turn: int, seed: int, clip: float | None
    ) -> dict[str, Tensor]:
        phase, optimizer, parameters = self.phases[number], self.optimizers[number], self.parameters[number]
        tick = Tick(step, self._rng(seed, turn), done)
        batch = loader.batch(turn).to(self.fabric.device)
        label = "+".join(phase.update)
        with self._others_fixed(phase):
            losses = self._losses(phase, batch, tick)
            for name, value in losses.items():
                if not torch.isfinite(value):
                    raise _not_finite(step, f"{name} of the {label} is {value.item()}")
            self.fabric.backward(torch.stack(list(losses.values())).sum())
        if self.fabric.world_size > 1:
            self._average(parameters)
        norm = self.fabric.clip_gradients(
            self.networks[phase.update[0]], optimizer, max_norm=clip or math.inf, error_if_nonfinite=False
        )
        assert norm is not None
        if not torch.isfinite(norm) and not self.scaled:
            with self._others_fixed(phase):
                again = self._losses(phase, batch, Tick(step, self._rng(seed, turn), done))
                culprits = self._culprits(again, parameters)
            raise _not_finite(step, f"the gradient of {culprits} of the {label} is {norm.item()}")
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        phase.after_step(self.networks)
        notes = {"gradient/norm": norm, **tick.notes}
        return {f"{label}/{name}": value.detach() for name, value in (losses | notes).items()}

    def singular_values(self) -> dict[str, float]:
        """First singular value of every weight matrix of every network."""
        return {
            f"{name}/singular/{layer}": value
            for name, network in self.networks.items()
            for layer, value in first_singular_values(network).items()
        }

    def _rng(self, seed: int, turn: int) -> torch.Generator:
        """Randomness of one turn; dropout draws from the global generator, which is set to the same."""
        rng = rng_for("turn", seed, turn, self.fabric.global_rank, device=self.fabric.device)
        torch.default_generator.manual_seed(rng.initial_seed())  # torch.manual_seed would take 0.5 ms, for all devices
        if self.fabric.device.type != "cpu":
            getattr(torch, self.fabric.device.type).manual_seed(rng.initial_seed())
        return rng

    @contextmanager
    def _others_fixed(self, phase: Phase) -> Iterator[None]:
        """Hold fixed the networks that a phase does not update, backward pass included: it may do a part again."""
        with ExitStack() as stack:
            for name, network in self.networks.items():
                if name not in phase.update:
                    stack.enter_context(_frozen(network))
            yield

    def _losses(self, phase: Phase, batch: Batch, tick: Tick) -> dict[str, Tensor]:
        """The parts of a phase's loss."""
        with self.fabric.autocast():
            return phase.losses(self.networks, batch, tick)

    @staticmethod
    def _culprits(losses: dict[str, Tensor], parameters: list[nn.Parameter]) -> str:
        """The parts of a loss whose own gradient is not finite; all of them where only their sum is not."""
        bad = []
        for name, value in losses.items():
            if value.requires_grad:
                gradients = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
                if not all(g is None or bool(g.isfinite().all()) for g in gradients):
                    bad.append(name)
        return " and ".join(bad or losses)

    def _average(self, parameters: list[nn.Parameter]) -> None:
        """Replace gradients by their means over all processes, in one message.

        A wrapper around each network would expect one forward and one backward pass of all its parameters; the
        turns of a GAN have two, and penalties a third.
        """
        gradients = [p.grad for p in parameters if p.grad is not None]
        mean = self.fabric.all_reduce(torch.cat([gradient.flatten() for gradient in gradients]), reduce_op="mean")
        assert isinstance(mean, Tensor)
        for gradient, part in zip(gradients, mean.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    """No gradients for parameters that are not updated, so that none are computed."""
    trained = [p for p in network.parameters() if p.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


def _not_finite(step: int, what: str) -> PartiganError:
    return PartiganError(
        f"training stopped at step {step}: {what}; "
        "lower the learning rate or clip gradients (--trainer.gradient_clip), then start anew"
    )


class _Means:
    """Running means of named scalars."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, values: dict[str, Tensor]) -> None:
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._counts[name] = self._counts.get(name, 0) + 1

    def take(self) -> dict[str, float]:
        means = {name: float(total) / self._counts[name] for name, total in self._sums.items()}
        self._sums, self._counts = {}, {}
        return means


class _Interruption:
    """Ctrl-C and SIGTERM end a run between two steps, after a checkpoint; a second Ctrl-C ends it at once."""

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> _Interruption:
        main = threading.current_thread() is threading.main_thread()
        self._before = {s: signal.signal(s, self._request) for s in (signal.SIGINT, signal.SIGTERM) if main}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _request(self, *_: object) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
