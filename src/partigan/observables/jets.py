"""Observables of jets: relative mass, pt sum and Energy Flow Polynomials, in differentiable torch.

Jets are clouds of massless particles, ``x`` of shape ``(batch, particles, 3 or more)`` with the features
``eta_rel``, ``phi_rel`` (rad) and ``pt_rel = pt / pt(jet)`` first, and ``mask`` of shape ``(batch, particles)``,
True for real particles (None = all are real). Padded particles never contribute, whatever their values.

References:
    P. T. Komiske, E. M. Metodiev, J. Thaler, Energy flow polynomials: a complete linear basis for jet
    substructure, JHEP 04 (2018) 013, arXiv:1712.07124.
    R. Kansal et al., Evaluating generative models in high energy physics, Phys. Rev. D 107 (2023) 076017,
    arXiv:2211.10295 (the 36 EFPs of FPD and KPD).
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from partigan.errors import PartiganError

Graph = tuple[tuple[int, int], ...]
"""A loopless multigraph as its edges, pairs of vertices; a repeated pair is a multiple edge, ``()`` one vertex."""

_CPU_PAIRS = 2**17  # of particles in a chunk of jets: the few matrices of a chunk stay in the cache
_GPU_PAIRS = 2**24
_NOTHING = 1e-12  # far below pt sums and moments of jets

_DOT: Graph = ()
_LINE: Graph = ((0, 1),)
_DOUBLE: Graph = ((0, 1),) * 2
_TRIPLE: Graph = ((0, 1),) * 3
_WEDGE: Graph = ((0, 1), (0, 2))
_DOUBLE_WEDGE: Graph = ((0, 1), (0, 1), (0, 2))
_TRIANGLE: Graph = ((0, 1), (1, 2), (2, 0))
_STAR: Graph = ((0, 1), (0, 2), (0, 3))
_PATH: Graph = ((0, 1), (1, 2), (2, 3))


def _together(*graphs: Graph) -> Graph:
    """The graph with these components; its EFP is the product of their EFPs."""
    edges: list[tuple[int, int]] = []
    for graph in graphs:
        first = 1 + max((vertex for edge in edges for vertex in edge), default=-1)
        edges += [(first + i, first + j) for i, j in graph]
    return tuple(edges)


W1_GRAPHS: tuple[Graph, ...] = (
    ((0, 1), (0, 1), (0, 2), (0, 3)),
    ((0, 1), (0, 1), (1, 2), (2, 3)),
    ((0, 1), (1, 2), (1, 2), (2, 3)),
    ((0, 1), (1, 2), (2, 0), (0, 3)),
    ((0, 1), (1, 2), (2, 3), (3, 0)),
)
"""The 5 connected graphs with 4 vertices and 4 edges, of W1-EFP (arXiv:2106.11535), in energyflow's order."""

FPD_GRAPHS: tuple[Graph, ...] = (
    _DOT,
    _LINE,
    _DOUBLE,
    _TRIPLE,
    ((0, 1),) * 4,
    _WEDGE,
    _DOUBLE_WEDGE,
    ((0, 1), (0, 1), (0, 1), (0, 2)),
    ((0, 1), (0, 1), (0, 2), (0, 2)),
    _TRIANGLE,
    ((0, 1), (0, 1), (1, 2), (2, 0)),
    _STAR,
    W1_GRAPHS[0],
    _PATH,
    *W1_GRAPHS[1:],
    ((0, 1), (0, 2), (0, 3), (0, 4)),
    ((0, 1), (0, 2), (0, 3), (3, 4)),
    ((0, 1), (1, 2), (2, 3), (3, 4)),
    _together(_LINE, _LINE),
    _together(_LINE, _DOUBLE),
    _together(_LINE, _TRIPLE),
    _together(_DOUBLE, _DOUBLE),
    _together(_LINE, _WEDGE),
    _together(_DOUBLE, _WEDGE),
    _together(_LINE, _DOUBLE_WEDGE),
    _together(_LINE, _TRIANGLE),
    _together(_LINE, _LINE, _LINE),
    _together(_LINE, _STAR),
    _together(_LINE, _PATH),
    _together(_WEDGE, _WEDGE),
    _together(_LINE, _LINE, _DOUBLE),
    _together(_LINE, _LINE, _WEDGE),
    _together(_LINE, _LINE, _LINE, _LINE),
)
"""The 36 graphs with at most 4 edges, of FPD and KPD (arXiv:2211.10295), in energyflow's order."""


def _mask(x: Tensor, mask: Tensor | None) -> Tensor:
    """The mask, all True for None, after a check of the shapes."""
    if x.ndim != 3 or x.shape[-1] < 3:
        raise PartiganError(
            f"jets must have the shape (batch, particles, 3 or more: eta_rel, phi_rel, pt_rel), not {tuple(x.shape)}"
        )
    if mask is None:
        return torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
    if mask.shape == (*x.shape[:2], 1):
        mask = mask[..., 0]
    if mask.shape != x.shape[:2]:
        raise PartiganError(f"the mask must have the shape {tuple(x.shape[:2])}, not {tuple(mask.shape)}")
    return mask.bool()


def particles(x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Split particles into eta_rel, phi_rel and pt_rel, zero for padded ones.

    Args:
        x: ``(batch, particles, 3 or more)``: eta_rel, phi_rel, pt_rel.
        mask: ``(batch, particles)`` or ``(batch, particles, 1)``, True for real particles; None = all are real.

    Returns:
        Three tensors ``(batch, particles)``, contiguous.

    Raises:
        PartiganError: shapes are wrong.
    """
    eta, phi, pt = torch.where(_mask(x, mask), x[..., :3].movedim(-1, 0).contiguous(), 0)
    return eta, phi, pt


def rotated(angles: Tensor, by: Tensor) -> Tensor:
    """Rotate jets about the origin of the eta-phi plane.

    Args:
        angles: eta_rel and phi_rel, ``(batch, particles, 2)``.
        by: angle from eta to phi, ``(batch,)`` (rad).

    Returns:
        ``(batch, particles, 2)``.
    """
    cosine, sine = by.cos()[:, None], by.sin()[:, None]
    eta, phi = angles.unbind(-1)
    return torch.stack((cosine * eta - sine * phi, sine * eta + cosine * phi), dim=-1)


def pt_sum(x: Tensor, mask: Tensor | None = None) -> Tensor:
    """Scalar sum of the particles' pt_rel.

    Args:
        x: ``(batch, particles, 3 or more)``: eta_rel, phi_rel, pt_rel.
        mask: ``(batch, particles)`` or ``(batch, particles, 1)``, True for real particles; None = all are real.

    Returns:
        ``(batch,)``, in units of the jet's pt.

    Raises:
        PartiganError: shapes are wrong.
    """
    return particles(x, mask)[2].sum(-1)


def moments(x: Tensor, mask: Tensor | None = None) -> Tensor:
    """Sum of pt, axis, and moments of jets about the axis.

    The axis is the pt-weighted mean of the angles; z_i is the share of pt and theta_i the angle to the axis. The eight
    values are: pt sum, eta and phi of the axis, sum z_i theta_i (width), sum z_i theta_i^2, sum z_i theta_i^4,
    sum z_i^2 (ptD squared) and the smaller eigenvalue of sum z_i theta_i theta_i^T (minor width squared).

    Args:
        x: ``(batch, particles, 3 or more)``, eta_rel, phi_rel and pt_rel, or other units of angles and pt.
        mask: True for real particles; None = all are real.

    Returns:
        ``(batch, 8)``; all but the axis are at least 1e-12.

    Raises:
        PartiganError: shapes are wrong.

    References:
        A. J. Larkoski, J. Thaler, W. J. Waalewijn, arXiv:1408.3122 (generalised angularities).
    """
    eta, phi, pt = (feature[..., None] for feature in particles(x, mask))
    angle = torch.cat((eta, phi), dim=-1)
    total = pt.sum(1).clamp_min(_NOTHING)
    share = pt / total[:, None]
    axis = (share * angle).sum(1)
    centred = angle - axis[:, None]
    theta2 = centred.square().sum(-1, keepdim=True).clamp_min(_NOTHING)
    about = [(share * moment).sum(1) for moment in (theta2.sqrt(), theta2, theta2.square(), share)]
    (a, b), c = (share * centred.square()).sum(1).split(1, dim=1), (share * centred.prod(-1, keepdim=True)).sum(1)
    about.append(0.5 * (a + b - ((a - b).square() + 4 * c * c + _NOTHING).sqrt()))
    return torch.cat((total, axis, *(value.clamp_min(_NOTHING) for value in about)), dim=1)


def mass(x: Tensor, mask: Tensor | None = None) -> Tensor:
    """Relative mass of jets, m(jet) / pt(jet), for massless particles.

    m^2 = (sum E)^2 - |sum p|^2 (arXiv:2106.11535, section 3), computed about the pt-weighted axis of the jet, where the
    two terms hardly cancel; the mass does not depend on that boost and rotation.

    Args:
        x: ``(batch, particles, 3 or more)``: eta_rel, phi_rel (rad), pt_rel.
        mask: ``(batch, particles)`` or ``(batch, particles, 1)``, True for real particles; None = all are real.

    Returns:
        ``(batch,)``, in units of the jet's pt; 0, with zero gradient, for jets of at most one particle.

    Raises:
        PartiganError: shapes are wrong.

    Example:
        >>> jet = torch.tensor([[[-0.1, 0.0, 0.5], [0.1, 0.0, 0.5]]])
        >>> round(mass(jet).item(), 4)
        0.1002
    """
    eta, phi, pt = particles(x, mask)
    with torch.no_grad():
        weight = pt.abs() / pt.abs().sum(-1, keepdim=True).clamp_min(torch.finfo(pt.dtype).tiny)
        axis_eta, axis_phi = ((weight * angle).sum(-1, keepdim=True) for angle in (eta, phi))
    eta, phi = eta - axis_eta, phi - axis_phi
    total = pt.sum(-1)
    energy_excess = (2 * pt * torch.sinh(eta / 2).square()).sum(-1)  # sum pt (cosh eta - 1)
    px_deficit = (2 * pt * torch.sin(phi / 2).square()).sum(-1)  # sum pt (1 - cos phi)
    py = (pt * torch.sin(phi)).sum(-1)
    pz = (pt * torch.sinh(eta)).sum(-1)
    m2 = (energy_excess + px_deficit) * (2 * total + energy_excess - px_deficit) - py.square() - pz.square()
    massive = m2 > (4 * torch.finfo(pt.dtype).eps * total).square()  # below this it is rounding
    return torch.where(massive, torch.where(massive, m2, 1).sqrt(), 0)


def _safe_sqrt(square: Tensor) -> Tensor:
    """Square root with zero derivatives at zero: for theta_ii and for particles that coincide."""
    if not square.requires_grad:
        return square.sqrt()
    positive = square > 0
    return torch.where(positive, torch.where(positive, square, 1).sqrt(), 0)


# An EFP sums prod z_i prod theta_ij over all tuples of particles, one particle for each vertex. The sum is done vertex
# by vertex. After some vertices are summed, a graph is left whose vertices carry vectors and whose edges carry
# matrices, all products of the expressions below. Expressions that graphs have in common are computed once.
# A product is the sorted tuple of its factors; () is 1. Z stands for diag(pt_rel).
#
#   ("theta", k)         matrix   theta_ij^k
#   ("chain", A, v, B)   matrix   A Z diag(v) B
#   ("sum", v, A)        vector   v^T Z A
#
# where A and B are products of matrices and v is a product of vectors.
_Expression = tuple[Any, ...]
_Product = tuple[_Expression, ...]


def _transpose(matrices: _Product) -> _Product:
    return tuple(
        sorted(("chain", _transpose(m[3]), m[2], _transpose(m[1])) if m[0] == "chain" else m for m in matrices)
    )


@cache
def _reduce(graph: Graph) -> tuple[_Product, ...]:
    """One product of vectors for each component of the graph; the EFP is the product of their sums over z."""
    multiplicity = Counter(edge for i, j in graph for edge in ((i, j), (j, i)))
    vectors: dict[int, _Product] = {vertex: () for vertex, _ in multiplicity} or {0: ()}
    matrices: dict[int, dict[int, _Product]] = {vertex: {} for vertex in vectors}
    for (i, j), k in multiplicity.items():
        if i == j:
            raise PartiganError(f"the graph {graph} of an EFP has a loop at vertex {i}")
        matrices[i][j] = (("theta", k),)

    def cost(vertex: int) -> tuple[int, int]:
        """Neighbours first, then complexity: graphs share simple expressions."""
        return len(matrices[vertex]), len(repr((vectors[vertex], matrices[vertex])))

    components: list[_Product] = []
    while vectors:
        vertex = min(vectors, key=cost)
        own, out = vectors.pop(vertex), matrices.pop(vertex)
        into = {other: matrices[other].pop(vertex) for other in out}
        match sorted(out):
            case []:
                components.append(own)
            case [i]:
                vectors[i] = tuple(sorted((*vectors[i], ("sum", own, out[i]))))
            case [i, j]:
                matrices[i][j] = tuple(sorted((*matrices[i].get(j, ()), ("chain", into[i], own, out[j]))))
                matrices[j][i] = _transpose(matrices[i][j])
            case _:
                raise PartiganError(f"the EFP of {graph} needs more than products of matrices; use simpler graphs")
    return tuple(components)


class _Chunk:
    """Values of expressions for some jets, each computed once."""

    def __init__(self, x: Tensor, mask: Tensor) -> None:
        """Take ``(jets, particles, 3 or more)`` and ``(jets, particles)``."""
        eta, phi, pt = particles(x, mask)
        d_eta, d_phi = (angle.unsqueeze(2) - angle.unsqueeze(1) for angle in (eta, phi))
        self.theta2 = torch.addcmul(d_eta * d_eta, d_phi, d_phi)
        self.z = pt.unsqueeze(1)
        self.products: dict[_Product, Tensor] = {(): torch.ones_like(self.z)}

    def sums(self, products: Iterable[_Product]) -> Tensor:
        """Sums of z times each of these products of vectors over particles, ``(jets, products)``."""
        rows = torch.cat([self._product(vectors) for vectors in products], 1)
        return (rows @ self.z.mT).squeeze(-1)

    def _product(self, factors: _Product) -> Tensor:
        """Matrices are ``(jets, particles, particles)``, vectors ``(jets, 1, particles)``."""
        if factors not in self.products:
            *others, last = factors
            self.products[factors] = (
                self._product(tuple(others)) * self._product((last,)) if others else self._value(last)
            )
        return self.products[factors]

    def _z(self, vectors: _Product) -> Tensor:
        return self.z * self._product(vectors) if vectors else self.z

    def _value(self, expression: _Expression) -> Tensor:
        match expression:
            case ("theta", 1):
                return _safe_sqrt(self.theta2)
            case ("theta", 2):
                return self.theta2
            case ("theta", k):
                return self._product((("theta", k - 2),)) * self.theta2
            case ("chain", left, vectors, right):
                return (self._product(left) * self._z(vectors)) @ self._product(right)
            case (_, vectors, matrices):
                return self._z(vectors) @ self._product(matrices)
        raise AssertionError(expression)


def efps(x: Tensor, mask: Tensor | None = None, graphs: Sequence[Graph] = FPD_GRAPHS) -> Tensor:
    """Energy Flow Polynomials with the hadronic measure.

    EFP_G = sum_{i_1 ... i_n} z_{i_1} ... z_{i_n} prod_{(k, l) in G} theta_{i_k i_l} (arXiv:1712.07124, eq. 1.1) with
    z = pt_rel, not normalised, theta^2 = (eta_i - eta_j)^2 + (phi_i - phi_j)^2, and beta = 1.

    Args:
        x: ``(batch, particles, 3 or more)``: eta_rel, phi_rel (rad), pt_rel; the calculation has its dtype.
        mask: ``(batch, particles)`` or ``(batch, particles, 1)``, True for real particles; None = all are real.
        graphs: multigraphs, connected or not, such as ``FPD_GRAPHS`` or ``W1_GRAPHS``.

    Returns:
        ``(batch, len(graphs))``, dimensionless; differentiable with respect to ``x``.

    Raises:
        PartiganError: shapes are wrong, a graph has a loop, or a graph cannot be summed vertex by vertex with products
            of matrices (all graphs with at most 5 edges can).

    Example:
        One vertex gives the pt sum, one edge the sum of z_i z_j theta_ij over ordered pairs:

        >>> jet = torch.tensor([[[-0.1, 0.0, 0.5], [0.1, 0.0, 0.5]]])
        >>> [round(value, 4) for value in efps(jet, graphs=[(), ((0, 1),)])[0].tolist()]
        [1.0, 0.1]
    """
    mask = _mask(x, mask)
    components = [_reduce(tuple(graph)) for graph in graphs]
    column = {vectors: i for i, vectors in enumerate(dict.fromkeys(itertools.chain(*components)))}
    used = (mask * torch.arange(1, mask.shape[1] + 1, device=x.device)).amax(1)
    order = used.argsort(descending=True)
    pairs = _CPU_PAIRS if x.device.type == "cpu" else _GPU_PAIRS
    widths = used[order].clamp_min(1).tolist()
    sums = [x.new_zeros(0, len(column))]
    first = 0
    while first < len(widths):
        width = widths[first]
        rows = order[first : first + max(1, pairs // width**2)]
        sums.append(_Chunk(x[rows, :width], mask[rows, :width]).sums(column))
        first += len(rows)
    primes = torch.cat(sums)[order.argsort()]
    return torch.stack([primes[:, [column[c] for c in component]].prod(-1) for component in components], -1)
