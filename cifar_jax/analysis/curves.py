"""The rows of a run's metrics.jsonl as its curves take them."""

import numpy as np


def by_step(rows, split):
    """Return the rows of a split in order, the last one of each step."""
    last = {row["step"]: row for row in rows if row["split"] == split}
    return [last[step] for step in sorted(last)]


def steps_per_epoch(rows):
    """Return the steps of an epoch; None of a run that did not end one."""
    ends = by_step(rows, "train_epoch")
    return ends[0]["step"] / ends[0]["epoch"] if ends and ends[0].get("epoch") else None


def without_short(rows):
    """Merge a row of a short interval, as an epoch's last may be, into the one before it; rows are in order.

    The mean of three steps is too noisy to stand beside means of a hundred.
    """
    lengths = np.diff([0, *(row["step"] for row in rows)])
    merged = []
    for i, (row, length) in enumerate(zip(rows, lengths, strict=True)):
        if merged and merged[-1]["epoch"] == row["epoch"] and 2 * length < lengths[i - 1]:
            weights = lengths[i - 1], length
            means = {
                name: float(np.average([merged[-1][name], row[name]], weights=weights))
                for name in ("loss", "accuracy")
            }
            merged[-1] = {**row, **means}
        else:
            merged.append(row)
    return merged
