"""An event of PXD background as basf2's generator of background asks for it."""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import Tensor, nn

from partigan.data.batch import Batch
from partigan.data.pxd import SENSORS
from partigan.data.transforms.transform import Transform
from partigan.kinds.kind import Conditions
from partigan.nets.contracts import Generator, introduce


class EventModel(nn.Module):
    """A generator with all that an event of 40 maps needs; its state is one dictionary of tensors.

    The state is the network as it was trained, and ``fitted``, the constants of normalisation and conditions as JSON in
    bytes. The inference form is made when the first event is asked for.

    Args:
        network: generator of whole maps.
        transform: its normalisation, not fitted.
        conditions: of its kind.
        size: of ``fitted``, bytes.

    References:
        basf2, pxd/scripts/pxd/background_generator.
    """

    fitted: Tensor

    def __init__(self, network: Generator, transform: Transform, conditions: Conditions, size: int) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("fitted", torch.zeros(size, dtype=torch.uint8))
        self._others = (transform, conditions)  # not among the modules: they have no tensors in the state
        self._opened: tuple[Generator, dict[str, Any]] | None = None

    def opened(self) -> tuple[Generator, dict[str, Any]]:
        """The network's inference form, and what conditions are drawn from."""
        if self._opened is None:
            transform, conditions = self._others
            fitted = json.loads(bytes(self.fitted.tolist()))
            transform.load_state(fitted["state"])
            introduce(self.network, transform)
            self._opened = self.network.deployed(), conditions.ready(fitted["conditions"])
        return self._opened

    @torch.no_grad()
    def event(self) -> Tensor:
        """Charges in ADU, ``(40, 250, 768)`` uint8, with torch's global random numbers."""
        (transform, conditions), rng = self._others, torch.default_generator
        deployed, known = self.opened()
        condition, _ = conditions.draw(known, len(SENSORS), rng)
        seen = None if condition is None else transform.condition(condition)
        made = []
        for rows in torch.arange(len(SENSORS)).split(conditions.group):
            noise = deployed.noise(len(rows), None, rng)
            made.append(deployed(noise, None if seen is None else seen[rows], None))
        return transform.inverse(Batch(torch.cat(made), None, seen)).x[:, 0].byte()
