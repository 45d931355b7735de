"""The one training loop: exact resumption, averages, validations, on whatever devices Fabric gives."""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from partigan.errors import PartiganError
from partigan.interruption import Interruption
from partigan.models.checkpoint import (
    Checkpoints,
    pack_module,
    pack_optimizer,
    save_tensors,
    unpack_module,
    unpack_optimizer,
)
from partigan.progress import TrainingDisplay, tell
from partigan.run import Run
from partigan.systems.options import TrainerOptions
from partigan.systems.system import System
from partigan.training.ema import EMA
from partigan.training.health import collapse_signs
from partigan.training.log import Log, Means
from partigan.training.players import Feed, Players
from partigan.training.selection import Selection

Validate = Callable[[nn.Module, int], dict[str, float]]
MEASURE_SECONDS = 4.0
LOGGED = 500  # lines of losses in a log, at most


class Trainer:
    """Trains any system.

    Args:
        options: how long, on what, and what is kept.

    Raises:
        PartiganError: the options do not say how long to train.
    """

    def __init__(self, options: TrainerOptions) -> None:
        if options.max_steps is None and options.max_minutes is None:
            raise PartiganError("say how long to train: --trainer.max_minutes or --trainer.max_steps")
        self.options = options
        names = ("accelerator", "devices", "num_nodes", "strategy", "precision")
        try:
            self.fabric = Fabric(**{name: getattr(options, name) for name in names})
        except Exception as error:  # Fabric refuses in many ways
            given = ", ".join(f"trainer.{name} = {getattr(options, name)!r}" for name in names)
            raise PartiganError(f"Lightning Fabric refuses {given}: {error}") from error

    def fit(self, run: Run, system: System, feed: Feed, validate: Validate, selection: Selection) -> None:
        """Train from the run's newest checkpoint, or from the start, to the end.

        Args:
            run: where everything is written.
            system: networks and phases.
            feed: batches of the normalised training samples, and the seed.
            validate: gives metrics of the averaged product; called with it and the training step.
            selection: chooses the best checkpoint by these metrics.

        Raises:
            PartiganError: a loss is not finite (says which term and step).
            KeyboardInterrupt: after a checkpoint was written.
        """
        had = run.manifest.get("plan")
        plan = had or self._plan(system, feed, validate)
        extended = run.manifest.get("extended", [])
        if had and (more := self._extension(run, had["max_steps"])):
            plan, extended = {**plan, "max_steps": more["to"]}, [*extended, more]
        self.fabric.barrier()
        if self.fabric.is_global_zero:
            run.update_manifest(plan=plan, **({"extended": extended, "finished": None} if extended else {}))
            run.unseal()
        _Training(self, run, system, feed, plan["max_steps"], selection, extended).to_the_end(validate)

    def _extension(self, run: Run, total: int) -> dict[str, int] | None:
        """How a resumed run is extended, for its manifest; None where it is to end as it began."""
        asked = self.options.max_steps
        if asked is None or asked <= total or asked == run.config["trainer"]["max_steps"]:
            return None
        found = Checkpoints(run.path / "checkpoints").newest()
        at = 0 if found is None else found[1]["step"]
        if self.fabric.is_global_zero:
            tell(
                f"extended at step {at:,} from {total:,} to {asked:,} steps: learning rates, terms and averages are "
                f"now those of a run of {asked:,} steps at this step"
            )
        return {"from": total, "to": asked, "at": at}

    def trial(self, system: System, feed: Feed) -> Callable[[], object]:
        """A function that does a training step of copies of the networks, to measure how long it takes."""
        players = Players(self.fabric, copy.deepcopy(system), feed, self.options.gradient_clip)
        steps = itertools.count()
        return lambda: players.train_step(next(steps), 100)

    def _plan(self, system: System, feed: Feed, validate: Validate) -> dict[str, Any]:
        """The number of training steps, measured on copies where minutes were asked for."""
        options = self.options
        if options.max_minutes is None:
            return {"max_steps": options.max_steps}
        twin = copy.deepcopy(system)
        players = Players(self.fabric, twin, feed, options.gradient_clip)

        def seconds_per_step(steps: int) -> float:
            began = time.monotonic()
            for step in range(steps):
                players.train_step(step, 100)
            return (time.monotonic() - began) / steps

        seconds_per_step(5)
        steps = self.fabric.broadcast(max(int(MEASURE_SECONDS / seconds_per_step(5)), 5))  # the same in all processes
        per_step = seconds_per_step(steps)
        product = twin.networks[twin.product].eval()
        validate(product, 0)
        began = time.monotonic()
        validate(product, 0)
        per_validation = time.monotonic() - began
        seconds = max(60 * options.max_minutes - options.validations * per_validation, 0.0)
        measured = self.fabric.broadcast(max(int(seconds / per_step), 1))
        return {
            "max_steps": measured if options.max_steps is None else min(measured, options.max_steps),
            "max_minutes": options.max_minutes,
            "seconds_per_step": per_step,
            "seconds_per_validation": per_validation,
        }


class _Training:
    """One training from its newest checkpoint to its end."""

    def __init__(
        self,
        trainer: Trainer,
        run: Run,
        system: System,
        feed: Feed,
        total: int,
        selection: Selection,
        extended: Sequence[dict[str, int]] = (),
    ) -> None:
        self.options, self.fabric = trainer.options, trainer.fabric
        self.run, self.system, self.total, self.selection = run, system, total, selection
        self.players = Players(self.fabric, system, feed, self.options.gradient_clip)
        self.product = system.networks[system.product]
        self.ema = EMA(self.product, self.options.ema_half_life * total, self.options.ema_decay)
        self.checkpoints = Checkpoints(run.path / "checkpoints")
        self.step, self.seconds, self.stopped = 0, 0.0, ""
        self.extended_at = extended[-1]["at"] if extended else 0  # what stopped the run before no longer counts
        self._restore()
        self.start, self.began = self.step, time.monotonic() - self.seconds
        each = range(1, self.options.validations + 1)
        self.validate_at = {round(total * k / self.options.validations) for k in each}

    def _restore(self) -> None:
        """Take everything from the newest checkpoint, where there is one."""
        if (found := self.checkpoints.newest()) is None:
            return
        tensors, state = found
        for name, network in self.system.networks.items():
            unpack_module(f"network.{name}", network, tensors)
        for name, optimizer in self.players.optimizers.items():
            unpack_optimizer(f"optimizer.{name}", optimizer, tensors)
        unpack_module("ema", self.ema.network, tensors)
        vars(self.selection).update(state["selection"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.stopped = "" if self.step == self.extended_at else state.get("stopped", "")

    def _save(self) -> None:
        """Write a checkpoint."""
        if not self.fabric.is_global_zero:
            return
        tensors = pack_module("ema", self.ema.network)
        for name, network in self.system.networks.items():
            tensors |= pack_module(f"network.{name}", network)
        for name, optimizer in self.players.optimizers.items():
            tensors |= pack_optimizer(f"optimizer.{name}", optimizer)
        seconds = time.monotonic() - self.began
        state = {"selection": self.selection.state(), "seconds": seconds, "stopped": self.stopped}
        self.checkpoints.save(self.step, tensors, state)

    def to_the_end(self, validate: Validate) -> None:
        """Train, log, validate, and write checkpoints on the way."""
        first = self.fabric.is_global_zero
        log = Log(self.run, self.start) if first else None
        log_every = max(1, self.total // LOGGED)
        losses, saved = Means(), time.monotonic()
        with (
            Interruption() as interruption,
            TrainingDisplay(self.total, self.start, self.run.path.name, first) as display,
            ExitStack() as stack,
        ):
            if log:
                stack.callback(log.close)
            while self.step < self.total and not self.stopped:
                losses.add(self.players.train_step(self.step, self.total))
                self.ema.update(self.product)
                self.step += 1
                validates = self.step in self.validate_at
                if log and (self.step % log_every == 0 or validates):
                    log.write(self.step, means := losses.take())
                    display.losses(means)
                if log and validates:
                    self._validate(log, display, validate)
                if validates:
                    self.stopped = self.fabric.broadcast(self.stopped)
                display.advance(self.step, self.options.batch_size * self.fabric.world_size)
                interrupted = self._agreed(interruption.requested)
                over = self.step == self.total or bool(self.stopped) or interrupted
                if over or time.monotonic() - saved > self.options.checkpoint_seconds:
                    self._save()
                    saved = time.monotonic()
                if interrupted:
                    raise KeyboardInterrupt
        self.fabric.barrier()
        if first:
            self.run.update_manifest(finished=self._outcome())
            self.run.seal()
            tell(*self.selection.outcome())

    def _agreed(self, requested: bool) -> bool:
        """Whether any of the processes was asked to end: all do, after the same step."""
        if self.fabric.world_size == 1:
            return requested
        flag = self.fabric.all_reduce(torch.tensor(float(requested), device=self.fabric.device), reduce_op="sum")
        assert isinstance(flag, torch.Tensor)
        return bool(flag > 0)

    def _validate(self, log: Log, display: TrainingDisplay, validate: Validate) -> None:
        """Validate the average, keep it where it is the best, and see whether to stop."""
        self.players.recounted(self.system.product, self.ema.network, self.step)
        values = validate(self.ema.network, self.step)
        log.write(self.step, values | self.players.singular_values())
        if self.selection.take(self.step, values):
            weights = pack_module(self.system.product, self.ema.network)
            save_tensors(self.run.weights, weights, {"step": self.step, **values})
        display.validation(self.step, values, self.selection.word(self.step, values))
        rules = self.options.rules
        signs = [] if rules.collapse == "ignore" else collapse_signs(log.lines)
        for sign in signs:
            tell(f"step {self.step}: {sign}; a collapse?")
        if signs and rules.collapse == "stop":
            self.stopped = "; ".join(signs)
        elif self.selection.tired(rules, self.step, {at for at in self.validate_at if at > self.extended_at}):
            self.stopped = f"no better checkpoint in {rules.patience} validations"

    def _outcome(self) -> dict[str, Any]:
        """How the run ended, for its manifest."""
        seconds = round(time.monotonic() - self.began, 1)
        outcome = {"step": self.step, "seconds": seconds, "selection": self.selection.state()}
        return outcome | ({"stopped": self.stopped} if self.stopped else {})
