"""The published ParticleNet of the Fréchet ParticleNet distance, read from an installed `jetnet` distribution.

Its files are read and nothing of it is imported: its dependencies hold numpy below 2.

References:
    R. Kansal et al., Particle cloud generation with message passing generative adversarial networks,
    NeurIPS 2021, arXiv:2106.11535, section 5.2; JetNet library, doi:10.21105/joss.05789.
"""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from partigan.data.batch import Batch
from partigan.errors import PartiganError
from partigan.metrics.frechet import Moments
from partigan.models.classifier import Reference
from partigan.nets.clouds.particlenet import ParticleNet

FLAVOURS = ("g", "q", "t")
PARTICLES = 30
_FOLDER = Path("jetnet/evaluation/fpnd_resources/jetnet/30_particles")
_SCALE = torch.tensor([1.62119853, 0.52072489, 0.89347172])  # greatest values of eta_rel, phi_rel, pt_rel
_SHIFT = torch.tensor([0.0, 0.0, 0.5])
_JETS = 50_000  # of which the published moments are


def published(flavour: str, shape: tuple[int, ...]) -> Reference:
    """The published network and its moments on real JetNet jets.

    Args:
        flavour: class of jets: g, q or t.
        shape: of a jet, ``(particles, features)``; published are 30 particles of 3 features.

    Raises:
        PartiganError: nothing was published for these jets, or the `jetnet` distribution is not installed.
    """
    if flavour not in FLAVOURS or shape[0] != PARTICLES:
        raise PartiganError(
            f"there is no published ParticleNet for {shape[0]} particles of class {flavour!r}, only for "
            f"{PARTICLES} of {', '.join(FLAVOURS)}; train one with 'partigan fit-classifier' and give --classifier"
        )
    try:
        distribution = metadata.distribution("jetnet")
    except metadata.PackageNotFoundError as error:
        raise PartiganError(
            "the published ParticleNet is part of the jetnet package; run: pip install --no-deps jetnet"
        ) from error
    folder = Path(str(distribution.locate_file(_FOLDER)))
    try:
        weights = torch.load(folder / "pnet_state_dict.pt", map_location="cpu", weights_only=True)
        mean, cov = (np.loadtxt(folder / f"{flavour}_{name}.txt") for name in ("mu", "sigma"))
    except (OSError, ValueError) as error:
        raise PartiganError(f"jetnet {distribution.version} lacks the published ParticleNet: {error}") from error
    network = ParticleNet()
    network.load_state_dict({_ours(name): tensor for name, tensor in weights.items() if "edge_convs" not in name})
    return Reference(
        f"JetNet's {flavour} (jetnet {distribution.version})",
        network.eval(),
        normalise,
        Moments(mean, cov, _JETS),
        (PARTICLES, 3),
    )


def normalise(jets: Batch) -> Batch:
    """Jets as the published network was trained on: padded particles are zeros before scale and shift, and count."""
    x: Tensor = jets.x if jets.mask is None else torch.where(jets.mask[..., None], jets.x, 0)
    return Batch(x / _SCALE - _SHIFT)


def _ours(name: str) -> str:
    """Our name of a published tensor."""
    name = name.replace("fc1.0.", "hidden.").replace("fc2.", "out.")
    if found := re.fullmatch(r"edge_nets\.(\d)\.model\.(\d)\.(\w+)", name):
        layer, part = divmod(int(found[2]), 3)
        place = "first" if layer == 0 else f"others.{layer - 1}"
        name = f"convolutions.{found[1]}.{place}.{('linear', 'norm')[part]}.{found[3]}"
    return name
