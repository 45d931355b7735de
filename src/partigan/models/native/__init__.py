"""Generators as C, for the speed of the machine: samples side by side in the lanes of its vectors.

`recording` runs a deployed generator on one sample and notes every operation; `emitting` writes these as C, in which a
number is a vector of numbers, one a sample; `compiling` makes a library of it, kept for the next time; `network` is the
generator that calls it. A generator of any architecture has a native form where all of its operations are among those
that `emitting` knows.
"""

from partigan.models.native.network import NativeGenerator

__all__ = ["NativeGenerator"]
