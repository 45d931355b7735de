"""The energy mover's distance of jets in differentiable torch, by entropic regularisation.

References:
    P. T. Komiske, E. M. Metodiev, J. Thaler, The metric space of collider events, Phys. Rev. Lett. 123 (2019) 041801,
    arXiv:1902.02346.
    M. Cuturi, Sinkhorn distances: lightspeed computation of optimal transport, arXiv:1306.0895.
    G. Peyré, M. Cuturi, Computational optimal transport, arXiv:1803.00567, sections 4.4 and 5.3.
"""

from __future__ import annotations

import torch
from torch import Tensor

from partigan.errors import PartiganError
from partigan.observables.jets import particles


def sinkhorn_emd(
    x: Tensor,
    y: Tensor,
    x_mask: Tensor | None = None,
    y_mask: Tensor | None = None,
    regularisation: float = 0.01,
    iterations: int = 100,
    radius: float = 1.0,
) -> Tensor:
    """Regularised energy mover's distances between the jets of two samples, pair by pair.

    min_P sum_ij P_ij theta_ij + epsilon KL(P | a b / E), where P moves the pt of one jet to the other. The jet of less
    pt gets a fictitious particle at distance R, so that both have the pt E. The value exceeds the distance of
    `partigan.metrics.emd.energy_movers_distance` by at most epsilon E log(particles) and falls to it with epsilon.

    Sinkhorn's iterations in log space, with epsilon falling from R, find the potential of ``y`` without gradients. The
    value is the semi-dual at this potential; its partial derivatives are the gradient once it has converged.

    Args:
        x: ``(batch, particles, 3 or more)``: eta_rel, phi_rel (rad), pt_rel, not negative.
        y: as many jets; the number of particles may differ.
        x_mask: ``(batch, particles)`` or ``(batch, particles, 1)``, True for real particles; None = all are real.
        y_mask: the same of ``y``.
        regularisation: epsilon, in units of angle.
        iterations: of Sinkhorn's algorithm; a smaller epsilon needs more.
        radius: R, the cost of a unit of pt that only one jet has.

    Returns:
        ``(batch,)``, in units of pt_rel times angle.

    Raises:
        PartiganError: shapes or numbers of jets do not fit, or an argument is not above 0.
    """
    if len(x) != len(y):
        raise PartiganError(f"pairs of jets are needed, not {len(x)} and {len(y)} jets")
    if regularisation <= 0 or iterations < 1:
        raise PartiganError(f"regularisation = {regularisation} and iterations = {iterations} must be above 0")
    (x_eta, x_phi, x_pt), (y_eta, y_phi, y_pt) = particles(x, x_mask), particles(y, y_mask)
    surplus = x_pt.sum(1) - y_pt.sum(1)
    a = torch.cat((x_pt, (-surplus).clamp_min(0)[:, None]), dim=1)
    b = torch.cat((y_pt, surplus.clamp_min(0)[:, None]), dim=1)
    theta = torch.cdist(
        torch.stack((x_eta, x_phi), -1),
        torch.stack((y_eta, y_phi), -1),
        compute_mode="donot_use_mm_for_euclid_dist",  # whose gradient is right where particles coincide
    )
    cost = torch.nn.functional.pad(theta, (0, 1, 0, 1), value=radius)
    log_a, log_b = _log_share(a), _log_share(b)

    with torch.no_grad():
        potential = torch.zeros_like(b)
        fall = min(1.0, regularisation / radius) ** (1 / max(1, iterations // 2))
        for number in range(iterations):
            epsilon = max(regularisation, radius * fall**number)
            of_x = _soft_minimum(cost - potential[:, None], log_b[:, None], epsilon)
            potential = _soft_minimum((cost - of_x[..., None]).mT, log_a[:, None], epsilon)
    of_x = _soft_minimum(cost - potential[:, None], log_b[:, None], regularisation)
    return (a * of_x).sum(1) + (b * potential).sum(1)


def _log_share(pt: Tensor) -> Tensor:
    """Logarithm of the share of the total, ``(batch, particles)``; an empty jet has all in the fictitious particle."""
    total = pt.sum(1, keepdim=True)
    empty = total == 0
    share = pt / torch.where(empty, 1, total)
    only_last = torch.nn.functional.one_hot(torch.tensor(pt.shape[1] - 1, device=pt.device), pt.shape[1])
    share = torch.where(empty, only_last.to(pt), share)
    return torch.where(share > 0, torch.where(share > 0, share, 1).log(), -torch.inf)


def _soft_minimum(values: Tensor, log_share: Tensor, epsilon: float) -> Tensor:
    """-epsilon log sum_j share_j exp(-values_j / epsilon), over the last axis."""
    return -epsilon * (log_share - values / epsilon).logsumexp(-1)
