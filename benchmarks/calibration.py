"""Do the errors of the metrics mean what they say? Stated error over actual spread, on replicas of both samples.

    python benchmarks/calibration.py [--replicas 200]

The samples and metrics are those of benchmarks/metric_cases.py, which tests check with fewer replicas: clouds of
correlated particles, tables of correlated features with tails, and toy jets (COV and MMD, 5 batches of 10 jets), 1,000
samples each, equal to the reference ("null") or 1.3 times as wide. 1 is right; with 200 replicas the spread itself is
known to 5 %.
"""

from __future__ import annotations

import argparse

import numpy as np

from metric_cases import CLOUD_MEASUREMENTS, MEASUREMENTS, rng


def main() -> None:
    """Draw the replicas and print a markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicas", type=int, default=200)
    options = parser.parse_args()
    print("| metric | null | 1.3 times as wide |\n|---|---|---|")
    for name, (sample, metric) in (MEASUREMENTS | CLOUD_MEASUREMENTS).items():
        ratios = []
        for width in (1.0, 1.3):
            found = [
                metric(sample(1000, 2 * k), sample(1000, 2 * k + 1, width), rng(k)) for k in range(options.replicas)
            ]
            values, errors = np.array(found).T
            ratios.append(np.sqrt(np.mean(errors**2)) / values.std(ddof=1))
        print(f"| {name} | {ratios[0]:.2f} | {ratios[1]:.2f} |", flush=True)


if __name__ == "__main__":
    main()
