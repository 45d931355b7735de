"""Metrics between samples: plain functions of arrays."""
