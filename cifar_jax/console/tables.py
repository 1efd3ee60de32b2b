"""The tables of an evaluation and of a comparison: for a terminal of 80 columns, for Markdown and for the report."""

from typing import NamedTuple

FEW_CLASSES = 12  # of so many there is room for all, and for a confusion matrix with its numbers
WORST = 10  # classes shown of more
BETWEEN = 2  # cells between two columns on a terminal
LEAST = 12  # cells that a shortened column keeps
MOST_CONFUSED = 3  # pairs in the answer


class Table(NamedTuple):
    """Text in cells. The columns `left` are of words, the others of figures."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    left: tuple[int, ...] = (0,)
    caption: str = ""


def to_rich(table):
    """Turn a Table into one for rich.console.Console.print."""
    from rich.table import Table as RichTable
    from rich.text import Text  # a str would be read for markup and emoji

    shown = RichTable(
        title=Text(table.title) if table.title else None,
        title_justify="left",
        title_style="bold",
        caption=Text(table.caption) if table.caption else None,
        caption_justify="left",
        box=None,
        pad_edge=False,
    )
    for i, column in enumerate(table.columns):
        justify = "left" if i in table.left else "right"
        shown.add_column(Text(column), justify=justify, overflow="fold", header_style="dim")
    for row in table.rows:
        shown.add_row(*map(Text, row))
    return shown


def fitted(table, width):
    """Shorten the words of a Table's first column so that each row is one line of so many cells.

    Where the other columns leave it no room of LEAST cells, it keeps that many.
    """
    from rich.cells import cell_len

    rest = list(zip(table.columns, *table.rows, strict=True))[1:]
    lines = (max(cell_len(line) for cell in column for line in cell.split("\n")) for column in rest)
    room = width - sum(lines) - BETWEEN * len(rest)
    rows = [(shortened(first, max(room, LEAST)), *others) for first, *others in table.rows]
    return table._replace(rows=rows)


def shortened(text, width):
    """Put an ellipsis for the middle of a text that takes more than `width` cells of a terminal.

    The middle, since names of files differ at their ends: "holida…42.jpg".
    """
    from rich.cells import cell_len, set_cell_size

    if cell_len(text) <= width:
        return text
    head = set_cell_size(text, width // 2).rstrip()
    tail = set_cell_size(text[::-1], width - 1 - width // 2).rstrip()
    return f"{head}…{tail[::-1]}"


def in_markdown(text):
    """Escape text for a cell of a table in Markdown: `|` would end it, and `$` begins mathematics for some readers."""
    return " ".join(text.replace("|", r"\|").replace("$", r"\$").split())


def to_markdown(table):
    """Write a Table as lines of Markdown, a heading first."""
    return f"## {table.title}\n\n{rows_in_markdown(table)}"


def rows_in_markdown(table):
    """Write a Table as lines of Markdown, without its title."""

    def line(cells):
        return f"| {' | '.join(map(in_markdown, cells))} |"

    rule = "|".join("---" if i in table.left else "---:" for i in range(len(table.columns)))
    return "\n".join([line(table.columns), f"|{rule}|", *map(line, table.rows)])


def percent(fraction, digits=2):
    """Write a fraction as "61.53 %"; "-" for None."""
    return "-" if fraction is None else f"{100 * fraction:.{digits}f} %"


def percent_range(interval, digits=2):
    """Write two fractions as "60.57 to 62.48"; "-" for None."""
    return "-" if interval is None else " to ".join(f"{100 * end:.{digits}f}" for end in interval)


def reported(stated):
    """Write the figure of a config's section `reported`, as "61.92" or "89.55 (F1)"; "-" where there is none."""
    if stated["value"] is None:
        return "-"
    return f"{stated['value']:.2f}" + (" (F1)" if "F1" in stated["metric"] else "")


def confidence(probability):
    """Write a probability as "98.4 %"; what would round to 100 is "> 99.9 %"."""
    return "> 99.9 %" if probability > 0.9995 else percent(probability, 1)


def answer(evaluation):
    """Tabulate what is asked first of an evaluation, as of result.evaluate: how often it is right, and where not."""
    classes = [each for each in evaluation["per_class"] if each["images"]]
    by_accuracy = sorted(classes, key=lambda each: -each["accuracy"])
    interval = percent_range(evaluation["accuracy_interval"])
    rows = [
        ("accuracy", f"{percent(evaluation['accuracy'])}, 95 % interval {interval} %"),
        *(
            (f"{which} class", f"{each['name']}: {percent(each['accuracy'], 1)}")
            for which, each in zip(
                ("best", "worst"), (by_accuracy[0], by_accuracy[-1]), strict=True
            )
        ),
        *(("most confused", pair) for pair in confused_pairs(evaluation)[:MOST_CONFUSED]),
        ("calibration error", percent(evaluation["calibration"]["error"])),
    ]
    for each in evaluation["speed"] or ():
        rows.append(
            (f"speed, batch of {each['batch']}", f"{each['images_per_second']:,.0f} images/s")
        )
    return Table(_heading(evaluation), ("", ""), rows, left=(0, 1))


def _heading(evaluation):
    name = evaluation["dataset"]["name"]
    return f"{evaluation['images']:,} {evaluation['split']} images of {name}"


def of_evaluation(evaluation):
    """List all tables of an evaluation, as of result.evaluate."""
    names = evaluation["dataset"]["class_names"]
    tables = [_overall(evaluation), _shown_classes(evaluation["per_class"])]
    if len(names) <= FEW_CLASSES:
        tables.append(_confusion(evaluation["confusion"], names))
    return [*tables, of_bins(evaluation["calibration"]), _cost(evaluation)]


def _overall(evaluation):
    rows = [
        ("accuracy", percent(evaluation["accuracy"])),
        ("  95 % interval (Wilson)", f"{percent_range(evaluation['accuracy_interval'])} %"),
        *([("top-5 accuracy", percent(top5))] if (top5 := evaluation["top5_accuracy"]) else []),
        ("cross entropy, nats", f"{evaluation['loss']:.4f}"),
    ]
    for mean in ("macro", "weighted"):
        means = evaluation[mean]
        text = " / ".join(f"{100 * means[name]:.2f}" for name in ("precision", "recall", "f1"))
        rows.append((f"precision / recall / F1, {mean}", f"{text} %"))
    rows.append(("calibration error (15 bins)", percent(evaluation["calibration"]["error"])))
    rows.append(("mean confidence", percent(evaluation["calibration"]["confidence"])))
    return Table(_heading(evaluation), ("", ""), rows)


def _shown_classes(per_class):
    """Tabulate all classes, or the worst of many."""
    if len(per_class) <= FEW_CLASSES:
        return of_classes(per_class, "Classes, in per cent")
    title = f"The {WORST} worst of {len(per_class)} classes, in per cent"
    there = [each for each in per_class if each["images"]]
    return of_classes(sorted(there, key=lambda each: each["accuracy"])[:WORST], title)


def of_classes(per_class, title, digits=1):
    """Tabulate classes of an evaluation, their intervals with so many digits."""
    rows = [
        (
            each["name"],
            f"{each['images']:,}",
            "-" if each["accuracy"] is None else f"{100 * each['accuracy']:.2f}",
            percent_range(each["accuracy_interval"], digits),
            *(f"{100 * each[name]:.2f}" for name in ("precision", "f1")),
        )
        for each in per_class
    ]
    columns = ("class", "images", "accuracy (recall)", "95 % interval", "precision", "F1")
    return Table(title, columns, rows)


def _confusion(confusion, names):
    rows = [
        (name, *(str(count) if count else "." for count in row))
        for name, row in zip(names, confusion, strict=True)
    ]
    title = "Confusion matrix: images of the class of the line, taken for that of the column"
    return Table(title, ("", *(name[:5] for name in names)), rows)


def of_bins(calibration):
    """Tabulate the bins of a calibration that hold images."""
    rows = [
        (
            f"{100 * each['low']:.1f} to {100 * each['high']:.1f}",
            f"{each['images']:,}",
            f"{100 * each['confidence']:.2f}",
            f"{100 * each['accuracy']:.2f}",
            f"{100 * (each['accuracy'] - each['confidence']):+.2f}",
        )
        for each in calibration["bins"]
        if each["images"]
    ]
    columns = ("confidence", "images", "its mean", "accuracy", "difference")
    return Table("Calibration, in per cent", columns, rows)


def _cost(evaluation):
    model = evaluation["model"]
    rows = [
        ("parameters", f"{model['params']:,}"),
        ("memory of the parameters", f"{model['parameter_bytes'] / 1e6:,.3f} MB"),
        (
            f"activations, a training step of {model['activation_batch']}",
            f"{model['activation_bytes'] / 1e6:,.1f} MB",
        ),
        ("multiply-adds an image", f"{model['multiply_adds'] / 1e6:,.2f} million"),
    ]
    for each in evaluation["speed"] or ():
        rows.append(
            (
                f"batch of {each['batch']}, median of {each['calls']} calls",
                f"{each['milliseconds']:,.3f} ms, {each['images_per_second']:,.0f} images/s",
            )
        )
    title = model["name"] + (f" on {evaluation['hardware']}" if evaluation["speed"] else "")
    return Table(title, ("", ""), rows)


def confused_pairs(evaluation):
    """Say the most confused pairs in words, such as ["cat taken for dog: 17.0 %"]."""
    names = evaluation["dataset"]["class_names"]
    return [
        f"{names[each['true']]} taken for {names[each['predicted']]}: {percent(each['fraction'], 1)}"
        for each in evaluation["confused_pairs"]
    ]


def of_comparison(comparison):
    """List all tables of a comparison, as of comparison.compare.

    The first is report 001's Table VII: precision, recall and F1, means over the classes.
    """
    runs = comparison["runs"]
    overall = [
        (
            run["name"],
            f"{run['model']['params']:,}",
            percent(run["accuracy"]),
            percent_range(run["accuracy_interval"]),
            *(f"{run['macro'][name]:.4f}" for name in ("precision", "recall", "f1")),
        )
        for run in runs
    ]
    by_class = zip(*(run["per_class"] for run in runs), strict=True)
    classes = [
        (row[0]["name"], *("-" if each["accuracy"] is None else f"{100 * each['accuracy']:.2f}" for each in row))
        for row in by_class
    ]  # fmt: skip
    on = f"{comparison['images']:,} {comparison['split']} images of {comparison['dataset']['name']}"
    columns = ("run", "parameters", "accuracy", "95 % interval", "precision", "recall", "F1")
    return [
        Table(f"On {on}", columns, overall),
        Table(
            "Accuracy of each class, per cent", ("class", *(run["name"] for run in runs)), classes
        ),
        of_tests(comparison["mcnemar"]),
    ]


def of_tests(mcnemar):
    """Tabulate the tests of a comparison."""
    rows = [
        (
            f"{each['first']} - {each['second']}",
            f"{100 * each['difference']:+.2f}",
            f"{each['only_first']:,}",
            f"{each['only_second']:,}",
            p_value(each["p"]),
            p_value(each["p_holm"]),
        )
        for each in mcnemar
    ]
    columns = ("pair", "difference", "only first right", "only second right", "p", "p (Holm)")
    return Table("McNemar's test; differences of accuracy in percentage points", columns, rows)


def p_value(p):
    """Write p as "0.0131"; "< 0.0001" for the smallest."""
    return "< 0.0001" if p < 1e-4 else f"{p:.4f}"


def remarks(comparison):
    """List the lines that say what the tables of a comparison leave unsaid."""
    lines = []
    for run in comparison["runs"]:
        chosen = f"{run['name']}: {run['model']['name']}, checkpoint {run['checkpoint']}, step {run['step']:,}"
        worse = f"; better than on new images: {run['optimistic']}" if run["optimistic"] else ""
        lines.append(chosen + worse)
    tests = sorted({each["test"] for each in comparison["mcnemar"]})
    number = len(comparison["mcnemar"])
    lines.append(
        "precision, recall and F1 are means over the classes; intervals are Wilson's; McNemar's test is "
        f"two-sided, {' or '.join(tests)}, p corrected by Holm for {number} comparison{'s' * (number > 1)}"
    )
    return lines
