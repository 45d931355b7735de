"""Simulations that make training data."""
