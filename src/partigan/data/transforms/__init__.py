"""Normalisations with an exact inverse, one file for each family."""

from partigan.data.transforms.transform import Transform, with_source

__all__ = ["Transform", "with_source"]
