"""A trained model: what `partigan.load` gives."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from partigan.config import build
from partigan.data.batch import Batch
from partigan.data.transforms.transform import Transform
from partigan.documents import check
from partigan.errors import PartiganError, check_number
from partigan.kinds import find
from partigan.kinds.kind import Kind
from partigan.models.checkpoint import load_tensors, unpack_module
from partigan.models.native import NativeGenerator
from partigan.nets.contracts import Generator, NoisyTranslator, Translator, introduce
from partigan.progress import tell
from partigan.randomness import check_seed, rng_for
from partigan.reading import assure_memory
from partigan.run import Run, known_run

EXAMPLES = 64  # samples whose conditions a native form is tried with
PRECISIONS = ("float32", "bfloat16")
GROUP_VALUES = 2**14  # particles in a group: what a block works on stays in the cache


@dataclass(frozen=True)
class Model:
    """A trained network with what belongs to it.

    Attributes:
        network: the generator, or the translator, as it was trained.
        transform: the fitted normalisation.
        kind: the kind of data.
        conditions: what generation has to know of the training sample (`Conditions.state`).
        manifest: where the run comes from.
        name: of the run, for messages.
    """

    network: nn.Module
    transform: Transform
    kind: Kind
    conditions: dict[str, Any] = field(repr=False)
    manifest: dict[str, Any] = field(default_factory=dict, repr=False)
    name: str = ""

    @property
    def generator(self) -> Generator:
        """The network, where it makes samples from noise.

        Raises:
            PartiganError: it does not.
        """
        if not isinstance(self.network, Generator):
            raise PartiganError(f"{self.name}: {type(self.network).__name__} makes no samples from noise; use refine")
        return self.network

    @cached_property
    def _deployed(self) -> Any:
        return self.network.deployed()  # type: ignore[operator]

    def deployed(self) -> nn.Module:
        """The network's inference form: norms folded, all that is drawn at generation only included."""
        return self._deployed  # type: ignore[no-any-return]

    def native(self) -> Model:
        """The same model with its samples made by compiled C, equal to those of torch to 1e-5.

        Raises:
            PartiganError: the generator has no native form, or there is no C compiler.

        Example:
            >>> jets = load("runs/top").native().sample(1_000_000, seed=1)  # doctest: +SKIP
        """
        condition, mask = self.kind.conditions.draw(self.conditions, EXAMPLES, rng_for("native"))
        mask = mask if self.transform.masked else None
        self.generator  # noqa: B018  # refuses networks that do not generate
        return replace(self, network=NativeGenerator(self._deployed, self._seen(condition), mask))

    def with_truncation(self, truncation: float) -> Model:
        """The same model with more typical and less various samples, see `Generator.truncation`.

        Raises:
            PartiganError: the network has nothing of the kind, or the value cannot be.
        """
        if self.generator.truncation is None:
            raise PartiganError(f"{type(self.network).__name__} of {self.name} has no truncation; leave it out")
        if not 0 <= truncation < torch.inf:
            raise PartiganError(f"truncation = {truncation}; it must not be below 0, or infinite")
        network = copy.deepcopy(self.generator)
        network.truncation = truncation
        return replace(self, network=network)

    def with_precision(self, precision: str) -> Model:
        """The same model computing with other numbers.

        Args:
            precision: float32, or bfloat16: faster on processors that multiply it (avx512_bf16, amx), and slower on
                others; samples then differ by rounding to 8 bits.

        Raises:
            PartiganError: the network has no choice, or there is no such precision.
        """
        if precision not in PRECISIONS:
            raise PartiganError(f"precision = {precision!r}; it is {' or '.join(PRECISIONS)}")
        if self.generator.precision is None:
            raise PartiganError(
                f"{type(self.network).__name__} of {self.name} has no choice of precision; leave it out"
            )
        network = copy.deepcopy(self.generator)
        network.precision = precision
        return replace(self, network=network)

    def sample(self, size: int, seed: int | None = None, first: int = 0) -> Batch:
        """Generate samples.

        Sample i of the stream of a seed is the same for any ``size``, ``first`` and process, up to rounding.

        Args:
            size: number of samples.
            seed: of the stream; None = a fresh one each time.
            first: number of the first sample in the stream.

        Returns:
            A batch in physical units, on the CPU.

        Raises:
            PartiganError: a size, seed or number that cannot be, or a network that does not generate.

        Example:
            >>> jets = load("runs/top").sample(1000, seed=1)  # doctest: +SKIP
            >>> more = load("runs/top").sample(1000, seed=1, first=1000)  # doctest: +SKIP
        """
        parts: list[Batch] = []
        for block in self._blocks(size, seed, first):
            parts.append(self._block(*block))
            if len(parts) == 1:  # whose samples are as large as all others
                assure_memory(2 * size * parts[0].x[0].nbytes, f"{size:,} samples at once")
        return Batch.joined(parts)

    def packed(self, size: int, seed: int | None = None, first: int = 0) -> Iterator[Batch]:
        """The samples that `sample` gives, block by block, as the format of their kind writes them fastest.

        Where the transform packs (`Transform.packs`) these are sparse, such as hits in place of images. Arguments and
        errors are those of `sample`.
        """
        for block in self._blocks(size, seed, first):
            yield self._block(*block, packed=self.transform.packs)

    def _blocks(self, size: int, seed: int | None, first: int) -> Iterator[tuple[int, int, int, int]]:
        """Arguments of `_block` for some samples of a stream."""
        check_number("size", size, "sample")
        if first < 0:
            raise PartiganError(f"first = {first}; samples are counted from 0")
        seed = secrets.randbelow(2**31) if seed is None else seed
        check_seed(seed)
        self.generator  # noqa: B018  # refuses networks that do not generate
        block = self.kind.conditions.block
        for number in range(first // block, -(-(first + size) // block)):
            yield seed, number, max(first - number * block, 0), min(first + size - number * block, block)

    @cached_property
    def _ready(self) -> dict[str, Any]:
        return self.kind.conditions.ready(self.conditions)

    def once(self, size: int | None = None) -> None:
        """Make one group of samples and forget them: what a long generation does over and over.

        Args:
            size: at most so many; None = a whole group.
        """
        rng = rng_for("once")
        size = self.kind.conditions.group if size is None else size
        condition, mask = self.kind.conditions.draw(self._ready, size, rng)
        mask = mask if self.transform.masked else None
        self._group(next(groups(size, mask, size)), slice(None), self._seen(condition), mask, rng)

    def _seen(self, condition: Tensor | None) -> Tensor | None:
        """Conditions as the network sees them."""
        return None if condition is None else self.transform.condition(condition)

    def _block(self, seed: int, number: int, low: int, high: int, packed: bool = False) -> Batch:
        """Samples ``low`` to ``high`` of one block of a stream, perhaps as the generator packs them.

        Conditions, masks and groups are those of the whole block, and every group has randomness of its own, so that a
        sample does not depend on which others are asked for.
        """
        size = self.kind.conditions.block
        parts = self.kind.conditions
        condition, mask = parts.draw(self._ready, size, rng_for("sample", seed, number))
        weight = parts.weight(self._ready, size, rng_for("sample", seed, number))
        mask = mask if self.transform.masked else None
        seen, found, rows = self._seen(condition), [], []
        for index, group in enumerate(groups(size, mask, self.kind.conditions.group)):
            inside = (group >= low) & (group < high)
            if inside.any():
                chosen = slice(None) if inside.all() else inside  # whole groups need no copies
                rng = rng_for("noise", seed, number, index)
                found.append(self._group(group, chosen, seen, mask, rng))
                rows.append(group[chosen] - low)
        x = together(found, rows, high - low, None if mask is None else mask.shape[1])
        wanted = slice(low, high)
        cut = [None if part is None else part[wanted] for part in (mask, seen, weight)]
        made = Batch(x, *cut) if packed else self.transform.inverse(Batch(x, *cut))
        return made if condition is None else replace(made, condition=parts.told(condition[wanted]))

    @torch.inference_mode()
    def _group(
        self, group: Tensor, chosen: Tensor | slice, condition: Tensor | None, mask: Tensor | None, rng: torch.Generator
    ) -> Tensor:
        """The chosen samples of a group, in the normalised space, trimmed to its largest cloud."""
        network = self._deployed
        device = next(network.parameters()).device
        part_mask = None if mask is None else mask[group][:, : max(int(mask[group].sum(1).max()), 1)]
        noise = network.noise(len(group), part_mask, rng)[chosen].to(device)
        part_condition = None if condition is None else condition[group[chosen]].to(device)
        if mask is None or part_mask is None or (part_mask.shape[1] == mask.shape[1] and part_mask.all()):
            made: Tensor = network(noise, part_condition, None).cpu()  # decided by the whole group: nothing is padded
        else:
            made = network(noise, part_condition, part_mask[chosen].to(device)).cpu()
        return made

    def beyond(self, sample: Batch, where: str, strict: bool = False) -> bool:
        """Warn of conditions outside the range that the run was trained on; True where there are some.

        Args:
            sample: whose conditions are asked for.
            where: what they are from, for messages.
            strict: refuse them.

        Raises:
            PartiganError: there are some, and ``strict``; or another number of conditions than in training.
        """
        try:
            sentences = self.kind.conditions.beyond(self.conditions, sample)
        except PartiganError as error:
            raise PartiganError(f"{where}: {error}") from error
        for sentence in sentences:
            if strict:
                raise PartiganError(f"{where}: {sentence}; give other conditions, or leave out --strict")
            tell(f"warning: {where}: {sentence}")
        return bool(sentences)

    def backward(self) -> Model:
        """The same model the other way: a translator that leads back.

        Raises:
            PartiganError: there is no way back.
        """
        return replace(self, network=self._translator.reversed())

    @property
    def _translator(self) -> Translator:
        if not isinstance(self.network, Translator):
            raise PartiganError(f"{self.name}: {type(self.network).__name__} makes samples from noise; use sample")
        return self.network

    @cached_property
    def _conditioned(self) -> bool:
        """Whether the training sample had labels or conditions."""
        parts = self.kind.conditions
        return parts.draw(self._ready, parts.block, rng_for("conditioned"))[0] is not None

    @torch.inference_mode()
    def refine(self, sample: Batch, seed: int = 1, first: int = 0) -> Batch:
        """Samples changed by a translator: refined, or translated.

        Labels and conditions that the run was not trained with are handed through.

        Args:
            sample: in physical units.
            seed: of translators that draw something, such as the dropout of pix2pix.
            first: number of the first sample in its file; what is drawn for each depends on its number alone, so that
                parts of a file are changed as the whole would be.

        Returns:
            The same samples in physical units, with what they were as ``source``.

        Raises:
            PartiganError: the network makes samples from noise, or they do not fit it.
        """
        self._translator  # noqa: B018  # refuses networks that generate
        check_seed(seed)
        device, group = next(self._deployed.parameters()).device, self.kind.conditions.group
        parts = []
        try:
            start = self.transform.forward(sample)
            if not self._conditioned:
                start = replace(start, condition=None)
            elif start.condition is None:
                raise PartiganError(f"{self.name} was trained with labels or conditions, and the samples have none")
            for low in range(0, len(sample), group):
                part = start[low : low + group].to(device)
                noise = self._noise(seed, range(first + low, first + low + len(part)))
                parts.append(self._deployed(part.x, part.condition, part.mask, *(n.to(device) for n in noise)).cpu())
        except (RuntimeError, IndexError, TypeError, ValueError) as error:
            shape = list(sample.x.shape[1:])
            raise PartiganError(
                f"{self.name} fails on samples of shape {shape}: {error}; was it trained on such?"
            ) from error
        x = self.transform.inverse(replace(start, x=torch.cat(parts))).x
        if (ends := self._translator.ends) is not None:
            x = x.clamp(*ends.tolist())
        return replace(sample, x=x, source=sample.x)

    def _noise(self, seed: int, rows: range) -> list[Tensor]:
        """What a translator with noise is called with for the samples of these numbers; nothing for others."""
        if not isinstance(self.network, NoisyTranslator):
            return []
        return [torch.stack([self.network.noise(rng_for("refine", seed, row)) for row in rows])]


def groups(size: int, mask: Tensor | None, largest: int) -> Iterator[Tensor]:
    """Rows of groups that a generator is given at once.

    Clouds are grouped by multiplicity, each group trimmed to its largest cloud, so that next to nothing is spent on
    padding.

    Args:
        size: number of rows.
        mask: of clouds; None for others.
        largest: rows in a group of others.
    """
    if mask is None:
        yield from torch.split(torch.arange(size), largest)
        return
    multiplicity = mask.sum(1)
    order = multiplicity.argsort(stable=True)
    widths = multiplicity[order].clamp_min(1)
    number = (widths.cumsum(0) - 1) // GROUP_VALUES  # a group ends where the particles so far fill it
    yield from (group for group in torch.split(order, torch.bincount(number).tolist()) if len(group))


def together(parts: list[Tensor], rows: list[Tensor], size: int, width: int | None) -> Tensor:
    """Groups in the order of their rows, clouds padded to ``width``."""
    shape = list(parts[0].shape[1:])
    if width is not None:
        shape[0] = width
    x = torch.zeros(size, *shape)
    for part, row in zip(parts, rows, strict=True):
        if width is None:
            x[row] = part
        else:
            x[row, : part.shape[1]] = part
    return x


def load(path: str | Path, trust: bool = False, verify: bool = True) -> Model:
    """The best network of a run, ready for use.

    Args:
        path: a run directory, or the name of a run that comes with partigan, such as ``pxd-fast``.
        trust: follow class paths outside partigan.
        verify: refuse files that were changed since the run was made.

    Raises:
        PartiganError: it is not a run directory, has no weights yet, is damaged, or is not trusted.

    Example:
        >>> maps = load("pxd-fast").sample(40, seed=1)
        >>> maps.x.shape  # 40 sensors, one channel, 250 columns, 768 rows
        torch.Size([40, 1, 250, 768])
    """
    run = Run(known_run(path), verify=verify)
    network, transform = opened(run, trust)
    if not isinstance(network, Generator | Translator):
        raise PartiganError(f"{run.path}: {type(network).__name__} is neither a Generator nor a Translator")
    stored = run.transform
    kind = find(stored["kind"], trust)
    check(stored["conditions"], kind.conditions.schema, f"{run.transform_file}: conditions")
    return Model(network, transform, kind, stored["conditions"], run.manifest, str(path))


def opened(run: Run, trust: bool = False) -> tuple[nn.Module, Transform]:
    """The product of a run with its best weights, in evaluation mode, and its fitted transform.

    Raises:
        PartiganError: it is not a run directory, has no weights yet, or is not trusted.
    """
    config = run.config
    if not run.weights.exists():
        raise PartiganError(f"{run.path} has no {run.product} yet; train on with --resume until the first validation")
    system, transform, _ = build(config, trust)
    transform.load_state(run.transform["state"])
    network = system.networks[run.product].eval()
    introduce(network, transform)
    unpack_module(run.product, network, load_tensors(run.verified(run.weights))[0])
    return network, transform
