"""Long jobs in parts: what is finished stays, an interrupted job goes on, and two jobs are never mixed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from partigan.documents import read_json
from partigan.errors import PartiganError
from partigan.files import MANIFEST, manifest_of, refuse_existing, sha256, write_json
from partigan.folders import open_folder, refuse_strangers, remove_folder, settle, sweep

STAMP = "job_sha256"
"""The attribute of a finished file that says of which job it is."""


def earlier(out: str | Path, said: Callable[[Path], Mapping[str, Any]]) -> Mapping[str, Any]:
    """What an earlier run of a job left of its arguments, beside ``out`` or in it; empty where there is nothing."""
    out = Path(out)
    folder = out.with_name(f"{out.name}.parts")
    with suppress(PartiganError):
        if (folder / MANIFEST).exists():
            return dict(manifest_of(folder)["job"])
        return said(out) if out.exists() else {}
    return {}


class Parts:
    """Finished parts of a long job, in a folder beside the output, merged at the end.

    An interruption loses the parts that were being made and nothing else. Every part has a receipt, a JSON file with
    the digests of the job and of the part; a part without one is made anew.

    Args:
        out: the file that the job makes; the parts live in ``<out>.parts/``.
        job: the arguments that decide the content of the file.
        chunks: how many parts there are.
        said: gives the attributes of a finished file, among them ``STAMP``.
        resume: go on with the parts that an earlier run left.
        overwrite: replace ``out`` and forget parts of earlier runs.

    Attributes:
        stamp: sha256 of the job.
        finished: an earlier run had made ``out`` of all parts; nothing is left to do.

    Raises:
        PartiganError: ``out`` exists, or parts of another or an unfinished job do, or files that are no parts.
    """

    def __init__(
        self,
        out: str | Path,
        job: Mapping[str, Any],
        chunks: int,
        said: Callable[[Path], Mapping[str, Any]],
        *,
        resume: bool,
        overwrite: bool,
    ) -> None:
        self.out, self.chunks = Path(out), chunks
        self.folder = self.out.absolute().with_name(self.out.name + ".parts")  # as processes elsewhere see it
        job = json.loads(json.dumps(job))
        self.stamp = hashlib.sha256(json.dumps(job, sort_keys=True).encode()).hexdigest()
        sweep(self.folder.resolve())
        self.finished = resume and self._finished(said)
        if self.finished:
            if (self.folder / MANIFEST).exists() and manifest_of(self.folder)["job"] == job:
                self.remove()
            return
        refuse_existing(self.out, overwrite)
        refuse_strangers(self.folder)
        if self.folder.exists() and not resume:
            if not overwrite:
                raise PartiganError(
                    f"{self.folder} holds an unfinished job; give --resume to go on or --overwrite to start anew"
                )
            self.remove()
        files = [f"{chunk:06d}.{kind}" for chunk in range(chunks) for kind in ("h5", "json")]
        open_folder(self.folder, f"a job that makes {self.out.name}", job, files)

    def _finished(self, said: Callable[[Path], Mapping[str, Any]]) -> bool:
        """Whether the output is there and of this job: it was killed after the merge."""
        with suppress(PartiganError):
            return self.out.exists() and said(self.out).get(STAMP) == self.stamp
        return False

    def path(self, chunk: int) -> Path:
        """Where a part is, or will be."""
        return self.folder / f"{chunk:06d}.h5"

    def make(self, chunk: int, write: Callable[..., Any], *arguments: Any) -> Any:
        """Make a part and its receipt.

        Args:
            chunk: number of the part.
            write: called with the path of the part and ``arguments``.
            arguments: further ones.

        Returns:
            What ``write`` returns.
        """
        receipt = self._receipt(chunk)
        receipt.unlink(missing_ok=True)
        found = write(self.path(chunk), *arguments)
        write_json(receipt, {"job": self.stamp, "sha256": sha256(self.path(chunk))})
        return found

    def missing(self) -> list[int]:
        """The parts that are still to be made.

        Raises:
            PartiganError: a part belongs to another job.
        """
        return [chunk for chunk in range(self.chunks) if not self._made(chunk)]

    def _made(self, chunk: int) -> bool:
        part, receipt = self.path(chunk), self._receipt(chunk)
        if not (part.exists() and receipt.exists()):
            return False
        said = read_json(receipt)
        if said["job"] != self.stamp:
            raise PartiganError(f"{part} belongs to another job; start anew with --overwrite and without --resume")
        return bool(said["sha256"] == sha256(part))

    def _receipt(self, chunk: int) -> Path:
        return self.path(chunk).with_suffix(".json")

    def digest(self, chunk: int) -> str:
        """The sha256 of a part, by its receipt."""
        return str(read_json(self._receipt(chunk))["sha256"])

    def become(self) -> None:
        """Make the folder of the parts the output; receipts are left behind."""
        for chunk in range(self.chunks):
            self._receipt(chunk).unlink(missing_ok=True)
        settle(self.folder, self.out)

    def remove(self) -> None:
        """Remove the parts, after the merged file stands under its name."""
        remove_folder(self.folder)
