"""Observables: what physicists look at, in differentiable torch where networks use it."""
