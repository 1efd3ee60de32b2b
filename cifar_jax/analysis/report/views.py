"""Views of a run for the templates: text and figures in words, nothing that is HTML."""

import numpy as np

from cifar_jax.analysis import overlays
from cifar_jax.analysis.charts import dots, scores, training, vega
from cifar_jax.analysis.charts import evaluation as charts
from cifar_jax.analysis.gradcam import normalized, resized
from cifar_jax.analysis.report import pictures, words
from cifar_jax.config import kinds
from cifar_jax.console import tables


def of_run(each, name, shots, specifications):
    """Return the view of a run; its charts are put into `specifications`.

    Args:
        each: collect.Collected.
        name: of the run's element in the page.
        shots: list of pictures.Shot.
        specifications: name -> Vega-Lite specification.
    Returns:
        dict for run.html.
    """
    evaluation, summary = each.evaluation, each.summary
    names = evaluation["dataset"]["class_names"]
    selected_on = "test" if evaluation["config"]["selection"] == "test" else "validation"
    chosen = (evaluation["checkpoint"], evaluation["step"])
    drawn, of_points = training.of_page(each.rows, chosen, selected_on)
    diagram, counts = charts.calibration(evaluation["calibration"])
    drawn |= {
        "confusion": charts.confusion(evaluation["confusion"], names),
        "classes": charts.classes(evaluation["per_class"], evaluation["accuracy"]),
        "calibration": diagram,
        "counts": counts,
    }
    specifications |= {f"{name}-{key}": vega.specify(chart) for key, chart in drawn.items()}
    low, high = (100 * end for end in evaluation["accuracy_interval"])
    right = [shot.right for shot in shots]
    hits = sum(evaluation["confusion"][i][i] for i in range(len(names)))
    return {
        "id": name,
        "name": each.name,
        "optimistic": evaluation["optimistic"],
        "images": f"{evaluation['images']:,}",
        "split": evaluation["split"],
        "accuracy": f"{100 * evaluation['accuracy']:.2f}",
        "low": f"{low:.3f}",
        "width": f"{high - low:.3f}",
        "interval": f"{low:.2f} to {high:.2f}",
        "tiles": tiles(evaluation, summary),
        "reported": words.reported(evaluation),
        "has_reported": evaluation["config"]["reported"]["value"] is not None,
        "remarks": evaluation["config"]["reported"]["remarks"],
        "curves": bool(drawn.get("loss")),
        "interval_words": of_points,
        "kinds": kinds.remark(evaluation["config"]),
        "pairs": [
            {
                "true": pair["true"],
                "predicted": pair["predicted"],
                "names": [names[pair["true"]], names[pair["predicted"]]],
                "share": tables.percent(pair["fraction"], 1),
                "images": f"{pair['images']:,}",
            }
            for pair in evaluation["confused_pairs"]
        ],
        **words.matrix(evaluation["confusion"], names),
        "classes": tables.of_classes(evaluation["per_class"], "Classes, in per cent", digits=2),
        "calibration_facts": [
            ("Calibration error", tables.percent(evaluation["calibration"]["error"])),
            ("Mean confidence", tables.percent(evaluation["calibration"]["confidence"])),
            ("Accuracy", tables.percent(evaluation["accuracy"])),
            ("Cross entropy", f"{evaluation['loss']:.4f} nats"),
        ],
        "bins": tables.of_bins(evaluation["calibration"]),
        "class_names": names,
        "many": len(names) > tables.FEW_CLASSES,
        "shots": [shot_view(shot, names) for shot in shots],
        "shown_first": "right" if all(right) else "wrong",
        "embedded": {
            "right": f"{sum(right):,}",
            "wrong": f"{len(right) - sum(right):,}",
            "all_right": f"{hits:,}",
            "all_wrong": f"{evaluation['images'] - hits:,}",
        },
        "gradcams": [gradcam(cam, names) for cam in each.gradcams],
        "gradcam_command": words.command("gradcam", each.run.workdir, "--images", "wrong"),
        "detections": [
            detection(place, results, f"{name}-ood-{i}", specifications)
            for i, (place, results) in enumerate(each.detections)
        ],
        "ood_command": words.command("ood", each.run.workdir, "--ood", "noise,shuffled_patches"),
        "unreadable": each.unreadable,
        "config": words.config_table(evaluation["config"]),
        "environment": environment(each),
        "versions": words.versions(each),
    }


def tiles(evaluation, summary):
    """List (label, value, note) of the figures beside the accuracy."""
    model = evaluation["model"]
    seconds = words.known(summary, "train_seconds", words.duration)
    length = "the folder has no summary.json"
    if summary:
        epochs, steps = (words.known(summary, key, "{:,}".format) for key in ("epochs", "steps"))
        length = f"{epochs} epochs, {steps} steps"
    speed = words.known(summary, "images_per_second", "{:,.0f}".format)
    hardware = str(summary.get("hardware", "–"))
    return [
        (
            "Parameters",
            f"{model['params']:,}",
            f"{model['multiply_adds'] / 1e6:,.2f} million multiply-adds an image",
        ),
        ("Training time", seconds, length),
        ("Training, images/s", speed, hardware),
        ("F1", tables.percent(evaluation["macro"]["f1"]), "mean over the classes"),
        (
            "Calibration error",
            tables.percent(evaluation["calibration"]["error"]),
            f"mean confidence {tables.percent(evaluation['calibration']['confidence'])}",
        ),
        (
            ("Top-5 accuracy", tables.percent(evaluation["top5_accuracy"]), "true class in the first five")
            if evaluation["top5_accuracy"] is not None
            else ("Cross entropy", f"{evaluation['loss']:.4f}", "nats")
        ),
    ]  # fmt: skip


def shot_view(shot, names):
    """Return the view of an image of the gallery."""
    name, answer = names[shot.true], names[shot.predicted]
    verdict = "recognised" if shot.right else f"taken for {answer}"
    sure = tables.confidence(shot.confidence)
    return {
        **shot._asdict(),
        "confidence": f"{shot.confidence:.4f}",
        "name": name,
        "answer": answer,
        "sure": sure,
        "words": f"{name}, {verdict}, {sure}",
    }


def gradcam(cam, names):
    """Return the view of the results of a gradcam.npz."""
    heats = np.asarray(resized(normalized(cam.maps), *cam.images.shape[1:3]))
    examples = []
    for i, (image, heat) in enumerate(zip(cam.images, heats, strict=True)):
        answer, explained = names[cam.predicted[i]], names[cam.explained[i]]
        true = names[cam.labels[i]] if cam.labels[i] >= 0 else cam.sources[i]
        examples.append(
            {
                "image": pictures.data_uri(image),
                "map": pictures.data_uri(255 * overlays.overlay(image, heat)),
                "words": true if true == answer else f"{true} → {answer}",
                "sure": tables.confidence(cam.confidence[i]),
                "explained": explained,
                "explains": explained != answer,
                "empty": "" if heat.any() else overlays.EMPTY,
            }
        )
    height, width = cam.maps.shape[1:]
    return {
        "layer": cam.layer,
        "size": f"{height} × {width}",
        "place": cam.place,
        "shown": len(examples),
        "count": cam.count,
        "examples": examples,
    }


def detection(place, results, name, specifications):
    """Return the view of the results of an ood.json; its charts are put into `specifications`."""
    specifications[name] = vega.specify(dots.detection(results))
    rows = [
        (
            row["set"],
            results["scores"][row["score"]]["title"],
            *(f"{100 * row[key]:.1f}" for key in ("auroc", "fpr95", "accuracy")),
            f"{100 * row['accuracy_low']:.1f} to {100 * row['accuracy_high']:.1f}",
            f"{row['threshold']:.4g}",
        )
        for row in results["results"]
    ]
    columns = ("set", "score", "AUROC, %", "FPR95, %", "accuracy, %", "95 % interval", "threshold")
    return {
        "place": place,
        "inside": results["in_distribution"]["name"],
        "chart": name,
        "key": [
            {"name": each, "colour": vega.colour(i), "marker": vega.shape(i)[1]}
            for i, each in enumerate(results["sets"])
        ],
        "table": tables.Table("Out-of-distribution detection", columns, rows, (0, 1)),
        "histograms": detection_histograms(results, name, specifications),
        "remark": results["reported"]["remark"],
    }


def detection_histograms(results, name, specifications):
    """List the views of the histograms of the layers' mean activations, report 004's score."""
    rows = {(row["set"], row["score"]): row for row in results["results"]}
    shown = []
    for i, each in enumerate(results["histograms"]):
        about, row = results["scores"][each["score"]], rows[each["set"], each["score"]]
        if not about["layer"]:
            continue
        chart = f"{name}-histogram-{i}"
        drawn = scores.histogram(each, row["threshold"], about["title"])
        specifications[chart] = vega.specify(drawn)
        right = tables.percent(row["accuracy"], 1)
        shown.append({"chart": chart, "title": f"{each['set']}: {right} right"})
    return shown


def environment(each):
    """List the machines, the data and the folder of a run's training and evaluation."""
    evaluation, summary = each.evaluation, each.summary
    dataset = evaluation["dataset"]
    memory = words.known(summary, "peak_memory_bytes", lambda size: f"{size / 2**20:,.0f} MiB")
    return [
        ("Folder", str(each.run.workdir)),
        ("Trained on", str(summary.get("hardware", "–"))),
        ("Peak memory", memory),
        ("Compilation", words.known(summary, "compile_seconds", words.duration)),
        ("Evaluated on", evaluation["hardware"]),
        *((f"Batch of {speed['batch']}", _speed(speed)) for speed in evaluation["speed"] or ()),
        ("Data set", f"{dataset['name']}, {evaluation['split']} split"),
        ("Its fingerprint", dataset["fingerprint"]),
        ("Parameters' SHA-256", str(summary.get("params_sha256", "–"))),
    ]  # fmt: skip


def _speed(speed):
    return f"{speed['milliseconds']:,.3f} ms, {speed['images_per_second']:,.0f} images/s"
