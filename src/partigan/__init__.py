"""partigan: adversarial fast simulation in particle physics."""

__version__ = "0.1.0"
