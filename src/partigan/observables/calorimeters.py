"""Observables of showers in calorimeters: layer energies, centres, widths and sparsity, as the CaloChallenge has them.

References:
    C. Krause et al., CaloChallenge 2022, arXiv:2410.21611, section 4 (high-level features); M. Paganini, L. de
    Oliveira, B. Nachman, CaloGAN, arXiv:1712.10321, table II (depth of a shower and its width).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

TINY = 1e-16  # MeV, added to energies that divide


class Cells(NamedTuple):
    """Voxels of a layer, in the order of files.

    Attributes:
        first: number of the layer's first voxel.
        eta: place of their centres across, ``(voxels,)``, mm.
        phi: place of their centres across, at a right angle, ``(voxels,)``, mm.
        r: distance of their centres from the axis, ``(voxels,)``, mm.
        resolved: whether places across can be told: rectangular cells, or more than one bin of angle.
    """

    first: int
    eta: Tensor
    phi: Tensor
    r: Tensor
    resolved: bool


def above(x: Tensor, threshold: float) -> Tensor:
    """Energies, zero where they are not above a threshold."""
    return torch.where(x > threshold, x, 0.0)


def layer_features(x: Tensor, cells: Cells, threshold: float = 0.0) -> dict[str, Tensor]:
    """Energy, centres, widths and sparsity of one layer.

    With <a> the mean of a over voxels, weighted by energy: EC_a = <a> and width_a = sqrt(<a^2> - <a>^2), for a = eta,
    phi and r. Sparsity is the share of voxels that are not above the threshold.

    Args:
        x: energies of the layer's voxels, ``(showers, voxels)``, MeV.
        cells: its voxels.
        threshold: MeV; energies that are not above count as 0.

    Returns:
        ``energy`` (MeV), ``ec_eta``, ``ec_phi``, ``ec_r``, ``width_eta``, ``width_phi``, ``width_r`` (mm) and
        ``sparsity``, each ``(showers,)``.
    """
    x = above(x, threshold)
    energy = x.sum(1)
    found = {"energy": energy, "sparsity": 1 - (x > 0).to(x.dtype).mean(1)}
    for name, place in (("eta", cells.eta), ("phi", cells.phi), ("r", cells.r)):
        place = place.to(x)
        moments = (x @ torch.stack((place, place.square()), dim=1)) / (energy + TINY)[:, None]
        found[f"ec_{name}"] = moments[:, 0]
        found[f"width_{name}"] = (moments[:, 1] - moments[:, 0].square()).clamp_min(0).sqrt()
    return found


def shower_features(x: Tensor, layers: Sequence[Cells], threshold: float = 0.0) -> dict[str, Tensor]:
    """`layer_features` of all layers.

    Args:
        x: energies, ``(showers, voxels)``, MeV.
        layers: the voxels of each layer.
        threshold: MeV.

    Returns:
        The features by name, ``(showers, layers)``.

    Example:
        >>> cells = Cells(0, torch.tensor([-1.0, 1.0]), torch.zeros(2), torch.ones(2), True)
        >>> shower_features(torch.tensor([[1.0, 3.0]]), [cells])["ec_eta"]
        tensor([[0.5000]])
    """
    parts = []
    for cells in layers:
        part = x[:, cells.first : cells.first + len(cells.r)].double()
        parts.append(layer_features(part, cells, threshold))
    return {name: torch.stack([part[name] for part in parts], dim=1).to(x.dtype) for name in parts[0]}


def whole_features(found: Mapping[str, Tensor], layers: Sequence[Cells], incident: Tensor) -> dict[str, Tensor]:
    """Observables of a whole shower, one number each.

    Args:
        found: of `shower_features`.
        layers: the voxels of each layer.
        incident: energy of the particle, ``(showers,)``, MeV.

    Returns:
        ``(showers,)`` each: ``response``, the energy in all layers over that of the particle; ``occupancy``, the share
        of voxels above the threshold; ``depth`` and ``depth_width``, mean and standard deviation of the layer's number,
        weighted by energy; ``radius`` and ``spread``, root of the energy-weighted means of squares of the distance from
        the axis and of the width of layers in r, mm.
    """
    energy = found["energy"]
    total = energy.sum(1)
    share = energy / (total + TINY)[:, None]
    sizes = torch.tensor([len(cells.r) for cells in layers], dtype=energy.dtype)
    number = torch.arange(energy.shape[1], dtype=energy.dtype)
    depth = share @ number
    squares = {
        "radius": found["ec_r"].square() + found["width_r"].square(),
        "spread": found["width_r"].square(),
    }
    return {
        "response": total / incident,
        "occupancy": ((1 - found["sparsity"]) @ sizes) / sizes.sum(),
        "depth": depth,
        "depth_width": (share @ number.square() - depth.square()).clamp_min(0).sqrt(),
        **{name: (share * values).sum(1).sqrt() for name, values in squares.items()},
    }
