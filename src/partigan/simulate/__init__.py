"""Training data from real generators."""
