"""The curves of a training in a terminal, drawn with Braille's dots."""

import math

WIDEST, HEIGHT = 60, 4  # cells of all; lines of a curve
LEAST = 24  # cells of a curve with its figures
BETWEEN = 4  # cells between two curves
# Bits of the dots of a cell, four lines of two, in Unicode's block of Braille patterns.
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
FIRST = 0x2800


def show(console, rows, selection):
    """Print the curves of a training on a terminal that has the letters; nothing elsewhere, so that logs stay quiet.

    Args:
        console: rich.console.Console.
        rows, selection: as of `of_rows`.
    """
    if console.is_terminal and not console.options.ascii_only:
        lines = of_rows(rows, selection, console.width)
        if lines:
            console.print("", *lines, "", sep="\n", markup=False, highlight=False)


def of_rows(rows, selection, width):
    """Draw accuracy and loss by epoch: of validation, or of training where there was none.

    Args:
        rows: of writers.read_rows.
        selection: of the config; with "test" the validation rows are of the test set.
        width: of the terminal, in cells.
    Returns:
        list of lines; empty where the terminal is too narrow, or fewer than two epochs have figures.
    """
    named = {"validation": "test" if selection == "test" else "validation"}
    named["train_epoch"] = "training"
    for split, name in named.items():
        of_epoch = {row["epoch"]: row for row in rows if row["split"] == split and _has_all(row)}
        kinds = (
            (f"{name} accuracy, %", "accuracy", 100, "{:.1f}"),
            (f"{name} loss, nats", "loss", 1, "{:.3g}"),
        )
        series = [
            (title, [(epoch, scale * row[column]) for epoch, row in of_epoch.items()], form)
            for title, column, scale, form in kinds
        ]
        if all(sum(math.isfinite(y) for _, y in points) >= 2 for _, points, _ in series):
            return _arranged(series, min(width, WIDEST))
    return []


def _has_all(row):
    return all(isinstance(row.get(name), int | float) for name in ("epoch", "loss", "accuracy"))


def _arranged(series, width):
    """Put panels side by side where there is room for both."""
    half = (width - BETWEEN) // len(series)
    if half >= LEAST:
        beside = zip(*(panel(*each, half) for each in series), strict=True)
        return [(" " * BETWEEN).join(lines).rstrip() for lines in beside]
    if width < LEAST:
        return []
    return [line.rstrip() for each in series for line in panel(*each, width)]


def panel(title, points, form, width):
    """Draw a curve below its title, with its greatest and least value and its first and last x.

    Args:
        title: str.
        points: as of `curve`.
        form: of a value, for str.format.
        width: in cells.
    Returns:
        list of HEIGHT + 2 lines, each of `width` cells.
    """
    finite = [y for _, y in points if math.isfinite(y)]
    ends = [form.format(end(finite)) for end in (max, min)]
    room = max(map(len, ends))
    labels = [ends[0], *[""] * (HEIGHT - 2), ends[1]]
    drawn = curve(points, width - room - 1)
    first, last = str(points[0][0]), str(points[-1][0])
    below = first + last.rjust(width - room - 1 - len(first))
    lines = [title, *(f"{a:>{room}} {b}" for a, b in zip(labels, drawn, strict=True))]
    return [line.ljust(width) for line in (*lines, " " * (room + 1) + below)]


def curve(points, width, height=HEIGHT):
    """Draw a line through points.

    Args:
        points: (x, y) by rising x; a y that is not finite leaves a gap.
        width, height: in cells, of 2 x 4 dots.
    Returns:
        list of `height` str of `width` letters.
    """
    cells = [[0] * width for _ in range(height)]
    before = None
    for place in _places(points, 2 * width - 1, 4 * height - 1):
        if place:
            for column, row in _between(before or place, place):
                cells[row // 4][column // 2] |= DOTS[row % 4][column % 2]
        before = place
    # An empty pattern, which some fonts draw as eight circles, is a space.
    return ["".join(chr(FIRST + bits) if bits else " " for bits in line) for line in cells]


def _places(points, right, bottom):
    """Return the dot of each point, (column, row) from the top left; None of one that is not finite."""
    finite = [y for _, y in points if math.isfinite(y)]
    (left, *_), (*_, last) = ([x for x, _ in points],) * 2
    low, high = min(finite, default=0), max(finite, default=0)

    def share(value, least, greatest):
        return (value - least) / (greatest - least) if greatest > least else 0.5

    return [
        (round(right * share(x, left, last)), round(bottom * (1 - share(y, low, high))))
        if math.isfinite(y)
        else None
        for x, y in points
    ]


def _between(start, end):
    """Yield the dots of a straight line, both its ends among them."""
    steps = max(abs(b - a) for a, b in zip(start, end, strict=True))
    for i in range(steps + 1):
        yield tuple(a + round((b - a) * i / max(steps, 1)) for a, b in zip(start, end, strict=True))
