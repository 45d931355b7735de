"""Generators of PXD background as basf2 takes them."""
