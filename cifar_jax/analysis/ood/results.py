"""The results of out-of-distribution detection as a table, ood.json and ood.csv.

ood.json has, all shares in [0, 1]:
    version          of this form: 1
    run              workdir, checkpoint, step, model
    in_distribution  name, held_out and judged (where its images are from)
    options          seed, count, layers, threshold (given, or null), train_count, neighbours, interval
    sets             name -> source, note (what it has in common with the run's set, or ""), held_out and judged
                     (images of each kind that thresholds are chosen and that they are judged on)
    scores           name -> title, source, layer (or null)
    results          a list of rows, one for each set and score, with the keys of COLUMNS
    histograms       a list, one for each set and score: set, score, low and high (ends of its axis), inside and outside
                     (images in each of its bins, of one width; what lies beyond is in those at the ends)
    reported         report, source, accuracy (layer -> share), threshold (layer -> number), remark
    figures          histograms (score -> name), samples (set -> name), extremes (name, of the most and the least
                     unusual images); of each there is a .png and a .svg
ood.csv has the rows of `results`.
"""

import json
import pathlib
from typing import NamedTuple

import numpy as np
from rich.console import Console

from cifar_jax.analysis import result, style
from cifar_jax.analysis.ood import detection, ranking
from cifar_jax.analysis.ood import figures as ood_figures
from cifar_jax.console.tables import Table, to_rich
from cifar_jax.machine import files

VERSION = 1

# Keys of a row, and what they hold.
COLUMNS = {
    "set": "name of the set of others",
    "score": "name of the score",
    "n": "judged images, half of them of either kind",
    "auroc": "area under the ROC curve",
    "aupr_inside": "average precision, in-distribution positive",
    "aupr_outside": "average precision, out of distribution positive",
    "fpr95": "others accepted where 95 % of the in-distribution images are",
    "threshold": "accepted at or above",
    "threshold_from": "held_out, or given",
    "accuracy": "decided rightly at the threshold",
    "accuracy_low": "Wilson's interval of the accuracy",
    "accuracy_high": "",
    "accepted_inside": "in-distribution images accepted",
    "accepted_outside": "others accepted",
    "threshold_on_judged": "the one with the greatest accuracy on the judged images, as report 004 chose it",
    "accuracy_on_judged": "accuracy at that: optimistic, not to be quoted as a result",
    "accuracy_on_judged_low": "",
    "accuracy_on_judged_high": "",
}

REPORTED = {
    "report": "004",
    "source": "Table 2",
    "accuracy": {"relu_9": 0.993, "relu_10": 1.0},
    "threshold": {"relu_10": 0.32},
    "remark": (
        "Report 004 gives 99.3 % (relu_9) and 100 % (relu_10) as accuracy of the mean activation. It does not say "
        "what its OOD set is or how many images of either kind there are, and its threshold was read off the "
        "histogram of the very images that it is judged on. An accuracy alone says little then: beside "
        "few others, accepting everything is nearly always right, and how hard the others are decides the rest. "
        "'on judged' is our accuracy with a threshold chosen the report's way; 'accuracy' is with one that has "
        "not seen the judged images, on as many images of either kind, so that guessing has 50 %. "
        "An AUROC below 50 % says that the others score above the run's own images: no rule of 'below the "
        "threshold is out' tells them then, and that of 'above it is out' has 100 % less that AUROC."
    ),
}


class Judged(NamedTuple):
    """The judged images of either kind of a set, and score -> [N]: for figures."""

    inside_images: np.ndarray  # uint8 [N, H, W, C]
    outside_images: np.ndarray
    inside: dict
    outside: dict


def row(name, score, inside, outside, threshold, given):
    """Judge a score on a set.

    Args:
        name, score: of the set, of the score.
        inside, outside: float [N], scores of the judged images of either kind.
        threshold: of the decisions.
        given: whether the threshold was given.
    Returns:
        dict with the keys of COLUMNS.
    """
    decided = detection.accuracy_at(inside, outside, threshold)
    best = detection.best_threshold(inside, outside)
    itself = detection.accuracy_at(inside, outside, best)
    return {
        "set": name,
        "score": score,
        "n": decided.n,
        **detection.detection(inside, outside)._asdict(),
        "threshold": decided.threshold,
        "threshold_from": "given" if given else "held_out",
        "accuracy": decided.accuracy,
        "accuracy_low": decided.low,
        "accuracy_high": decided.high,
        "accepted_inside": decided.accepted_inside,
        "accepted_outside": decided.accepted_outside,
        "threshold_on_judged": best,
        "accuracy_on_judged": itself.accuracy,
        "accuracy_on_judged_low": itself.low,
        "accuracy_on_judged_high": itself.high,
    }


def table(name, results):
    """Tabulate a set's rows, 100 columns wide at most.

    Args:
        name: of the set.
        results: of ood.json.
    """
    columns = (
        *("score", "AUROC", "AUPR\nID", "AUPR\nOOD", "FPR95", "threshold"),
        *("accuracy, %\n(95 % interval)", "on judged\n(optimistic)"),
    )
    rows = []
    for each in results["results"]:
        if each["set"] != name:
            continue
        percent = {key: f"{100 * each[key]:.1f}" for key in each if isinstance(each[key], float)}
        title = results["scores"][each["score"]]["title"]
        row = (
            title if len(title) <= 26 else title[:25] + "…",
            *(percent[key] for key in ("auroc", "aupr_inside", "aupr_outside", "fpr95")),
            f"{each['threshold']:.4g}" + ("*" if each["threshold_from"] == "given" else ""),
            f"{percent['accuracy']} ({percent['accuracy_low']}-{percent['accuracy_high']})",
            percent["accuracy_on_judged"],
        )
        rows.append(row)
    return Table("", columns, rows)


def earlier(folder):
    """Do as result.earlier for what `write` is about to replace."""

    def words(path):
        return ", ".join(json.loads(path.read_text(encoding="utf-8"))["sets"])

    return result.earlier(folder, "ood.json", "the detection", words)


def write(folder, results, judged):
    """Write ood.json, ood.csv and the figures.

    Args:
        folder: is there.
        results: of ood.json; `figures` and `histograms` are added.
        judged: set -> Judged.
    Raises:
        UserError: a folder that can't be written.
    """
    rows = {(row["set"], row["score"]): row for row in results["results"]}
    figures = {"histograms": {}, "samples": {}}
    folder = pathlib.Path(folder)
    with files.refusals(folder):
        for score, about in results["scores"].items():
            panels = [
                (name, each.inside[score], each.outside[score], rows[name, score])
                for name, each in judged.items()
            ]
            figure = ood_figures.histogram(about["title"], panels)
            figures["histograms"][score] = name = f"histogram_{score}"
            style.save(figure, folder, name)
        # The report's own score, of the layer that was named last.
        score = [each for each, about in results["scores"].items() if about["layer"]][-1]
        for name, each in judged.items():
            figure = ood_figures.samples(
                f"{results['scores'][score]['title']}, {name}",
                (each.inside_images, each.inside[score]),
                (each.outside_images, each.outside[score]),
                rows[name, score]["threshold"],
            )
            figures["samples"][name] = f"samples_{name.replace('/', '_').replace(':', '_')}"
            style.save(figure, folder, figures["samples"][name])
        figures["extremes"] = "extremes"
        style.save(_extremes(results, judged), folder, figures["extremes"])
        results["figures"] = figures
        results["histograms"] = [
            {"set": name, "score": score}
            | ood_figures.binned(
                judged[name].inside[score],
                judged[name].outside[score],
                (row["threshold"], row["threshold_on_judged"]),
            )
            for (name, score), row in rows.items()
        ]
        files.write_csv(folder / "ood.csv", COLUMNS, results["results"])
        files.write_json(folder / "ood.json", results)


def _extremes(results, judged):
    """Draw the most and the least unusual images of the run's and of each set, by the score that separates best."""
    score = ranking.best(results)[0][0]
    own = next(iter(judged.values()))
    sets = {results["in_distribution"]["judged"]: (own.inside_images, own.inside[score])}
    sets |= {name: (each.outside_images, each.outside[score]) for name, each in judged.items()}
    return ood_figures.extremes(results["scores"][score]["title"], sets)


def show(results):
    """Print a table for each set, and what the reported numbers mean beside them."""
    console = Console(width=100, highlight=False, markup=False)
    own, run, options = results["in_distribution"], results["run"], results["options"]
    console.print(
        f"{run['model']}, step {run['step']}; in distribution (ID): {own['name']}, {own['judged']}; "
        f"thresholds from: {own['held_out']}, and the other half of each set. In %:\n"
    )
    for name, about in results["sets"].items():
        title = f"{name}: {about['source']}; {about['judged']:,} images of either kind"
        note = f"\nNote: {about['note']}" if about["note"] else ""
        console.print(title + note, style="bold")
        console.print(to_rich(table(name, results)), "")
    console.print(ranking.said(results), "", sep="\n", soft_wrap=True)
    if options["threshold"] is not None:
        console.print("* given, not chosen\n")
    console.print(results["reported"]["remark"])
