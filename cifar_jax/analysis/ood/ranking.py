"""The score that separates best, over all sets of an ood.json."""

import statistics

from cifar_jax.console.tables import percent, percent_range


def best(results):
    """Return the scores of the greatest mean AUROC over all sets, and their AUROC of each set.

    Args:
        results: of ood.json.
    Returns:
        (names of scores that share the greatest, {set: AUROC of the first}).
    """
    by_score = {
        score: {row["set"]: row["auroc"] for row in results["results"] if row["score"] == score}
        for score in results["scores"]
    }
    means = {score: statistics.fmean(of.values()) for score, of in by_score.items()}
    greatest = [score for score, mean in means.items() if mean >= max(means.values()) - 1e-12]
    return greatest, by_score[greatest[0]]


def said(results):
    """Say in a line which score separates best, such as "Energy separates best: AUROC 98.1 %"."""
    names, by_set = best(results)
    titles = [results["scores"][name]["title"] for name in names]
    *first, last = titles
    who = f"{', '.join(first)} and {last} separate" if first else f"{last} separates"
    line = f"{who} best: AUROC {percent(statistics.fmean(by_set.values()), 1)}"
    if len(by_set) > 1:
        low, high = min(by_set.values()), max(by_set.values())
        line += f", the mean of {len(by_set)} sets ({percent_range((low, high), 1)} %)"
    return line
