"""How good a generated sample is: what is compared, the metrics, the verdicts, the report."""
