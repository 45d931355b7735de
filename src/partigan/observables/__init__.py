"""What physicists look at, in differentiable torch."""
