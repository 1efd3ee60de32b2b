"""McNemar's test by its formulas, and what is refused."""

import math

import numpy as np
import pytest
import scipy.stats

from cifar_jax.analysis import comparison
from cifar_jax.errors import UserError


def paired(both, only_first, only_second, neither):
    counts = (both, only_first, only_second, neither)
    first = np.repeat([True, True, False, False], counts)
    return first, np.repeat([True, False, True, False], counts)


def test_few_discordant_pairs_are_tested_exactly():
    tested = comparison.mcnemar(*paired(50, 3, 9, 8))
    assert tested[:4] == (50, 3, 9, 8) and tested.test == "exact binomial"
    # 2 (C(12, 0) + ... + C(12, 3)) / 2^12, which is also SciPy's two-sided test
    assert tested.p == pytest.approx(2 * (1 + 12 + 66 + 220) / 4096, rel=1e-12)
    assert tested.p == pytest.approx(scipy.stats.binomtest(3, 12).pvalue, rel=1e-12)


def test_many_discordant_pairs_are_tested_by_chi_squared():
    tested = comparison.mcnemar(*paired(0, 86, 150, 0))
    assert tested.test.startswith("chi-squared")
    statistic = (64 - 1) ** 2 / 236
    assert tested.p == pytest.approx(math.erfc(math.sqrt(statistic / 2)), rel=1e-12)


@pytest.mark.parametrize("discordant", [0, 5, 20])
def test_equal_counts_are_no_difference(discordant):
    assert comparison.mcnemar(*paired(3, discordant, discordant, 4)).p == 1


def test_the_test_is_symmetric_and_exact_below_25():
    first, second = paired(10, 4, 20, 10)
    there, back = comparison.mcnemar(first, second), comparison.mcnemar(second, first)
    assert there.p == back.p and there.test == "exact binomial"
    assert comparison.mcnemar(*paired(10, 5, 20, 10)).test != "exact binomial"
    with pytest.raises(ValueError, match="can't be paired"):
        comparison.mcnemar([True], [True, False])


def evaluation(accuracy=0.5, **changed):
    """As far as comparison looks at it."""
    keys = ("workdir", "checkpoint", "step", "optimistic", "model", "accuracy_interval")
    keys += ("top5_accuracy", "loss", "macro", "weighted", "per_class", "confusion")
    data = {"name": "digits", "fingerprint": "a" * 64, "class_names": ["0", "1"]}
    fields = {"split": "test", "dataset": data, "images": 4, "calibration": {"error": 0.1}}
    return dict.fromkeys(keys) | fields | {"accuracy": accuracy} | changed


def prediction(right, label=(0, 1, 0, 1), index=(0, 1, 2, 3)):
    """Answers that are right where `right` says so."""
    answers = np.where(right, label, 1 - np.array(label))
    return {"index": np.array(index), "label": np.array(label), "logits": np.eye(2)[answers]}


def test_every_pair_is_compared():
    runs = {"a": [1, 1, 1, 0], "b": [1, 1, 0, 0], "c": [0, 0, 0, 0]}
    compared = comparison.compare(
        {name: evaluation(np.mean(right)) for name, right in runs.items()},
        {name: prediction(right) for name, right in runs.items()},
    )
    assert [run["name"] for run in compared["runs"]] == ["a", "b", "c"]
    tests = {(each["first"], each["second"]): each for each in compared["mcnemar"]}
    assert list(tests) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert tests["a", "c"]["difference"] == 0.75 and tests["a", "c"]["only_first"] == 3
    assert tests["a", "c"]["p"] == 0.25 and tests["a", "c"]["p_holm"] == 0.75


def test_other_images_are_refused():
    a, right = evaluation(), [1, 1, 1, 1]
    with pytest.raises(UserError, match="a was evaluated on the test split, b on validation"):
        comparison.check_same_images({"a": a, "b": evaluation(split="validation")})
    other = evaluation(dataset={**a["dataset"], "fingerprint": "b" * 64})
    with pytest.raises(UserError, match="different data: digits .*aaaaaaaaaaaa.*bbbbbbbbbbbb"):
        comparison.check_same_images({"a": a, "b": other})
    predictions = {"a": prediction(right), "b": prediction(right, index=(0, 1, 2, 5))}
    with pytest.raises(UserError, match="divided the training images differently"):
        comparison.compare({"a": a, "b": a}, predictions)
