"""The style of all figures, and the files of charts."""

import mmap

import altair as alt
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from cifar_jax.analysis import style
from cifar_jax.analysis.charts import vega


def test_lines_differ_in_colour_and_dashes():
    assert len({(vega.colour(i), i % len(vega.DASHES)) for i in range(28)}) == 28
    brightness = [np.dot(to_rgb(colour), (0.2126, 0.7152, 0.0722)) for colour in style.COLOURS]
    assert max(brightness) < 0.75  # seen on white


CHART = alt.Chart(alt.Data(values=[{"x": 1}])).mark_point(color="var(--c1)").encode(x="x:Q")


@pytest.mark.parametrize("figure", [style.new(), CHART], ids=["Matplotlib", "Altair"])
def test_a_figure_is_saved_as_png_and_svg(figure, tmp_path):
    png, svg = style.save(figure, tmp_path / "new", "name")
    text = svg.read_text()
    assert png.read_bytes().startswith(b"\x89PNG") and "<svg" in text and "var(" not in text
    assert figure is not CHART or style.COLOURS[1] in text


def test_where_v8_has_no_addresses_no_chart_is_drawn(tmp_path, monkeypatch, capsys):
    """V8 would end the process."""

    def full(*_):
        raise OSError

    vega.converter.cache_clear()
    monkeypatch.setattr(mmap, "mmap", full)
    assert style.save(CHART, tmp_path, "name") == [] and not list(tmp_path.iterdir())
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "name.png and .svg are not drawn" in said and "ulimit" in said
