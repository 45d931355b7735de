"""A run directory: everything that a training made, and all that is needed to use it.

    config.yaml            the whole configuration, resolved
    transform.json         normalisation, and what generation has to know of the training data
    manifest.json          layout, versions, data, seed, plan and outcome
    metrics.jsonl          losses and validation metrics by step
    generator.safetensors  the best generator, averaged weights
    checkpoints/           to resume from
    samples/               generated at every validation, where asked for
    tensorboard/           the same curves for TensorBoard

It can be mailed and loads without running anybody's code: YAML, JSON and safetensors. The manifest has the sha256 of
every file that no longer changes, and its own: a file that is damaged or of another run is refused when it is read.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from partigan.documents import Rule, check, read_json, read_yaml
from partigan.errors import PartiganError
from partigan.files import sha256, write_json, write_text

SHIPPED = Path(__file__).parent / "models" / "weights"  # trained runs that come with partigan, by name
LAYOUT = 2  # of run directories; raised when older ones can no longer be read
SPECIES = "species"  # entry of a manifest's data: of which samples alone a run was trained
TRAINED_SPECIES = "training_species"  # the same as an attribute of generated files
_CHANGING = ("manifest.json", "checkpoints", "tensorboard")  # have no sha256 in the manifest
_DIGEST = Rule(str, lambda text: len(text) == 64 and {*text} <= {*"0123456789abcdef"}, "a sha256 of 64 hexadecimals")
_COUNT = Rule(int, lambda number: number >= 0, "a whole number, not negative")
_MANIFEST = {
    "layout": int,
    "product": str,
    "files": {str: _DIGEST},
    "sha256": _DIGEST,
    "versions": {"partigan": str, str: str},
    "data": {"sha256": (_DIGEST, {str: _DIGEST}, type(None)), f"{SPECIES}?": str, str: object},
    "start?": {"path": str, "weights_sha256": _DIGEST, "trained_on": [_DIGEST]},
    "extended?": [{"from": _COUNT, "to": _COUNT, "at": _COUNT}],
    "plan?": {"max_steps": _COUNT, str: float},
    "finished?": {"step": _COUNT, "seconds": float, "selection": {str: object}, str: object},
    "command?": [str],
    "threads?": _COUNT,
    "parameters?": {str: _COUNT},
    "source?": (str, type(None)),
    "git_revision?": (str, type(None)),
    str: object,
}
_TRANSFORM = {"kind": (str, type(None)), "state": {str: object}, "conditions": {str: object}}
_CONFIG = {"transform": {str: object}, "system": {str: object}, "trainer": {str: object}, "seed?": int, str: object}


def known_run(path: str | Path) -> Path:
    """The path of a run; where nothing stands at it, of the run of that name that comes with partigan."""
    shipped = SHIPPED / Path(path).name
    return shipped if len(Path(path).parts) == 1 and not Path(path).exists() and shipped.is_dir() else Path(path)


def located(path: str | Path) -> str:
    """A run as processes find it that have another working directory: its absolute path, or its name."""
    return str(Path(path).absolute()) if Path(path).exists() else str(path)


class Run:
    """The files of one run.

    Args:
        path: the directory; `known_run` finds that of a name.
        product: name of the network that is kept, and of its file; None = as the manifest says.
        verify: refuse files whose sha256 is not that of the manifest.
    """

    def __init__(self, path: str | Path, product: str | None = None, verify: bool = True) -> None:
        self.path = Path(path)
        self.config_file, self._manifest = self.path / "config.yaml", self.path / "manifest.json"
        self.transform_file, self.log_file = self.path / "transform.json", self.path / "metrics.jsonl"
        self._product, self.verify = product, verify

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
        write_text(self.transform_file, json.dumps(transform, separators=(",", ":")) + "\n")  # long
        digests = {self.config_file.name: hashlib.sha256(config.encode()).hexdigest()}
        digests[self.transform_file.name] = sha256(self.transform_file)
        self._write({"layout": LAYOUT, "product": self.product, "files": digests, **manifest})
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
        self.manifest  # noqa: B018  # says where the run has another layout
        content = read_yaml(self.verified(self.config_file))
        check(content, _CONFIG, str(self.config_file))
        return content

    def samples(self, step: int) -> Path:
        """Where the samples that were generated at a validation are, or will be."""
        return self.path / "samples" / f"{step:09d}.h5"

    @property
    def transform(self) -> dict[str, Any]:
        """Content of ``transform.json``."""
        content = read_json(self.verified(self.transform_file))
        check(content, _TRANSFORM, str(self.transform_file))
        return dict(content)

    @property
    def manifest(self) -> dict[str, Any]:
        """Content of ``manifest.json``.

        Raises:
            PartiganError: it is damaged, or has another layout.
        """
        content = read_json(self._manifest)
        check(content, {str: object}, str(self._manifest))
        if (layout := content.get("layout", 1)) != LAYOUT:
            versions = content.get("versions")
            by = versions.get("partigan", "unknown") if isinstance(versions, dict) else "unknown"
            raise PartiganError(
                f"{self.path} has layout {layout}, made by partigan {by}, and this one reads layout {LAYOUT}; train it "
                "again, or use it with the version that made it"
            )
        if self.verify:
            check(content, _MANIFEST, str(self._manifest))
            if content["sha256"] != _digest(content):
                raise _damaged(self._manifest, "its own sha256")
        return dict(content)

    def verified(self, path: Path) -> Path:
        """The path of a file of the run, whose content is what it was when the manifest took its sha256.

        Raises:
            PartiganError: it is missing, or its content is another. A file that a training still changes has no sha256.
        """
        known = self.manifest["files"].get(path.relative_to(self.path).as_posix()) if self.verify else None
        if known is not None and not path.exists():
            raise PartiganError(f"{path} is missing; restore it, or train again")
        if known is not None and sha256(path) != known:
            raise _damaged(path, f"the sha256 in {self._manifest.name}")
        return path

    @property
    def trained_on(self) -> list[str]:
        """Sha256 of the files that it was trained on, in the order of their names; empty where they are not known.

        Those of a run that it started from come after its own.
        """
        found = self.manifest.get("data", {}).get("sha256") or []
        own = [found] if isinstance(found, str) else [found[name] for name in sorted(found)]
        return list(dict.fromkeys([*own, *self.manifest.get("start", {}).get("trained_on", [])]))

    @property
    def species(self) -> str | None:
        """The only species that it was trained on; None = all that its data hold."""
        found: str | None = self.manifest.get("data", {}).get(SPECIES)
        return found

    def update_manifest(self, **values: Any) -> None:
        """Add or replace entries of the manifest; None takes one out."""
        self._write({name: value for name, value in (self.manifest | values).items() if value is not None})

    def seal(self) -> None:
        """Keep the sha256 of all files that no longer change; called when they are complete."""
        parts = (path.relative_to(self.path) for path in sorted(self.path.rglob("*")) if path.is_file())
        kept = [part for part in parts if part.parts[0] not in _CHANGING and not part.name.startswith(".")]
        self.update_manifest(files={part.as_posix(): sha256(self.path / part) for part in kept})

    def unseal(self) -> None:
        """Forget the sha256 of all files that training changes; called before it does."""
        started = (self.config_file.name, self.transform_file.name)
        self.update_manifest(
            files={name: digest for name, digest in self.manifest.get("files", {}).items() if name in started}
        )

    def _write(self, manifest: dict[str, Any]) -> None:
        manifest = json.loads(json.dumps(manifest))
        write_json(self._manifest, manifest | {"sha256": _digest(manifest)})


def _digest(manifest: dict[str, Any]) -> str:
    """The sha256 of everything else in a manifest."""
    rest = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _damaged(path: Path, what: str) -> PartiganError:
    return PartiganError(
        f"{path} is not what {what} says: it was changed, damaged, or is of another run; restore it, or give "
        "--no-verify to use it as it is"
    )
