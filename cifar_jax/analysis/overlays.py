"""Grad-CAM maps beside and over their images, as a figure."""

import dataclasses
import textwrap

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable

from cifar_jax.analysis import style

# Rises in lightness from its first colour to its last, and so is read in grey, and whatever the eye.
COLOUR_MAP = "inferno"
COLUMNS = 2  # examples side by side
OPAQUE = 0.75  # how much of the image the greatest value of a map hides
EMPTY = "0 everywhere: no place speaks for the class"  # of a map that the ReLU leaves nothing of
DIMMED = 0.7  # white in the grey image, so that the greatest value is the lightest on any image


@dataclasses.dataclass(frozen=True)
class Example:
    """An image of a figure."""

    image: np.ndarray  # uint8 [H, W, 3]
    map: np.ndarray  # float [h, w], 0 to 1
    large_map: np.ndarray  # float [H, W], 0 to 1
    title: str


def colours(heat):
    """Return the colours of a map, float [..., 3] of float [...], both 0 to 1."""
    return colormaps[COLOUR_MAP](heat)[..., :3]


def overlay(image, heat):
    """Lay the colours of a map over its image in grey, the more the higher it is.

    Args:
        image: uint8 [H, W, 3].
        heat: float [H, W], 0 to 1.
    Returns:
        float [H, W, 3], 0 to 1.
    """
    grey = DIMMED * (image @ np.array([0.2126, 0.7152, 0.0722])) / 255  # ITU-R BT.709's luma
    share = OPAQUE * heat[..., None]
    return (1 - share) * grey[..., None] + share * colours(heat)


def draw(examples, title):
    """Draw a grid of examples: image, map as it is, and map over the image.

    Args:
        examples: list of Example.
        title: of the figure.
    Returns:
        matplotlib.figure.Figure.
    """
    rows = -(-len(examples) // COLUMNS)
    heights = (0.45, 1.42 * rows, 0.55)
    figure = style.new(height=sum(heights))
    head, body, foot = figure.subfigures(3, 1, height_ratios=heights)
    head.suptitle(title, fontsize=9, parse_math=False)
    cells = body.subfigures(rows, COLUMNS, squeeze=False).ravel()
    for cell, example in zip(cells, examples, strict=False):
        _draw_example(cell, example)
    draw_scale(figure, foot)
    return figure


def draw_scale(figure, foot):
    """Draw the scale of the maps' colours into the subfigure at the foot of a figure."""
    bar = figure.colorbar(
        ScalarMappable(cmap=COLOUR_MAP),
        cax=foot.add_axes((0.2, 0.72, 0.6, 0.2)),
        orientation="horizontal",
    )
    bar.set_label("map, as a share of its greatest value", fontsize=8)
    bar.ax.tick_params(labelsize=8)


def say_empty(axes):
    """Write over a map of zeros that it is one, else a black square looks like a mistake."""
    middle = {"ha": "center", "va": "center", "transform": axes.transAxes}
    axes.text(0.5, 0.5, "\n".join(textwrap.wrap(EMPTY, 20)), fontsize=7, color="white", **middle)


def _draw_example(cell, example):
    cell.suptitle(example.title, fontsize=8, parse_math=False)
    pictures = (example.image, example.map, overlay(example.image, example.large_map))
    parts = cell.subplots(1, 3)
    for axes, picture in zip(parts, pictures, strict=True):
        axes.imshow(picture, cmap=COLOUR_MAP, vmin=0, vmax=1, interpolation="nearest")
        axes.set_axis_off()
    if not example.map.any():
        say_empty(parts[1])
