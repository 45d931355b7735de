"""A run directory: everything that a training made, and all that is needed to use it.

    config.yaml            the whole configuration, resolved
    transform.json         normalisation, and what generation has to know of the training data
    manifest.json          versions, data hash, seed, plan and outcome
    metrics.jsonl          losses and validation metrics by step
    generator.safetensors  the best generator, averaged weights
    checkpoints/           to resume from
    samples/               generated at every validation, where asked for
    tensorboard/           the same curves for TensorBoard

It can be mailed and loads without running anybody's code: YAML, JSON and safetensors. Class paths in the
configuration are only followed inside partigan and torch, unless the user trusts the run.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from partigan.errors import PartiganError
from partigan.files import atomic, read_json, read_yaml, write_json

SHIPPED = Path(__file__).parent / "weights"  # trained runs that come with partigan, by name
TRUSTED = ("partigan.", "torch.optim.", "torch.nn.")


def known_run(path: str | Path) -> Path:
    """The path of a run, or of the run of that name that comes with partigan where nothing stands at the path."""
    shipped = SHIPPED / Path(path).name
    return shipped if len(Path(path).parts) == 1 and not Path(path).exists() and shipped.is_dir() else Path(path)


class Run:
    """The files of one run.

    Args:
        path: the directory.
        product: name of the network that is kept, and of its file.
    """

    def __init__(self, path: str | Path, product: str = "generator") -> None:
        self.path = Path(path)
        self.config_file, self.weights = self.path / "config.yaml", self.path / f"{product}.safetensors"
        self.transform_file, self._manifest = self.path / "transform.json", self.path / "manifest.json"

    @property
    def exists(self) -> bool:
        """Whether there is a configuration, the first file that a run writes completely."""
        return self.config_file.exists()

    def create(self, config: str, transform: dict[str, Any], manifest: dict[str, Any]) -> None:
        """Write what a training starts from: transform first, configuration last, so that a run exists or not."""
        write_json(self.transform_file, transform)
        write_json(self._manifest, manifest)
        with atomic(self.config_file) as temporary:
            temporary.write_text(config)

    def config(self, trust: bool = False) -> dict[str, Any]:
        """The configuration.

        Raises:
            PartiganError: there is none, or it names classes outside partigan and torch and is not trusted.
        """
        if not self.exists:
            known = ", ".join(sorted(path.name for path in SHIPPED.iterdir() if path.is_dir()))
            raise PartiganError(
                f"{self.path} is not a run directory (no config.yaml); train one, check the path, or name one that "
                f"comes with partigan: {known}"
            )
        config = read_yaml(self.config_file)
        if not trust:
            for name in _import_paths({key: value for key, value in config.items() if key != "about"}):
                if not name.startswith(TRUSTED):
                    raise PartiganError(
                        f"{self.config_file} uses the class {name}, which is not part of partigan; "
                        "look at its code, then give --trust to run it"
                    )
        return config

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

    def update_manifest(self, **values: Any) -> None:
        """Add or replace entries of the manifest."""
        write_json(self._manifest, self.manifest | values)


def _import_paths(value: Any) -> list[str]:
    """Every text that could be taken for an import path, wherever it stands: parsing alone would import it."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [name for entry in value for name in _import_paths(entry)]
    return [value] if isinstance(value, str) and re.fullmatch(r"\s*\w+(\s*\.\s*\w+)+\s*", value) else []
