"""Photos with the Grad-CAM of a model that saw them small, as a figure: the map lies over the photo as it is."""

import dataclasses

import numpy as np
from PIL import Image

from cifar_jax.analysis import overlays, style
from cifar_jax.console.tables import confidence
from cifar_jax.data import images

SIDE = 1024  # pixels of a photo's longer side in a figure, at most
WIDTHS = (2.3, 1.15, 2.3, 1.25)  # inches of a row's parts
HEIGHT = 1.85  # inches of a row
SMOOTH = 256  # pixels that a map is drawn with where a photo has fewer


@dataclasses.dataclass(frozen=True)
class Photo:
    """A photo of a figure."""

    pixels: np.ndarray  # uint8 [H, W, 3], SIDE pixels a side at most
    size: tuple[int, int]  # (width, height) of the file


def of_picture(picture):
    """Make a Photo of a `PIL.Image.Image` of mode RGB."""
    return Photo(images.bounded(picture, SIDE), picture.size)


def overlay(photo, heat):
    """Lay a map over a photo, all of which the model saw, however its sides were pressed into a square.

    Args:
        photo: Photo.
        heat: float [h, w], 0 to 1.
    Returns:
        float [k H, k W, 3], 0 to 1; k is 1 but for a picture so small that its map would be coarse.
    """
    times = max(1, SMOOTH // max(photo.pixels.shape[:2]))
    pixels = photo.pixels.repeat(times, axis=0).repeat(times, axis=1)
    height, width = pixels.shape[:2]
    # Pillow resizes as gradcam.resized does, which would compile a program for each size.
    small = Image.fromarray(np.asarray(heat, np.float32))
    large = np.asarray(small.resize((width, height), Image.Resampling.BILINEAR))
    return overlays.overlay(pixels, np.clip(large, 0, 1))


def draw(photos, seen, maps, names, answers, title):
    """Draw a row for each photo: itself, what the model sees, the map over the photo, and the model's answer.

    Args:
        photos: list of Photo.
        seen: uint8 [N, S, S, 3], the model's images.
        maps: float [N, h, w], 0 to 1.
        names: list of str.
        answers: list of ((class, confidence), ...), the surest first.
        title: of the figure.
    Returns:
        matplotlib.figure.Figure.
    """
    heights = (0.45, HEIGHT * len(photos), 0.55)
    figure = style.new(height=sum(heights))
    head, body, foot = figure.subfigures(3, 1, height_ratios=heights)
    head.suptitle(title, fontsize=9, parse_math=False)
    cells = body.subfigures(len(photos), 1, squeeze=False).ravel()
    for cell, *row in zip(cells, photos, seen, maps, names, answers, strict=True):
        _draw_row(cell, *row)
    overlays.draw_scale(figure, foot)
    return figure


def _draw_row(cell, photo, seen, heat, name, answer):
    width, height = photo.size
    named = f"{style.shortened(name, 4.5, 8)}   {width:,} x {height:,} pixels"
    cell.suptitle(named, fontsize=8, parse_math=False)
    *places, words = cell.subplots(1, len(WIDTHS), width_ratios=WIDTHS)
    shown = (photo.pixels, seen, overlay(photo, heat))
    for axes, picture in zip(places, shown, strict=True):
        axes.imshow(picture)
        axes.set_axis_off()
    if not heat.any():
        overlays.say_empty(places[-1])
    words.set_axis_off()
    lines = [f"{style.shortened(each, 0.8, 8)} {confidence(sure)}" for each, sure in answer]
    middle = {"va": "center", "transform": words.transAxes, "parse_math": False}
    for i, line in enumerate(lines):
        weight = "bold" if i == 0 else "normal"
        words.text(0, 0.65 - 0.15 * i, line, fontsize=8, weight=weight, **middle)
