"""What the templates show of a run: text and figures in words, nothing that is HTML."""

import numpy as np

from cifar_jax.analysis import overlays
from cifar_jax.analysis.gradcam import normalized, resized
from cifar_jax.analysis.report import (
    charts,
    curve_charts,
    dot_charts,
    pictures,
    run_tables,
    vega,
    words,
)
from cifar_jax.console import tables


def of_run(each, name, shots, specifications):
    """The view of a run; its charts are put into `specifications`.

    Args:
        each: collect.Collected.
        name: of the run's element in the page.
        shots: list of pictures.Shot.
        specifications: name -> Vega-Lite specification.
    Returns:
        dict for run.html.
    """
    found, summary = each.evaluation, each.summary
    names = found["dataset"]["class_names"]
    selected_on = "test" if found["config"]["selection"] == "test" else "validation"
    chosen = (found["checkpoint"], found["step"])
    drawn, of_points = curve_charts.training(each.rows, chosen, selected_on)
    diagram, counts = charts.calibration(found["calibration"])
    drawn |= {
        "confusion": charts.confusion(found["confusion"], names),
        "classes": charts.classes(found["per_class"], found["accuracy"]),
        "calibration": diagram,
        "counts": counts,
    }
    specifications |= {f"{name}-{key}": value for key, value in drawn.items()}
    low, high = (100 * end for end in found["accuracy_interval"])
    right = [shot.right for shot in shots]
    hits = sum(found["confusion"][i][i] for i in range(len(names)))
    return {
        "id": name,
        "name": each.name,
        "optimistic": found["optimistic"],
        "images": f"{found['images']:,}",
        "split": found["split"],
        "accuracy": f"{100 * found['accuracy']:.2f}",
        "low": f"{low:.3f}",
        "width": f"{high - low:.3f}",
        "interval": f"{low:.2f} to {high:.2f}",
        "tiles": tiles(found, summary),
        "reported": run_tables.reported(found),
        "has_reported": found["config"]["reported"]["value"] is not None,
        "remarks": found["config"]["reported"]["remarks"],
        "curves": bool(drawn.get("loss")),
        "interval_words": of_points,
        "pairs": [
            {
                **{"true": pair["true"], "predicted": pair["predicted"]},
                "names": [names[pair["true"]], names[pair["predicted"]]],
                "share": tables.percent(pair["fraction"], 1),
                "images": f"{pair['images']:,}",
            }
            for pair in found["confused_pairs"]
        ],
        **run_tables.matrix(found["confusion"], names),
        "classes": run_tables.classes(found["per_class"]),
        "calibration_facts": [
            ("Calibration error", tables.percent(found["calibration"]["error"])),
            ("Mean confidence", tables.percent(found["calibration"]["confidence"])),
            ("Accuracy", tables.percent(found["accuracy"])),
            ("Cross entropy", f"{found['loss']:.4f} nats"),
        ],
        "bins": run_tables.bins(found["calibration"]["bins"]),
        "class_names": names,
        "many": len(names) > tables.FEW_CLASSES,
        "shots": [shot_view(shot, names) for shot in shots],
        "shown_first": "right" if all(right) else "wrong",
        "embedded": {
            **{"right": f"{sum(right):,}", "wrong": f"{len(right) - sum(right):,}"},
            **{"all_right": f"{hits:,}", "all_wrong": f"{found['images'] - hits:,}"},
        },
        "gradcams": [gradcam(cam, names) for cam in each.gradcams],
        "gradcam_command": words.command("gradcam", each.run.workdir, "--images", "wrong"),
        "detections": [
            detection(place, results, f"{name}-ood-{i}", specifications)
            for i, (place, results) in enumerate(each.detections)
        ],
        "ood_command": words.command("ood", each.run.workdir, "--ood", "noise,shuffled_patches"),
        "unreadable": each.unreadable,
        "config": words.config_table(found["config"]),
        "environment": environment(each),
        "versions": run_tables.versions(each),
    }


def tiles(found, summary):
    """(label, value, note) of the figures beside the accuracy."""
    model = found["model"]
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
        ("F1", tables.percent(found["macro"]["f1"]), "mean over the classes"),
        (
            "Calibration error",
            tables.percent(found["calibration"]["error"]),
            f"mean confidence {tables.percent(found['calibration']['confidence'])}",
        ),
        (
            ("Top-5 accuracy", tables.percent(found["top5_accuracy"]), "true class in the first five")
            if found["top5_accuracy"] is not None
            else ("Cross entropy", f"{found['loss']:.4f}", "nats")
        ),
    ]  # fmt: skip


def shot_view(shot, names):
    """An image of the gallery."""
    name, answer = names[shot.true], names[shot.predicted]
    said = "recognised" if shot.right else f"taken for {answer}"
    sure = tables.confidence(shot.confidence)
    return {
        **{"uri": shot.uri, "index": shot.index, "true": shot.true, "predicted": shot.predicted},
        **{"confidence": f"{shot.confidence:.4f}", "right": shot.right, "name": name},
        **{"answer": answer, "sure": sure, "words": f"{name}, {said}, {sure}"},
    }


def gradcam(cam, names):
    """The results of a gradcam.npz."""
    large, examples = np.asarray(resized(normalized(cam.maps), *cam.size)), []
    for i, (image, heat) in enumerate(zip(cam.images, large, strict=True)):
        answer, explained = names[cam.predicted[i]], names[cam.explained[i]]
        true = names[cam.labels[i]] if cam.labels[i] >= 0 else cam.sources[i]
        mapped = overlays.colours(heat) if image is None else overlays.overlay(image, heat)
        examples.append(
            {
                "image": None if image is None else pictures.data_uri(image),
                "map": pictures.data_uri(255 * mapped),
                "words": true if true == answer else f"{true} → {answer}",
                "sure": tables.confidence(cam.confidence[i]),
                "explained": explained,
                "explains": explained != answer,
                "empty": "" if heat.any() else overlays.EMPTY,
            }
        )
    height, width = cam.maps.shape[1:]
    return {
        **{"layer": cam.layer, "size": f"{height} × {width}", "place": cam.place},
        **{"shown": len(examples), "count": cam.count, "examples": examples},
    }


def detection(place, results, name, specifications):
    """The results of an ood.json."""
    specifications[name] = dot_charts.detection(results)
    histograms = detection_histograms(results, name, specifications)
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
        "table": words.table("Out-of-distribution detection", columns, rows, (0, 1)),
        "histograms": histograms,
        "remark": str(results.get("reported", {}).get("remark", "")),
    }


def detection_histograms(results, name, specifications):
    """The histograms of the layers' mean activations, report 004's score: a dict for each."""
    rows = {(row["set"], row["score"]): row for row in results["results"]}
    shown = []
    for i, each in enumerate(results.get("histograms", [])):
        about, row = results["scores"][each["score"]], rows[each["set"], each["score"]]
        if not about.get("layer"):
            continue
        chart = f"{name}-histogram-{i}"
        specifications[chart] = charts.histogram(each, row["threshold"], about["title"])
        right = tables.percent(row["accuracy"], 1)
        shown.append({"chart": chart, "title": f"{each['set']}: {right} right"})
    return shown


def environment(each):
    """Where and with what a run was trained and evaluated."""
    found, summary = each.evaluation, each.summary
    memory = words.known(summary, "peak_memory_bytes", lambda size: f"{size / 2**20:,.0f} MiB")
    return [
        ("Folder", str(each.run.workdir)),
        ("Trained on", str(summary.get("hardware", "–"))),
        ("Peak memory", memory),
        ("Compilation", words.known(summary, "compile_seconds", words.duration)),
        ("Evaluated on", found["hardware"]),
        *((f"Batch of {each['batch']}", _speed(each)) for each in found["speed"] or ()),
        ("Data set", f"{found['dataset']['name']}, {found['split']} split"),
        ("Its fingerprint", found["dataset"]["fingerprint"]),
        ("Parameters' SHA-256", str(summary.get("params_sha256", "–"))),
    ]  # fmt: skip


def _speed(measured):
    return f"{measured['milliseconds']:,.3f} ms, {measured['images_per_second']:,.0f} images/s"
