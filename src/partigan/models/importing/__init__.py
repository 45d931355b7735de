"""Weights that authors published, as ordinary run directories."""
