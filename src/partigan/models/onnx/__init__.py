"""Generators as ONNX: noise in, samples in physical units out, for batches and clouds of any size.

`tracing` runs a deployed generator on small batches and notes every operation of ATen; `operations` and `arrays` say
what each is in ONNX; `graph` keeps names, constants and sizes; `exporting` puts the model together and compares it with
torch. A generator of any architecture has this form where its operations are among those and no size depends on values.
"""
