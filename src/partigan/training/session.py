"""A run while it is trained: admitted, prepared, begun, trained."""

from __future__ import annotations

import copy
import json
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import torch
import yaml
from lightning_fabric.utilities import rank_zero_only
from torch import Tensor

from partigan import __version__, config
from partigan.blame import said
from partigan.data.batch import Batch
from partigan.data.loader import Loader, Share
from partigan.data.streams import Stream, Windows, of_mean_1
from partigan.data.transforms import Transform, with_source
from partigan.errors import PartiganError
from partigan.files import refuse_existing
from partigan.folders import atomic_folder
from partigan.nets.contracts import Product, introduce
from partigan.outputs import writing
from partigan.progress import tell
from partigan.randomness import check_seed, rng_for
from partigan.reading import free_memory
from partigan.run import SPECIES, Run
from partigan.systems.system import DATA, System
from partigan.threads import choose
from partigan.training.players import Feed
from partigan.training.selection import Selection
from partigan.training.start import Start
from partigan.training.trainer import Trainer, Validate

MARGIN = 1e-5  # of a range
REHEARSED = 8  # samples on which every phase is tried before anything is made


class Session:
    """Owns a run while it is trained.

    Args:
        run: the run to make or to resume.
        content: configuration in its expanded form, see `partigan.config.read`.
        seed: makes the run reproducible.
        resume: resume an interrupted run, or start it where there is none.
        overwrite: replace an existing run.
        trust: follow class paths outside partigan.
        start: the earlier run whose networks it starts from; None = networks start anew.

    Attributes:
        resumed: True when an earlier run is resumed.
        streamed: names of the samples that are streamed.

    Raises:
        PartiganError: an existing output, or a configuration with mistakes; before anything is read or made.
    """

    system: System
    transform: Transform
    trainer: Trainer
    resolved: dict[str, Any]
    physical: Callable[[Batch], Batch]
    streamed: set[str]

    def __init__(
        self,
        run: Run,
        content: Mapping[str, Any],
        seed: int = 1,
        resume: bool = False,
        overwrite: bool = False,
        trust: bool = False,
        start: Start | None = None,
    ) -> None:
        check_seed(seed)
        self.run, self.content, self.seed, self.trust, self.start = run, content, seed, trust, start
        config.resolve(content, trust=trust)
        self.resumed = resume and run.exists
        self._held: dict[str, Batch | Windows] = {}
        self._origin: dict[str, Any] = {}
        if not self.resumed:
            refuse_existing(run.path, overwrite or resume)
            if resume and not overwrite and run.path.is_dir() and any(run.path.iterdir()):
                raise PartiganError(
                    f"{run.path} is not a run that could be resumed (no config.yaml); choose another --out"
                )

    def prepare(
        self,
        samples: Mapping[str, Batch],
        arguments: Mapping[str, Any],
        origin: dict[str, Any],
        streams: Mapping[str, Stream] | None = None,
    ) -> None:
        """Build what the configuration describes, fit the transform, and try every phase on a few samples.

        Args:
            samples: training samples in physical units, by name; of those that are streamed, a part.
            arguments: those of networks that the data decide.
            origin: where the samples come from, with their ``sha256``, for the manifest.
            streams: the samples that do not fit into memory, by name.

        Raises:
            PartiganError: networks that do not fit the data, missing samples, or a resumed run with other options.
        """
        self.resolved = config.resolve(self.content, arguments, self.trust)
        torch.manual_seed(self.seed)
        self.system, self.transform, options = config.build(self.resolved, self.trust)
        self.trainer, self._origin = Trainer(options), origin
        if missing := sorted(self.system.samples - samples.keys()):
            raise PartiganError(
                f"the system trains on {', '.join(sorted(self.system.samples))}, and there is no {missing[0]}; give "
                f"{' '.join(f'--{name} FILE' for name in sorted(self.system.samples))}"
            )
        _refuse_unlike(samples)
        for name, phase in self.system.phases.items():  # an optimiser may refuse its options
            try:
                phase.optimizer(self.system.parameters_of(phase))
            except Exception as error:  # whatever an optimiser does
                raise PartiganError(f"the optimiser of the {name} refuses: {said(error)}") from error
        if self.resumed:
            self._refuse_changes()
            self.transform.load_state(self.run.transform["state"])
        elif self.start is not None:
            self.start.normalise(self.transform, self.resolved)
        else:
            starts = [sample.start for sample in samples.values() if sample.source is not None]
            all_sides = [Batch(each.x, each.mask, each.condition) for each in (*samples.values(), *starts)]
            self.transform.fit(Batch.joined(all_sides))
        introduce(self.system, self.transform)
        if self.start is not None:
            self.start.give(self.system)
        self.streamed = {*(streams or {})}
        self._held = {
            name: self._streamed(streams[name], sample)
            if streams and name in streams
            else with_source(self.transform.held, of_mean_1(sample))
            for name, sample in samples.items()
        }
        self._tell_ends(samples)
        rng = rng_for("rehearsal", self.seed)
        tried = {}
        for name, sample in samples.items():
            held = self._held[name]
            few = held if isinstance(held, Batch) else with_source(self.transform.held, of_mean_1(sample[:REHEARSED]))
            tried[name] = with_source(lambda rows: self.transform.batch(rows, rng), few[:REHEARSED].trimmed())
        kept = self.system.rehearse(tried, self.transform.inverse)
        self._assure_memory(kept / min(map(len, tried.values())))
        self.physical = copy.deepcopy(self.transform).to(self.trainer.fabric.device).inverse  # terms work on the device

    def _assure_memory(self, each: float) -> None:
        """Refuse a batch whose turn does not fit into memory; ``each``: bytes that it keeps of a sample."""
        device, size = self.trainer.fabric.device, self.trainer.options.batch_size
        free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_memory()
        if size * each > free:
            raise PartiganError(
                f"a turn of {size:,} samples needs about {size * each / 1e9:.2g} GB of memory, and "
                f"{max(free, 0) / 1e9:.2g} GB are free; set --trainer.batch_size {max(int(free / each), 1)} or lower"
            )

    def _streamed(self, stream: Stream, sample: Batch) -> Windows:
        """The windows of a stream, normalised as they are read; weights over the mean of a sample of them."""
        mean = None if sample.weight is None else float(sample.weight.double().mean())
        return Windows(stream, self.seed, lambda rows: with_source(self.transform.held, of_mean_1(rows, mean)))

    def _tell_ends(self, samples: Mapping[str, Batch]) -> None:
        """Tell the product the ends of both samples, with room for rounding where it cuts."""
        source = self.system.source
        if source is None or DATA not in samples:
            return
        told = []
        for x in (samples[DATA].x, samples[source].start.x):
            lowest, highest = x.min(), x.max()
            ends = (lowest, x[x > lowest].min(), highest)
            row = samples[DATA][torch.zeros(len(ends), dtype=torch.long)]
            rows = replace(row, x=torch.stack([torch.ones_like(x[0]) * end for end in ends]))
            low, second, high = self.transform.forward(rows).x.flatten(1)[:, 0].tolist()
            margin = MARGIN * (high - low)
            normalised = (low, second - margin, high + margin)
            told.append((normalised, (lowest.item(), highest.item())))
        cast(Product, self.system.networks[self.system.product]).reach(*told)

    def train(
        self, conditions: dict[str, Any], validate: Validate, selection: Selection, threads: int | None = None
    ) -> None:
        """Write the files that a run starts from, where it is not resumed, and train to the end.

        Args:
            conditions: what the use of the run has to know of the training data.
            validate: gives metrics of the averaged product; called with it and the training step.
            selection: chooses the best checkpoint by these metrics.
            threads: as the user asks for; None = measured before the first step, see `partigan.threads`.
        """
        fabric = self.trainer.fabric
        fabric.launch()
        size, share = self.trainer.options.batch_size, Share(fabric.global_rank, fabric.world_size)
        loaders = {
            name: Loader(held, size, self.seed, share, self.transform, name) for name, held in self._held.items()
        }
        feed = Feed(loaders, self.seed, self.physical)
        before = self.run.manifest["threads"] if self.resumed else None
        number = choose(threads, lambda: self.trainer.trial(self.system, feed), before, fabric.broadcast)
        if before not in (None, number):
            tell(f"note: the run was started with {before} threads; with others it is not the same bit for bit")
        if not self.resumed and fabric.is_global_zero:
            stored = {"kind": self.content.get("kind"), "state": self.transform.state(), "conditions": conditions}
            with atomic_folder(self.run.path, "partigan train") as folder:
                run = Run(folder, self.run.product)
                run.create(yaml.safe_dump(self._settings(), sort_keys=False), stored, self._manifest())
        fabric.barrier()
        self.trainer.fit(self.run, self.system, feed, validate, selection)

    def _settings(self) -> dict[str, Any]:
        return {**self.resolved, "seed": self.seed}

    def _manifest(self) -> dict[str, Any]:
        """Where a run comes from."""
        return {
            "versions": {
                "partigan": __version__,
                "python": platform.python_version(),
                **{name: metadata.version(name) for name in ("torch", "lightning-fabric", "numpy")},
            },
            "git_revision": _git_revision(),
            "command": sys.argv,
            "data": self._origin,
            "threads": torch.get_num_threads(),
            "parameters": {n: sum(p.numel() for p in m.parameters()) for n, m in self.system.networks.items()},
            "source": self.system.source,
            **({} if self.start is None else {"start": self.start.said}),
        }

    def _refuse_changes(self) -> None:
        """Refuse to resume with another configuration or other data."""
        before, now = (dict(_flat(c)) for c in (self.run.config, json.loads(json.dumps(self._settings()))))
        before.setdefault("trainer.num_nodes", 1)  # runs of 0.1 have no such option
        total, asked = self.run.manifest.get("plan", {}).get("max_steps"), now["trainer.max_steps"]
        if total is not None and asked is not None and asked >= total:  # extended, or as it was
            before["trainer.max_steps"] = asked
        for key in sorted(before.keys() | now.keys()):
            if key != "trainer.checkpoint_seconds" and not key.startswith("about.") and before.get(key) != now.get(key):
                raise PartiganError(
                    f"{self.run.path} was trained with {key} = {before.get(key)!r}, not {now.get(key)!r}; "
                    "resume with the same options, or give another --out"
                )
        if (had := self.run.manifest.get("start")) != (None if self.start is None else self.start.said):
            raise PartiganError(
                f"{self.run.path} started from {had['path'] if had else 'no other run'}; resume with "
                f"{'--from ' + had['path'] + ', unchanged' if had else 'no --from'}"
            )
        if self.run.manifest["data"]["sha256"] != self._origin["sha256"]:
            raise PartiganError(
                f"{self.run.path} was trained on other data than {self._origin['path']}; resume with the same"
            )
        if (before_only := self.run.species) != (only := self._origin.get(SPECIES)):
            raise PartiganError(
                f"{self.run.path} was trained on the species {before_only or 'of all samples'}, not "
                f"{only or 'of all samples'}; resume with the same --species"
            )


@contextmanager
def writing_run(out: str | Path, inputs: Sequence[str | Path | None], resume: bool, overwrite: bool) -> Iterator[None]:
    """`partigan.outputs.writing` of a run, by the first of the processes that train it.

    Args:
        out: the run directory.
        inputs: what is read.
        resume: resume an interrupted run.
        overwrite: replace an existing run.
    """
    if getattr(rank_zero_only, "rank", 0):
        yield
    else:
        with writing(out, inputs, overwrite=overwrite, resume=resume):
            yield


def _refuse_unlike(samples: Mapping[str, Batch]) -> None:
    """Raise where named samples differ in shape, or one does not vary or has labels or a mask that another lacks."""
    first, *others = samples
    for name, sample in samples.items() if others else ():
        if (sample.x == sample.x.flatten()[0]).all():
            raise PartiganError(f"all values of {name} are {sample.x.flatten()[0].item():g}; is that the right file?")
    for name in others:
        for part, called in (("x", "samples"), ("mask", "masks"), ("condition", "labels or conditions")):
            one, two = (_shape(getattr(samples[each], part)) for each in (first, name))
            if one != two:
                raise PartiganError(f"{called} differ: {first} has {one}, {name} {two}; give files of one layout")
        classes = [_classes(samples[each]) for each in (first, name)]
        if classes[0] != classes[1]:
            raise PartiganError(
                f"labels differ: {first} has the classes {classes[0]}, {name} {classes[1]}; give both the same ones"
            )


def _classes(sample: Batch) -> list[int]:
    """The class labels of a sample; none where it has none."""
    condition = sample.condition
    return [] if condition is None or condition.is_floating_point() else condition.unique().tolist()


def _shape(values: Tensor | None) -> str:
    """Shape of a part of each sample, in words."""
    if values is None:
        return "none"
    if values.dim() == 1:
        return "one label for each sample"
    return f"the shape {list(values.shape[1:])}"


def _flat(value: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """The leaves of a configuration by dotted name."""
    if isinstance(value, dict):
        return [pair for key, entry in value.items() for pair in _flat(entry, f"{prefix}.{key}" if prefix else key)]
    if isinstance(value, list):
        return [pair for number, entry in enumerate(value) for pair in _flat(entry, f"{prefix}.{number}")]
    return [(prefix, value)]


def _git_revision() -> str | None:
    """The commit of partigan's checkout; None where it is installed and not a checkout."""
    here = Path(__file__)

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(here.parent), *arguments]
        try:
            return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        except OSError:  # no git
            return ""

    return git("rev-parse", "HEAD") if git("ls-files", here.name) else None
