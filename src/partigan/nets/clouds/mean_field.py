"""A chain of mean-field blocks: particles exchange information only through one token, the mean field.

The mean field attends to the particles with a single query per head. So linear maps fold, and nothing of size
(particles, hidden) is built. With ``a`` the activated particles, and ``W`` the layer that lifts them to the hidden
dimension:

    attention score   q . K (W a)              = (W^T K^T q) . a
    weighted values   sum_i w_i V (W a_i)      = V W (sum_i w_i a_i)
    particle update   U [W a, m]               = (U_x W) a + U_m m

Layer norm is a linear map and a division by the length. The maps on both its sides, and those between values and mean
field, are one. Outputs and gradients equal those of the unfolded network, kept as a reference in
``benchmarks/unfolded_mdma.py``.

In training on a CPU some 1,600 small operations of torch take much longer than their arithmetic. So the chain is one
operation in C there, ``mean_field.c``, where a C compiler is found. It equals the torch form, which serves everywhere
else, to the rounding.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from partigan.compiling import lanes, library
from partigan.errors import PartiganError

Activation = Callable[[Tensor], Tensor]
Linear = Callable[[int, int], nn.Linear]
WIDTH = 16  # numbers of the widest vector; sizes of the form in C are multiples of it
EPS = 1e-5  # of the layer norm
PARAMETERS = [
    (name, part)
    for name in ("lift", "norm", "query", "key", "value", "merge", "lower", "update")
    for part in ("weight", "bias")
    if (name, part) != ("key", "bias")  # it cancels in the softmax
]


class MeanFieldBlock(nn.Module):
    """The parameters of the building block of figure 1 of arXiv:2305.15254.

    Particles and mean field pass the same activation and lifting layer. The layer-normalised mean field attends to the
    particles and, with the multiplicity, is mapped back to the latent dimension. Every particle is then updated from
    itself and the new mean field. The activation comes *before* the shared lifting layer, as in the authors' published
    code; figure 1 draws it after.

    Args:
        latent: dimension l of a particle between blocks.
        hidden: dimension h in which particles and mean field meet; a multiple of the number of heads.
        linear: makes a linear layer, given the numbers of inputs and outputs.
    """

    def __init__(self, latent: int, hidden: int, linear: Linear) -> None:
        super().__init__()
        self.lift = linear(latent, hidden)
        self.norm = nn.LayerNorm(hidden, eps=EPS)
        self.query = linear(hidden, hidden)
        self.key = linear(hidden, hidden)
        self.value = linear(hidden, hidden)
        self.merge = linear(hidden, hidden)
        self.lower = linear(hidden + 1, latent)
        self.update = linear(hidden + latent, latent)


class MeanFieldNetwork(nn.Module):
    """Embedding, first mean field and blocks.

    Args:
        features: features of a particle.
        particles: largest number of particles, the constant that scales sum and multiplicity.
        latent: dimension l of a particle between blocks.
        hidden: dimension h in which particles and mean field meet.
        heads: attention heads.
        blocks: number of blocks.
        linear: makes a linear layer, given the numbers of inputs and outputs.
        activation: GELU, with residual connections between the particles before and after a block; or LeakyReLU 0.01,
            with residual connections between mean fields.

    Raises:
        PartiganError: ``hidden`` is no multiple of ``heads``.
    """

    def __init__(
        self,
        features: int,
        particles: int,
        latent: int,
        hidden: int,
        heads: int,
        blocks: int,
        linear: Linear,
        activation: Activation,
    ) -> None:
        super().__init__()
        if hidden % heads:
            raise PartiganError(f"hidden = {hidden}; give a multiple of heads = {heads}")
        self.features, self.particles, self.latent, self.hidden = features, particles, latent, hidden
        self.heads, self.activation = heads, activation
        self.embed = linear(features, latent)
        self.blocks = nn.ModuleList(MeanFieldBlock(latent, hidden, linear) for _ in range(blocks))

    def forward(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Particles ``(batch, particles, latent)`` and mean field ``(batch, latent)`` after all blocks.

        The first mean field is the sum of the embedded particles over a constant; the multiplicity is scaled by it.

        Args:
            x: ``(batch, particles, features)``.
            mask: ``(batch, particles)``, True for real particles; None = all. What padded ones become says nothing.
        """
        x = self.embed(x)
        if mask is None:
            number, total = x.new_full((len(x), 1), x.shape[1]), x.sum(1)
        else:
            real = mask[..., None].to(x.dtype)
            number, total = real.sum(1), (x * real).sum(1)
        inputs = (x, total / self.particles, number / self.particles)
        compiled = self.compiled() if self.training and x.device.type == "cpu" and x.dtype == torch.float32 else None
        if compiled is None:
            return self.chain(*inputs, mask, self.parts())
        return cast(tuple[Tensor, Tensor], _Chain.apply(*inputs, mask, self, compiled, *self.parts()))

    def parts(self) -> list[Tensor]:
        """What the blocks compute with, block by block, in the order of ``Parameters`` in ``mean_field.c``."""
        return [getattr(getattr(block, name), part) for block in self.blocks for name, part in PARAMETERS]

    def folded(self, parts: Sequence[Tensor]) -> Tensor:
        """The linear maps of each block after folding, one after the other, ``(blocks, numbers)``.

        Args:
            parts: those of `parts`.
        """

        def stacked(name: str, part: str = "weight") -> Tensor:
            return torch.stack([*parts[PARAMETERS.index((name, part)) :: len(PARAMETERS)]])

        def biased(weight: Tensor, bias: Tensor, then: Tensor) -> Tensor:
            return torch.baddbmm(then[..., None], weight, bias[..., None])[..., 0]

        lift, lift_bias = stacked("lift"), stacked("lift", "bias")
        scale = (self.hidden // self.heads) ** -0.5
        query = stacked("query") * scale
        lower = stacked("lower")
        merged = lower[..., :-1] @ stacked("merge")
        value_bias = biased(stacked("value"), lift_bias, stacked("value", "bias"))
        lower_bias = biased(lower[..., :-1], stacked("merge", "bias"), stacked("lower", "bias"))
        from_x, from_field = stacked("update").split((self.hidden, self.latent), dim=2)
        parts = (
            (lift - lift.mean(1, keepdim=True)).mT,
            lift_bias - lift_bias.mean(1, keepdim=True),
            (query * stacked("norm")[:, None]).mT,
            biased(query, stacked("norm", "bias"), stacked("query", "bias") * scale),
            stacked("key") @ lift,  # its bias cancels in the softmax
            stacked("value") @ lift,
            merged.mT,
            biased(merged, value_bias, lower_bias),
            lower[..., -1],
            from_field.mT,
            biased(from_x, lift_bias, stacked("update", "bias")),
            (from_x @ lift).mT,
        )
        return torch.cat([part.flatten(1) for part in parts], dim=1)

    def _maps(self, numbers: Tensor) -> list[Tensor]:
        """The maps of one block, as matrices (in, out) and biases."""
        low, high = self.latent, self.hidden
        shapes: Sequence[tuple[int, ...]] = (
            *((low, high), (high,), (high, high), (high,), (high, low), (high, low), (high, low), (low,), (low,)),
            *((low, low), (low,), (low, low)),
        )
        parts = numbers.split([int(torch.Size(shape).numel()) for shape in shapes])
        return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]

    def chain(
        self, x: Tensor, field: Tensor, multiplicity: Tensor, mask: Tensor | None, parts: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """All blocks, with torch.

        Args:
            x: embedded particles, ``(batch, particles, latent)``; overwritten where no gradients are recorded.
            field: mean field, ``(batch, latent)``.
            multiplicity: scaled, ``(batch, 1)``.
            mask: ``(batch, particles)``; None = all real.
            parts: those of `parts`.

        Returns:
            New particles and new mean field.
        """
        padding = None
        if mask is not None:
            padding = torch.zeros_like(x[..., :1]).masked_fill(~mask[..., None], -torch.inf)
        for numbers in self.folded(parts).unbind():
            x, field = self._block(x, field, multiplicity, padding, self._maps(numbers))
        return x, field

    def _block(
        self, x: Tensor, field: Tensor, multiplicity: Tensor, padding: Tensor | None, maps: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """One exchange between particles and mean field."""
        lift, lift_bias, query, query_bias, key, value, lower, lower_bias, by_number, shift, shift_bias, update = maps
        heads, batch = self.heads, len(x)
        active = self.activation(x)
        lifted = torch.addmm(lift_bias, self.activation(field), lift)
        normal = lifted * (lifted.square().mean(1, keepdim=True) + EPS).rsqrt()
        asked = torch.addmm(query_bias, normal, query).view(batch, heads, -1).transpose(0, 1)
        probe = torch.bmm(asked, key.view(heads, -1, self.latent))  # (heads, batch, latent)
        scores = torch.bmm(active, probe.permute(1, 2, 0))  # (batch, particles, heads)
        if padding is not None:
            scores.add_(padding)
        pooled = torch.bmm(scores.softmax(1).transpose(1, 2), active)  # (batch, heads, latent)
        values = torch.bmm(pooled.transpose(0, 1), value.view(heads, -1, self.latent).transpose(1, 2))
        change = torch.addmm(lower_bias + multiplicity * by_number, values.transpose(0, 1).flatten(1), lower)
        moved = torch.addmm(shift_bias, change, shift)[:, None]
        flat = active.view(-1, self.latent)
        if self._turns_particles():
            old = x.view(-1, self.latent)
            new = torch.addmm(old, flat, update) if torch.is_grad_enabled() else old.addmm_(flat, update)
        else:
            new, change = flat @ update, field + change
        new = new.view(x.shape)  # in place, a change of a view has a backward pass of three copies
        return new + moved if torch.is_grad_enabled() else new.add_(moved), change

    def _turns_particles(self) -> bool:
        """Whether residual connections are between particles, not mean fields."""
        return self.activation is functional.gelu

    def compiled(self) -> ctypes.CDLL | None:
        """The chain in C; None = it has no such form."""
        if self.latent % WIDTH or self.hidden % WIDTH:
            return None
        return _compiled(self.latent, self.hidden, self.heads, self._turns_particles())


@cache
def _compiled(latent: int, hidden: int, heads: int, particles: bool) -> ctypes.CDLL | None:
    """The library of one size; None where none can be made."""
    sizes = {"LATENT": latent, "HIDDEN": hidden, "HEADS": heads, "OF_PARTICLES": int(particles)}
    lines = [f"#define {name} {value}" for name, value in sizes.items()]
    code = resources.files("partigan.nets.clouds").joinpath("mean_field.c").read_text(encoding="utf-8")
    try:
        made = library("\n".join([lanes(), *lines, code]))
    except PartiganError:
        return None
    made.kept_numbers.restype = made.map_numbers.restype = ctypes.c_long
    return made


class _Chain(torch.autograd.Function):
    """`MeanFieldNetwork.chain` in C."""

    @staticmethod
    def forward(ctx: Any, *given: Any) -> tuple[Tensor, Tensor]:
        x, field, multiplicity, mask, network, compiled, *parameters = given
        (batch, particles, _), blocks = x.shape, len(network.blocks)
        real = torch.ones(batch, particles, dtype=torch.bool) if mask is None else mask.contiguous()
        sizes = (ctypes.c_long(batch), particles, blocks)
        weights = torch.empty(blocks * compiled.map_numbers())
        kept = torch.empty(blocks * batch * compiled.kept_numbers(particles))
        new, changed = (each.clone(memory_format=torch.contiguous_format) for each in (x, field))
        plain = [each.contiguous() for each in parameters]
        fixed = (weights, real, multiplicity.contiguous())
        compiled.forwards(*sizes, _all_at(plain), *map(_at, (*fixed, new, changed, kept)))
        ctx.save_for_backward(x, field, multiplicity, *parameters)
        ctx.about = (sizes, plain, fixed, kept, mask, network, compiled)
        return new, changed

    @staticmethod
    def backward(ctx: Any, *slopes: Any) -> tuple[Tensor | None, ...]:
        x, field, multiplicity, *parameters = ctx.saved_tensors
        sizes, plain, fixed, kept, mask, network, compiled = ctx.about
        if torch.is_grad_enabled():  # slopes of slopes, as gradient penalties need
            given = [each.view_as(each) for each in (x, field, *parameters)]  # apart: they may come from each other
            inputs = [each for each in given if each.requires_grad]
            outputs = network.chain(*given[:2], multiplicity, mask, given[2:])
            found = iter(torch.autograd.grad(outputs, inputs, slopes, create_graph=True, allow_unused=True))
            of_x, of_field, *of = (next(found) if each.requires_grad else None for each in given)
        else:
            of_x, of_field = (each.clone(memory_format=torch.contiguous_format) for each in slopes)
            together = torch.zeros(sum(each.numel() for each in plain))
            parts = together.split([each.numel() for each in plain])
            work = (torch.empty(compiled.map_numbers()), torch.empty(x.shape[1:]))
            state = (*fixed, of_x, of_field, kept)
            compiled.backwards(*sizes, _all_at(plain), *map(_at, state), _all_at(parts), *map(_at, work))
            of = [part.view_as(each) for part, each in zip(parts, plain, strict=True)]
        return of_x, of_field, None, None, None, None, *of


def _at(values: Tensor) -> ctypes.c_void_p:
    """The address of the first number."""
    return ctypes.c_void_p(values.data_ptr())


def _all_at(parts: Sequence[Tensor]) -> Any:
    """The addresses of several."""
    return (ctypes.c_void_p * len(parts))(*(each.data_ptr() for each in parts))
