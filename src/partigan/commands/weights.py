"""``partigan smooth-weights``: event weights that fluctuate less and mean the same."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from partigan.data.batch import Batch
from partigan.data.hdf5 import SUFFIXES, open_hdf5
from partigan.data.samples import write_samples
from partigan.data.splits import stored_rows
from partigan.errors import PartiganError, check_number
from partigan.kinds import kind_of
from partigan.kinds.tables import TableFormat
from partigan.metrics.weighted import effective_size, refuse_weights
from partigan.outputs import writing
from partigan.progress import tell
from partigan.randomness import check_seed
from partigan.threads import begin

LEAVES, LEAST = 63, 100  # of a tree; rows in a leaf
PAIRED = 12  # features of which all differences are looked at, too, at most


def smooth_weights(
    table: Path, out: Path, trees: int = 60, seed: int = 1, threads: int | None = None, overwrite: bool = False
) -> Path:
    """Replace the event weights of a table's training split by their expectation, given features and conditions.

    sWeights depend on the mass, which networks do not see. For them a weight is its expectation and noise: tracks that
    look like background have weights of both signs that cancel on average. A regression by boosted trees gives the
    expectation, near 0 there, so that every batch of a training says what before only many did. There is a regression
    for each class, or combination of flags among the conditions, and it sees the differences of features, too. Weights
    of the other splits stay, as evaluation needs them.

    Args:
        table: HDF5 file with rows and weights.
        out: HDF5 file to make.
        trees: number of trees.
        seed: makes the file reproducible.
        threads: None = OMP_NUM_THREADS, or one.
        overwrite: replace an existing file.

    Returns:
        The file.

    Raises:
        PartiganError: the file holds no table, or no weights.

    References:
        M. Borisyak, N. Kazeev, Machine Learning on data with sPlot background subtraction, arXiv:1905.11719, section 4.
    """
    check_seed(seed)
    check_number("trees", trees, "tree")
    begin(threads)
    layout = kind_of(table).format
    if not isinstance(layout, TableFormat):
        raise PartiganError(f"{table} holds no table; give a file with rows")
    with writing(out, [table], overwrite=overwrite, suffixes=SUFFIXES):
        sample = layout.read(table, "all")
        with open_hdf5(table, "a table is needed") as file:
            attributes = dict(file.attributes)
        if sample.weight is None:
            raise PartiganError(f"{table} has no weights to smooth; train on it as it is")
        first, last = stored_rows(attributes, len(sample), "train", table, "rows")
        weight = sample.weight[first:last]
        refuse_weights(weight, f"of the training split of {table}", first)
        smooth = _expected(sample[first:last], weight.numpy(), trees, seed)
        tell(
            f"the training split is worth {effective_size(smooth, len(smooth)):,.0f} rows, before "
            f"{effective_size(weight, len(weight)):,.0f} of {len(weight):,}"
        )
        changed = sample.weight.clone()
        changed[first:last] = torch.from_numpy(smooth.astype(np.float32))
        described = layout.describe(table)
        write_samples(
            out,
            "rows",
            [replace(sample, weight=changed)],
            {**attributes, "smoothed_weights": f"training split, {trees} trees, seed {seed}"},
            described["features"],
            described.get("columns"),
        )
    return Path(out)


def _expected(sample: Batch, weight: NDArray[np.float32], trees: int, seed: int) -> NDArray[np.float64]:
    """Expectations of the weights of rows, class by class."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    condition = torch.zeros(len(sample), 1) if sample.condition is None else sample.condition.reshape(len(sample), -1)
    flags = [column for column in condition.T if not condition.is_floating_point() or len(column.unique()) <= 2]
    columns = [*sample.x.T, *(condition.T if condition.is_floating_point() else ())]
    if sample.x.shape[1] <= PAIRED:
        columns += [one - two for one, two in combinations(sample.x.T, 2)]
    seen, found = torch.stack(columns, dim=1).numpy(), np.zeros(len(sample))
    classes = (
        torch.stack(flags, dim=1).unique(dim=0, return_inverse=True)[1].numpy() if flags else np.zeros(len(sample))
    )
    for number in np.unique(classes):
        rows = classes == number
        model = HistGradientBoostingRegressor(
            max_iter=trees,
            max_leaf_nodes=LEAVES,
            min_samples_leaf=max(min(LEAST, int(rows.sum()) // 50), 1),
            early_stopping=False,
            random_state=seed,
        )
        found[rows] = model.fit(seen[rows], weight[rows]).predict(seen[rows])
    return found
