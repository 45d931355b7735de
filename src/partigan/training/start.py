"""Fine-tuning: an earlier run whose networks and normalisation a training starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from partigan.data.transforms import Transform
from partigan.errors import PartiganError
from partigan.files import sha256
from partigan.models.checkpoint import Checkpoints, load_tensors, unpack_module
from partigan.progress import tell
from partigan.run import Run, known_run
from partigan.systems.system import System


class Start:
    """The networks of an earlier run.

    Networks are those of its newest checkpoint. A run without checkpoints, such as one that comes with partigan, has
    its product alone; the others start anew. Optimisers and averages start anew, too. The normalisation stays that of
    the earlier run, since its networks know no other.

    Args:
        path: the run directory, or the name of a run that comes with partigan.

    Raises:
        PartiganError: there is no such run, or it is not finished.
    """

    def __init__(self, path: str | Path) -> None:
        self.run = Run(known_run(path))
        self.run.require()
        if not self.run.weights.exists():
            raise PartiganError(f"{self.run.path} has no weights yet to start from; finish it first: --resume")

    @property
    def config(self) -> dict[str, Any]:
        """Its configuration, without the seed."""
        return {name: value for name, value in self.run.config.items() if name != "seed"}

    def normalise(self, transform: Transform, resolved: dict[str, Any]) -> None:
        """Give a transform the constants of the earlier run.

        Raises:
            PartiganError: the earlier run has another transform.
        """
        had, wanted = self.run.config["transform"], resolved["transform"]
        if had != wanted:
            raise PartiganError(
                f"{self.run.path} has the transform {had['class_path']}, the configuration {wanted['class_path']}, or "
                "one with other options; networks come together with their normalisation: leave out --config"
            )
        transform.load_state(self.run.transform["state"])

    def give(self, system: System) -> None:
        """Give networks their weights, and say where these come from.

        Raises:
            PartiganError: networks of another shape.
        """
        path, product = self.run.path, system.product
        found = Checkpoints(path / "checkpoints").newest()
        try:
            if found is not None:
                for name, network in system.networks.items():
                    unpack_module(f"network.{name}", network, found[0])
                tell(f"start: all networks of {path} at its step {found[1]['step']:,}, with its normalisation")
                return
            unpack_module(product, system.networks[product], load_tensors(self.run.verified(self.run.weights))[0])
        except PartiganError as error:
            raise PartiganError(
                f"the networks of {path} do not fit: {error}; give data of the shape that it was trained on, and "
                "its own configuration"
            ) from error
        others = ", ".join(name for name in system.networks if name != product) or "no others"
        tell(
            f"start: the {product} of {path}, with its normalisation; it kept no checkpoint, so these start anew: "
            f"{others}"
        )

    @property
    def said(self) -> dict[str, Any]:
        """Path, sha256 of its best weights, and sha256 of all that it was trained on, for a manifest."""
        return {
            "path": str(self.run.path),
            "weights_sha256": sha256(self.run.weights),
            "trained_on": self.run.trained_on,
        }
