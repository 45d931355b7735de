"""Optional dependencies: a missing one is one line that says what to install."""

from __future__ import annotations

from importlib.util import find_spec

from partigan.errors import PartiganError


def require(extra: str, *modules: str) -> None:
    """Raise a `PartiganError` that names the command to run where one of ``modules`` is not installed."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise PartiganError(f"{' and '.join(missing)} not installed; run: pip install 'partigan[{extra}]'")
