"""From C to a library: which compiler, with what, and where libraries are kept."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from importlib import resources
from pathlib import Path

from partigan.errors import PartiganError

FLAGS = ("-std=gnu11", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC", "-w")
COMPILERS = ("cc", "gcc", "clang")


def compiler() -> str | None:
    """The C compiler: that of the variable ``CC``, or the first of cc, gcc and clang; None = there is none."""
    return next((found for name in (os.environ.get("CC"), *COMPILERS) if name and (found := shutil.which(name))), None)


def kept() -> Path:
    """The folder where libraries are kept, that of the user alone."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "partigan" / "native"


def lanes() -> str:
    """Arithmetic of vectors in C, which all code begins with."""
    return resources.files("partigan").joinpath("lanes.h").read_text(encoding="utf-8")


def library(code: str) -> ctypes.CDLL:
    """Code as a loaded library: compiled once for this processor and compiler, then kept.

    Raises:
        PartiganError: there is no compiler, it fails, or nothing can be kept.
    """
    found = compiler()
    if found is None:
        raise PartiganError("there is no C compiler (cc, gcc or clang); install one, set CC, or take --engine torch")
    key = hashlib.sha256("\0".join((code, *FLAGS, _version(found), _processor())).encode()).hexdigest()[:32]
    path = kept() / f"{key}.so"
    if not path.exists():
        _compile(found, code, path)
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise PartiganError(f"{path} cannot be loaded ({error}); delete it, or take --engine torch") from error


def _compile(found: str, code: str, path: Path) -> None:
    """Compile beside the place, then move there, so that processes do not disturb each other."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, made = tempfile.mkstemp(".so", path.stem, path.parent)
        os.close(handle)
        source = Path(made).with_suffix(".c")
        source.write_text(code, encoding="utf-8")
    except OSError as error:
        raise PartiganError(
            f"{path.parent} cannot be written ({error}); set XDG_CACHE_HOME to a folder that can"
        ) from error
    done = subprocess.run([found, *FLAGS, "-o", made, str(source), "-lm"], capture_output=True, text=True, check=False)
    if done.returncode:
        Path(made).unlink()
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise PartiganError(f"{found} fails: {last}; the code is in {source}; set CC, or take --engine torch")
    source.unlink()
    os.replace(made, path)


@cache
def _version(found: str) -> str:
    """What the compiler says of itself."""
    return subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout


@cache
def _processor() -> str:
    """What the processor can do: homes are shared by machines that differ."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    found = [line for line in lines if line.startswith(("flags", "Features", "model name"))]
    return "\n".join((platform.machine(), platform.processor(), *sorted({*found})))
