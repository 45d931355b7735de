"""Normalisations with an exact inverse, one file for each family."""

from partigan.data.transforms.transform import Transform

__all__ = ["Transform"]
