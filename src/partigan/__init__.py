"""partigan: adversarial fast simulation in particle physics.

The same functions as on the command line: `simulate_jets`, `simulate_pxd`, `simulate_traces`,
`simulate_airshower`, `simulate_calorimeter`, `simulate_cherenkov`, `train`, `fit_classifier`, `load`, `generate`,
`refine`, `evaluate`, `compare`, `export`, `profile`. And `PXDBackground`: events of background one by one.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from partigan.commands.compare import compare as compare
    from partigan.commands.evaluate import evaluate as evaluate
    from partigan.commands.export import export as export
    from partigan.commands.fit_classifier import fit_classifier as fit_classifier
    from partigan.commands.generate import generate as generate
    from partigan.commands.profile import profile as profile
    from partigan.commands.refine import refine as refine
    from partigan.commands.train import train as train
    from partigan.errors import PartiganError as PartiganError
    from partigan.models.background import PXDBackground as PXDBackground
    from partigan.models.model import load as load
    from partigan.simulate.airshower import simulate_airshower as simulate_airshower
    from partigan.simulate.calorimeter import simulate_calorimeter as simulate_calorimeter
    from partigan.simulate.cherenkov import simulate_cherenkov as simulate_cherenkov
    from partigan.simulate.jets import simulate_jets as simulate_jets
    from partigan.simulate.pxd import simulate_pxd as simulate_pxd
    from partigan.simulate.traces import simulate_traces as simulate_traces

__version__ = "0.1.0"

_HOME = {
    "PXDBackground": "partigan.models.background",
    "PartiganError": "partigan.errors",
    "compare": "partigan.commands.compare",
    "evaluate": "partigan.commands.evaluate",
    "export": "partigan.commands.export",
    "profile": "partigan.commands.profile",
    "fit_classifier": "partigan.commands.fit_classifier",
    "generate": "partigan.commands.generate",
    "load": "partigan.models.model",
    "refine": "partigan.commands.refine",
    "simulate_airshower": "partigan.simulate.airshower",
    "simulate_calorimeter": "partigan.simulate.calorimeter",
    "simulate_cherenkov": "partigan.simulate.cherenkov",
    "simulate_jets": "partigan.simulate.jets",
    "simulate_pxd": "partigan.simulate.pxd",
    "simulate_traces": "partigan.simulate.traces",
    "train": "partigan.commands.train",
}
__all__ = [
    "PXDBackground",
    "PartiganError",
    "compare",
    "evaluate",
    "export",
    "fit_classifier",
    "generate",
    "load",
    "profile",
    "refine",
    "simulate_airshower",
    "simulate_calorimeter",
    "simulate_cherenkov",
    "simulate_jets",
    "simulate_pxd",
    "simulate_traces",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import a public function when it is asked for, so that `import partigan` costs nothing."""
    if name not in _HOME:
        raise AttributeError(f"module 'partigan' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
