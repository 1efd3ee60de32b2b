"""What all charts of a report share. A chart is a Vega-Lite specification: a JSON-able dict.

Colours are CSS variables of the page, so that they follow its theme; --c0, --c1, ... are those of style.COLOURS.
"""

import functools

import altair as alt

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
DASHES = ([1, 0], [6, 3], [2, 2], [6, 2, 2, 2])  # of lines, beside their colours
SHAPES = (
    *(("circle", "●"), ("diamond", "◆"), ("square", "■")),
    *(("triangle-up", "▲"), ("cross", "✚"), ("triangle-down", "▼")),
)

CONFIG = {
    "background": "transparent",
    "customFormatTypes": True,
    "font": FONT,
    "view": {"stroke": None},
    "axis": {
        "domainColor": "var(--line)",
        "gridColor": "var(--line)",
        "gridOpacity": 0.7,
        "labelColor": "var(--muted)",
        "labelFontSize": 11,
        "tickColor": "var(--line)",
        "ticks": False,
        "labelPadding": 6,
        "titleColor": "var(--muted)",
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "titlePadding": 8,
    },
    "legend": {
        "labelColor": "var(--ink)",
        "labelFontSize": 12,
        "labelLimit": 240,
        "symbolStrokeWidth": 2.5,
        "symbolSize": 220,
        "columnPadding": 18,
        "offset": 8,
    },
}


@functools.cache
def library():
    """Vega, Vega-Lite and Vega-Embed in one JavaScript module, which sets window.vegaEmbed."""
    import vl_convert

    return vl_convert.javascript_bundle()


def colour(number):
    """The CSS colour of the number'th series."""
    return f"var(--c{number % 7})"


def shape(number):
    """The number'th marker: Vega's name of it, and a character that looks like it."""
    return SHAPES[number % len(SHAPES)]


def line_style(number):
    """The CSS border style that looks like the number'th line."""
    return ("solid", "dashed", "dotted", "dashed")[number % len(DASHES)]


def chart(values):
    """An empty chart of rows, dicts."""
    return alt.Chart(alt.Data(values=values))


def specify(chart, description, height, **options):
    """The specification of a chart as wide as its place."""
    chart = chart.properties(width="container", height=height, description=description, **options)
    found = chart.configure(**CONFIG).to_dict()
    del found["$schema"]  # an address that is never asked, but looks like one that is
    return found
