"""Curves of a run: loss, accuracy and learning rate, from its metrics.jsonl."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from cifar_jax.analysis import style


def draw(rows, axis, chosen=None, selected_on="validation"):
    """Loss and accuracy of training and validation, with the learning rate below them.

    Training is the mean over an epoch by "epoch", over a log interval by "step": of augmented images, of a model
    that changes meanwhile, with dropout.

    Args:
        rows: of writers.read_rows. Those of validation may be missing; of two of one step the later counts.
        axis: "epoch" or "step".
        chosen: (checkpoint's name, its step), to mark.
        selected_on: what the validation rows are of: "validation", or "test" of a run that selected on it.
    Returns:
        matplotlib.figure.Figure; None where there is nothing to draw.
    """
    train = by_step(rows, "train_epoch" if axis == "epoch" else "train")
    intervals, validation = by_step(rows, "train"), by_step(rows, "validation")
    if not (train and intervals):
        return None
    per_epoch = steps_per_epoch(rows)

    def place(steps):
        return np.array(steps) / per_epoch if axis == "epoch" else np.array(steps)

    figure = style.new(7.2, 7.0)
    parts = figure.subplots(3, sharex=True, height_ratios=(2, 2, 1))
    series = [("training", without_short(train)), (selected_on, validation)]
    for axes, column, label, scale in (
        (parts[0], "loss", "Loss, nats", 1),
        (parts[1], "accuracy", "Accuracy, %", 100),
    ):
        for i, (name, found) in enumerate(series):
            if found:
                values = [scale * row[column] for row in found]
                marker = "o" if len(found) == 1 else None
                steps = place([row["step"] for row in found])
                axes.plot(steps, values, label=name, marker=marker, **style.line(i))
        axes.set_ylabel(label)
    rates = [row["learning_rate"] for row in intervals]
    marker = "o" if len(intervals) == 1 else None
    steps = place([row["step"] for row in intervals])
    parts[2].plot(steps, rates, marker=marker, **style.line(4))
    parts[2].set_ylabel("Learning rate")
    parts[2].set_xlabel("Epoch" if axis == "epoch" else "Step")
    parts[2].set_ylim(0, 1.1 * max(rates) or 1)
    parts[2].set_xlim(0, 1.03 * steps[-1])
    parts[2].ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
    if axis == "epoch":
        parts[2].xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in parts:
        style.plain(axes)
        if chosen:
            axes.axvline(float(place(chosen[1])), color="0.4", linewidth=1, linestyle=":")
    if chosen:
        of_epoch = f", epoch {chosen[1] / per_epoch:g}" if per_epoch else ""
        label = f"checkpoint {chosen[0]}\nstep {chosen[1]:,}{of_epoch}"
        parts[0].plot([], [], color="0.4", linewidth=1, linestyle=":", label=label)
    figure.legend(
        *parts[0].get_legend_handles_labels(),
        loc="outside upper center", ncols=3, fontsize=9, frameon=False, handlelength=3.2,
    )  # fmt: skip
    return figure


def by_step(rows, split):
    """The rows of a split in order, the last one of each step."""
    found = {row["step"]: row for row in rows if row["split"] == split}
    return [found[step] for step in sorted(found)]


def steps_per_epoch(rows):
    """How many steps an epoch has; None of a run that did not end one."""
    ends = by_step(rows, "train_epoch")
    return ends[0]["step"] / ends[0]["epoch"] if ends and ends[0].get("epoch") else None


def without_short(rows):
    """Rows in order; one of a short interval, as an epoch's last may be, is merged into the one before it.

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
