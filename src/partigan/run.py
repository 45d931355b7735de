"""A run directory: everything that a training made, and all that is needed to use it.

    config.yaml            the whole configuration, resolved
    transform.json         normalisation, and what generation has to know of the training data
    manifest.json          layout, versions, data, seed, plan and outcome
    metrics.jsonl          losses and validation metrics by step
    generator.safetensors  the best generator, averaged weights
    checkpoints/           to resume from
    samples/               generated at every validation, where asked for
    tensorboard/           the same curves for TensorBoard

It can be mailed and loads without running anybody's code: YAML, JSON and safetensors.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from partigan.errors import PartiganError
from partigan.files import read_json, read_yaml, write_json, write_text

SHIPPED = Path(__file__).parent / "models" / "weights"  # trained runs that come with partigan, by name
LAYOUT = 2  # of run directories; raised when older ones can no longer be read


def known_run(path: str | Path) -> Path:
    """The path of a run; where nothing stands at it, of the run of that name that comes with partigan."""
    shipped = SHIPPED / Path(path).name
    return shipped if len(Path(path).parts) == 1 and not Path(path).exists() and shipped.is_dir() else Path(path)


class Run:
    """The files of one run.

    Args:
        path: the directory, or the name of a run that comes with partigan.
        product: name of the network that is kept, and of its file; None = as the manifest says.
    """

    def __init__(self, path: str | Path, product: str | None = None) -> None:
        self.path = known_run(path)
        self.config_file, self._manifest = self.path / "config.yaml", self.path / "manifest.json"
        self.transform_file = self.path / "transform.json"
        self._product = product

    @property
    def product(self) -> str:
        """Name of the network that is kept."""
        if self._product is None:
            self._product = str(self.manifest.get("product", "generator")) if self._manifest.exists() else "generator"
        return self._product

    @property
    def weights(self) -> Path:
        """File of the best weights of the product."""
        return self.path / f"{self.product}.safetensors"

    @property
    def exists(self) -> bool:
        """True where there is a configuration, the last file that a beginning run writes."""
        return self.config_file.exists()

    def create(self, config: str, transform: dict[str, Any], manifest: dict[str, Any]) -> None:
        """Write what a training starts from: configuration last, so that a run exists or not."""
        write_json(self.transform_file, transform)
        write_json(self._manifest, {"layout": LAYOUT, "product": self.product, **manifest})
        write_text(self.config_file, config)

    def require(self) -> None:
        """Raise a `PartiganError` where there is no run."""
        if not self.exists:
            known = ", ".join(sorted(path.name for path in SHIPPED.iterdir() if path.is_dir()))
            raise PartiganError(
                f"{self.path} is not a run directory (no config.yaml); train one, check the path, or name one that "
                f"comes with partigan: {known}"
            )

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration.

        Raises:
            PartiganError: there is none, or it was written by a partigan whose runs this one does not read.
        """
        self.require()
        if (layout := self.manifest.get("layout", 1)) != LAYOUT:
            by = self.manifest.get("versions", {}).get("partigan", "unknown")
            raise PartiganError(
                f"{self.path} has layout {layout}, made by partigan {by}, and this one reads layout {LAYOUT}; train it "
                "again, or use it with the version that made it"
            )
        return read_yaml(self.config_file)

    def samples(self, step: int) -> Path:
        """Where the samples that were generated at a validation are, or will be."""
        return self.path / "samples" / f"{step:09d}.h5"

    @property
    def transform(self) -> dict[str, Any]:
        """Content of ``transform.json``."""
        return dict(read_json(self.transform_file))

    @property
    def manifest(self) -> dict[str, Any]:
        """Content of ``manifest.json``."""
        return dict(read_json(self._manifest))

    @property
    def trained_on(self) -> list[str]:
        """Sha256 of the files that it was trained on, in the order of their names; empty where they are not known."""
        found = self.manifest.get("data", {}).get("sha256") or []
        return [found] if isinstance(found, str) else [found[name] for name in sorted(found)]

    def update_manifest(self, **values: Any) -> None:
        """Add or replace entries of the manifest."""
        write_json(self._manifest, self.manifest | values)
