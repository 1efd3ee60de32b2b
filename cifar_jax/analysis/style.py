"""The one style of all figures: readable in black and white and by the colour-blind, no display needed."""

import pathlib

from matplotlib.figure import Figure

# Okabe and Ito, Color Universal Design, 2008, without the yellow, which paper swallows. Colours and
# line styles have lengths without a common factor, so no pair returns before the 28th line.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00")
STYLES = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))
DPI = 160  # of a PNG


def new(width=7.2, height=4.2):
    """An empty figure of so many inches, whose parts make room for each other."""
    return Figure(figsize=(width, height), layout="constrained")


def line(number):
    """The colour and line style of the number'th line of a figure: keyword arguments of `plot`."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        "linestyle": STYLES[number % len(STYLES)],
        "linewidth": 1.8,
    }


def plain(axes):
    """Axes with a light grid and without a frame."""
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def save(figure, folder, name):
    """Writes folder/name.png and .svg; the folder is made.

    Returns:
        the two paths.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.{suffix}" for suffix in ("png", "svg")]
    for path in paths:
        figure.savefig(path, dpi=DPI)
    return paths
