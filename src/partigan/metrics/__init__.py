"""How far apart two samples are: plain functions of arrays."""
