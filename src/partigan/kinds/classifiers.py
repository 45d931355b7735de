"""Configurations of the classifiers of each kind of data: networks trained with cross-entropy."""

from __future__ import annotations

from typing import Any

Config = dict[str, Any]


def _config(about: Config, transform: str | Config, network: str | Config, **trainer: Any) -> Config:
    """A classifier: ``about``, normalisation, network and options of the trainer."""
    return {
        "about": about,
        "transform": transform,
        "system": {
            "systems.classification.Classification": {
                "classifier": network,
                "optimizer": {"torch.optim.AdamW": {"lr": 1e-3}},
                "schedule": "systems.schedules.WarmupCosine",
            },
        },
        "trainer": {"ema_half_life": 0.0, "validations": 20, **trainer},
    }


PARTICLENET = _config(
    {"title": "ParticleNet", "paper": "arXiv:1902.08570", "status": "as in arXiv:2106.11535"},
    "data.transforms.jets.LogStandardise",
    "nets.clouds.particlenet.ParticleNet",
    batch_size=128,
    max_minutes=20.0,
)

PARTICLE_FLOW = _config(
    {"title": "Particle flow network", "paper": "arXiv:1810.05165", "status": "as in the paper, with other inputs"},
    "data.transforms.jets.LogStandardise",
    "nets.clouds.deepsets.ParticleFlow",
    batch_size=128,
    max_steps=1500,
    validations=10,
)

TABLE = _config(
    {"title": "Fully connected network", "paper": "none", "status": "ours"},
    "data.transforms.tables.Standardise",
    "nets.tables.TableClassifier",
    batch_size=256,
    max_steps=2000,
)

TRACE = _config(
    {"title": "Small convolutional network", "paper": "none", "status": "ours"},
    "data.transforms.traces.LogTrace",
    "nets.traces.TraceClassifier",
    batch_size=128,
    max_steps=1500,
    validations=10,
)

IMAGE = _config(
    {"title": "Small convolutional network", "paper": "arXiv:1412.6806", "status": "sizes are ours"},
    {"data.transforms.images.Rescale": {"low": None, "high": None}},
    "nets.images.classifier.ImageClassifier",
    batch_size=64,
    max_steps=1500,
)

SHOWER = _config(
    {"title": "Small convolutional network", "paper": "arXiv:1412.6806", "status": "sizes are ours"},
    "data.transforms.airshowers.LogSignal",
    {"nets.images.classifier.ImageClassifier": {"filters": 32}},
    batch_size=128,
    max_steps=1500,
    validations=10,
)

IMAGE_JUDGE = {**IMAGE, "trainer": {**IMAGE["trainer"], "validations": 10}}


def sensors(filters: int, batch_size: int) -> Config:
    """A small convolutional network that tells the sensors of hitmaps (PE-GAN, section 5)."""
    return _config(
        {"title": "Convolutional network that tells the sensors", "paper": "ours", "status": "not tuned"},
        "data.transforms.hitmaps.LogIntensity",
        {"nets.images.classifier.ImageClassifier": {"filters": filters}},
        batch_size=batch_size,
        max_steps=2000,
        validations=10,
    )
