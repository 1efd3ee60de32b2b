"""Models side by side on the same images: McNemar's test and what belongs together."""

import itertools
import pathlib
from typing import NamedTuple

import numpy as np
from scipy import stats

from cifar_jax.analysis.statistics import holm
from cifar_jax.errors import UserError

FEW = 25  # discordant pairs below which the exact test is taken


class McNemar(NamedTuple):
    """A paired comparison of two classifiers; the first four add up to the images."""

    both: int  # images that both have right
    only_first: int
    only_second: int
    neither: int
    test: str  # "exact binomial" or "chi-squared with continuity correction"
    p: float  # two-sided, of the hypothesis that both are right equally often


def mcnemar(first, second):
    """Run McNemar's test: only images that one has right and the other wrong tell two classifiers apart.

    With b and c such images: p = 2 P(X <= min(b, c)), at most 1, of X binomial with b + c trials of 1/2 where they
    are fewer than 25, else that of chi-squared (|b - c| - 1)^2 / (b + c) with one degree of freedom.

    Args:
        first, second: bool [N], whether each has each image right.
    Returns:
        McNemar.
    Raises:
        ValueError: not as many of each.

    McNemar, Note on the Sampling Error of the Difference between Correlated Proportions or Percentages, 1947,
    https://doi.org/10.1007/BF02295996; the correction: Edwards, 1948, https://doi.org/10.1007/BF02289261
    """
    first, second = np.asarray(first, bool), np.asarray(second, bool)
    if first.shape != second.shape:
        raise ValueError(f"{len(first)} images can't be paired with {len(second)}")
    b, c = int(np.sum(first & ~second)), int(np.sum(second & ~first))
    counts = int(np.sum(first & second)), b, c, int(np.sum(~first & ~second))
    if b + c < FEW:
        p = min(1.0, 2 * float(stats.binom.cdf(min(b, c), b + c, 0.5)))
        return McNemar(*counts, "exact binomial", p)
    # Without the outer maximum b = c would count as a difference of 1.
    p = float(stats.chi2.sf(max(abs(b - c) - 1, 0) ** 2 / (b + c), 1))
    return McNemar(*counts, "chi-squared with continuity correction", p)


def check_same_images(evaluations):
    """Refuse to compare figures of different images.

    Args:
        evaluations: {name: evaluation of `result.describe`}.
    Raises:
        UserError: another data set, or another split of it, naming the two.
    """
    (first, one), *others = evaluations.items()
    for name, other in others:
        if one["split"] != other["split"]:
            raise UserError(
                f"{first} was evaluated on the {one['split']} split, {name} on {other['split']}"
            )
        own, another = one["dataset"], other["dataset"]
        if own["fingerprint"] != another["fingerprint"]:
            raise UserError(
                f"{first} and {name} are of different data: {own['name']} (fingerprint "
                f"{own['fingerprint'][:12]}) and {another['name']} ({another['fingerprint'][:12]})"
            )


def compare(evaluations, predictions):
    """Collect each model's figures and, for each pair, McNemar's test; its p values corrected by Holm.

    Args:
        evaluations: {name: evaluation of `result.describe`}, two or more.
        predictions: {name: {"index", "label", "logits"}}, arrays of as many images.
    Returns:
        dict, JSON-able: `format` (1), `split`, `dataset`, `images`; `runs`, a list of dicts: `name` and, of the
        evaluation, `workdir`, `checkpoint`, `step`, `optimistic`, `model`, `accuracy`, `accuracy_interval`,
        `top5_accuracy`, `loss`, `macro`, `weighted`, `per_class`, `confusion`, `calibration_error`; `mcnemar`, a
        list of dicts: `first`, `second` (names), `difference` (accuracy of the first less that of the second),
        the fields of McNemar and `p_holm`.
    Raises:
        UserError: not the same images.
    """
    check_same_images(evaluations)
    names = list(evaluations)
    images = predictions[names[0]]
    for name in names[1:]:
        for what in ("index", "label"):
            if not np.array_equal(images[what], predictions[name][what]):
                raise UserError(
                    f"{names[0]} and {name} divided the training images differently (validation_fraction "
                    "or split_seed of their configs): compare them on --split test"
                )
    correct = {
        name: each["logits"].argmax(axis=1) == each["label"] for name, each in predictions.items()
    }
    pairs = list(itertools.combinations(names, 2))
    tests = [mcnemar(correct[a], correct[b]) for a, b in pairs]
    one = evaluations[names[0]]
    columns = ("workdir", "checkpoint", "step", "optimistic", "model", "accuracy")
    columns += ("accuracy_interval", "top5_accuracy", "loss", "macro", "weighted", "per_class")
    return {
        "format": 1,
        **{key: one[key] for key in ("split", "dataset", "images")},
        "runs": [
            {
                "name": name,
                **{key: each[key] for key in (*columns, "confusion")},
                "calibration_error": each["calibration"]["error"],
            }
            for name, each in evaluations.items()
        ],
        "mcnemar": [
            {
                **{"first": a, "second": b},
                "difference": evaluations[a]["accuracy"] - evaluations[b]["accuracy"],
                **test._asdict(),
                "p_holm": corrected,
            }
            for (a, b), test, corrected in zip(
                pairs, tests, holm([test.p for test in tests]), strict=True
            )
        ],
    }


def short_names(workdirs):
    """Return {name: workdir}: the folders' own names, or as much of their paths as tells them apart.

    Raises:
        UserError: a folder twice.
    """
    paths = [pathlib.Path(each).expanduser().resolve() for each in workdirs]
    for path in paths:
        if paths.count(path) > 1:
            raise UserError(f"{path} can't be compared with itself")
    for length in range(1, 1 + max(len(path.parts) for path in paths)):
        names = ["/".join(path.parts[-length:]) for path in paths]
        if len(set(names)) == len(names):
            break
    return dict(zip(names, workdirs, strict=True))
