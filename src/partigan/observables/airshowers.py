"""Observables of air showers on an array of particle detectors, in differentiable torch.

Maps are ``(showers, rows, columns)``; a station with signal 0 is silent. Lengths are in m, times in ns, signals in VEM.
"""

from __future__ import annotations

from math import sqrt
from typing import Literal

import torch
from torch import Tensor

from partigan.errors import PartiganError

Layout = Literal["cartesian", "axial", "offset"]
LAYOUTS: tuple[Layout, ...] = ("cartesian", "axial", "offset")
SPEED = 0.3  # of light, m/ns
NEAREST = 100.0  # smallest distance from the axis in a lateral fit, m
LATERAL, FRONT, CURVED = 3, 3, 5  # least stations of a lateral fit, of a plane front, of a curved one
RIDGE = 1e-6  # what keeps the fit of stations in one line solvable
_UNIT = 1000.0  # m; lengths in fits


def station_positions(layout: Layout, rows: int, columns: int, spacing: float = 1500.0) -> Tensor:
    """Where stations stand, ``(rows, columns, 2)``, with the centre of the array at the origin, m.

    The first index goes along x, the second along y. Cartesian stations form squares. The others form triangles:
    ``axial`` indices are along two of their sides, ``offset`` ones shift every other column by half a spacing.

    Args:
        layout: of the array.
        rows: stations along x.
        columns: stations along y.
        spacing: of neighbours, m.

    Raises:
        PartiganError: there is no such layout.

    Example:
        >>> station_positions("axial", 3, 3, 2.0)[0].tolist()
        [[-3.0, -1.7320507764816284], [-2.0, 0.0], [-1.0, 1.7320507764816284]]
    """
    if layout not in LAYOUTS:
        raise PartiganError(f"there is no layout {layout!r} of an array; there are {', '.join(LAYOUTS)}")
    x = (torch.arange(rows) - (rows - 1) / 2)[:, None].expand(rows, columns)
    y = (torch.arange(columns) - (columns - 1) / 2).expand(rows, columns)
    if layout == "axial":
        x = x + y / 2
    elif layout == "offset":
        x = x + y.remainder(2) / 2
    return spacing * torch.stack((x, y if layout == "cartesian" else sqrt(3) / 2 * y), dim=-1)


def centre(signal: Tensor, positions: Tensor) -> Tensor:
    """An estimate of the core, ``(showers, 2)``: the mean position of stations by the root of their signal.

    Args:
        signal: ``(showers, rows, columns)``.
        positions: ``(rows, columns, 2)``.
    """
    weight = signal.clamp_min(1e-9).sqrt()
    total = weight.sum((1, 2)).clamp_min(1e-9)
    found: Tensor = torch.einsum("nrc,rcd->nd", weight, positions.to(signal)) / total[:, None]
    return found


def axis_distance(signal: Tensor, positions: Tensor, axis: Tensor | None = None) -> Tensor:
    """Distance of every station from the shower axis through the `centre`, ``(showers, rows, columns)``, m.

    Args:
        signal: ``(showers, rows, columns)``.
        positions: ``(rows, columns, 2)``.
        axis: horizontal parts of the unit vectors towards where showers come from, ``(showers, 2)``; None = on the
            ground.
    """
    line = positions.to(signal)[None] - centre(signal, positions)[:, None, None]
    squared = line.square().sum(-1)
    if axis is not None:
        squared = squared - torch.einsum("nrcd,nd->nrc", line, axis).square()
    return squared.clamp_min(1.0).sqrt()


def front_axis(signal: Tensor, time: Tensor, positions: Tensor) -> Tensor:
    """Direction by a plane through the arrival times: horizontal parts of the axis, ``(showers, 2)``.

    Showers with fewer than three stations come from above. The plane is fitted in squares, all stations alike.

    Args:
        signal: ``(showers, rows, columns)``.
        time: the same, ns.
        positions: ``(rows, columns, 2)``.
    """
    hit = (signal > 0).to(signal).flatten(1)
    x, y = _plane(positions, hit)
    found = fitted((torch.ones_like(x), x, y), time.flatten(1), hit)[:, 1:] * (-SPEED / _UNIT)
    length = found.norm(dim=1, keepdim=True)
    found = found * (0.999 / length.clamp_min(0.999))  # not from below the horizon
    above: Tensor = found * (hit.sum(1, keepdim=True) >= FRONT)
    return above


def shower_observables(signal: Tensor, time: Tensor | None, positions: Tensor) -> dict[str, Tensor]:
    """What a physicist reads off the map of a shower, one number each.

    Args:
        signal: ``(showers, rows, columns)``, not below 0.
        time: arrival times, the same shape; None where there are none.
        positions: of the stations, ``(rows, columns, 2)``, see `station_positions`.

    Returns:
        ``total`` (lg VEM), ``stations`` (number), ``largest`` (lg VEM); ``slope`` and ``s1000`` (lg VEM) of a straight
        line through lg signal over lg distance; with times ``zenith`` (degrees) of a plane front, ``curvature`` (1/km)
        and ``spread`` (ns) of a front that is curved, and the root mean square of the times about it. Distances are
        those from the axis; without times, on the ground. An observable for which too few stations have triggered is 0:
        three for lateral distribution and plane, five for the curvature.

    References:
        arXiv:1708.00647, section 2; Pierre Auger Collaboration, arXiv:2007.09035 (lateral distribution, curvature).
    """
    hit = signal > 0
    stations = hit.sum((1, 2)).to(signal)
    axis = None if time is None else front_axis(signal, time, positions)
    distance = axis_distance(signal, positions, axis)
    slope, s1000 = _lateral(signal, distance)
    found = {
        "total": signal.sum((1, 2)).clamp_min(1.0).log10(),
        "stations": stations,
        "largest": signal.amax((1, 2)).clamp_min(1.0).log10(),
        "slope": slope,
        "s1000": s1000,
    }
    if time is None or axis is None:
        return found
    curvature, spread = _curved(signal, time, distance, positions)
    return found | {
        "zenith": axis.norm(dim=1).clamp(max=1.0).asin().rad2deg(),
        "curvature": curvature,
        "spread": spread,
    }


def _lateral(signal: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
    """Slope and lg signal in 1000 m of a straight line through lg signal over lg distance."""
    hit = (signal > 0).to(signal).flatten(1)
    far = (distance.clamp_min(NEAREST) / 1000).log10().flatten(1)
    line = fitted((torch.ones_like(far), far), signal.clamp_min(1.0).log10().flatten(1), hit)
    enough = hit.sum(1) >= LATERAL
    return line[:, 1] * enough, line[:, 0] * enough


def front_delay(signal: Tensor, time: Tensor, positions: Tensor) -> Tensor:
    """How much later than a plane front the stations are, ``(showers, rows, columns)``, ns.

    The plane touches the curved front that is fitted to the times, at the axis. 0 where a station is silent or fewer
    than five have triggered.

    Args:
        signal: ``(showers, rows, columns)``.
        time: the same, ns.
        positions: ``(rows, columns, 2)``.
    """
    distance = axis_distance(signal, positions, front_axis(signal, time, positions))
    parts, constants, hit = _front(signal, time, distance, positions)
    plane = sum(c[:, None] * part for c, part in zip(constants.T[:3], parts[:3], strict=True))
    there = (hit > 0) & (hit.sum(1, keepdim=True) >= CURVED)
    return torch.where(there, time.flatten(1) - plane, 0.0).view_as(time)


def _curved(signal: Tensor, time: Tensor, distance: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Curvature 1/R of the front, whose times are later by r^2 / (2 R c), and the spread of the times about it."""
    parts, constants, hit = _front(signal, time, distance, positions)
    left = (time.flatten(1) - sum(c[:, None] * part for c, part in zip(constants.T, parts, strict=True))) * hit
    number = hit.sum(1)
    enough = number >= CURVED
    spread = (left.square().sum(1) / (number - len(parts)).clamp_min(1) + 1e-12).sqrt()
    return constants[:, 3] * (2 * SPEED / _UNIT) * enough, spread * enough


def _front(
    signal: Tensor, time: Tensor, distance: Tensor, positions: Tensor
) -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
    """Parts of a curved front, their constants ``(showers, 4)`` as fitted, and the stations that have triggered."""
    hit = (signal > 0).to(signal).flatten(1)
    x, y = _plane(positions, hit)
    parts = (torch.ones_like(x), x, y, (distance.flatten(1) / _UNIT).square())
    return parts, fitted(parts, time.flatten(1), hit), hit


def _plane(positions: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """Both coordinates of all stations, ``(showers, stations)`` as ``like``, km."""
    x, y = (positions.to(like).flatten(0, 1) / _UNIT).T
    return x.expand_as(like), y.expand_as(like)


def fitted(parts: tuple[Tensor, ...], values: Tensor, weight: Tensor, ridge: float = RIDGE) -> Tensor:
    """Constants ``(showers, parts)`` of a sum of parts that is fitted to values, in squares.

    Args:
        parts: ``(showers, stations)`` each.
        values: the same shape.
        weight: of the squares; 0 where a station is silent.
        ridge: what is added to the diagonal of the normal equations.
    """
    design = torch.stack(parts, dim=-1).double()
    weighted = (design * weight[..., None]).mT
    normal = weighted @ design
    added = ridge * torch.eye(len(parts), dtype=torch.float64, device=values.device)
    right = weighted @ values.double()[..., None]
    found: Tensor = torch.linalg.solve(normal + added, right)[..., 0]
    return found.to(values)
