"""The style of all figures."""

import numpy as np
from matplotlib.colors import to_rgb

from cifar_jax.analysis import style


def test_lines_differ_in_colour_and_style():
    assert len({(line["color"], line["linestyle"]) for line in map(style.line, range(28))}) == 28
    brightness = [np.dot(to_rgb(colour), (0.2126, 0.7152, 0.0722)) for colour in style.COLOURS]
    assert max(brightness) < 0.75  # seen on white


def test_a_figure_is_saved_as_png_and_svg(tmp_path):
    figure = style.new()
    style.plain(figure.subplots())
    png, svg = style.save(figure, tmp_path / "new", "name")
    assert png.read_bytes().startswith(b"\x89PNG") and "<svg" in svg.read_text()
