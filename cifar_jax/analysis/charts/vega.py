"""The common parts of all charts: their look, a key, and a chart as a page's specification or as a picture.

Colours are CSS variables of the page, so that they follow its theme; --c0, --c1, ... are those of style.COLOURS.
"""

import functools
import json
import mmap
import re

from cifar_jax.analysis import style
from cifar_jax.analysis.charts import outlines
from cifar_jax.console import home
from cifar_jax.errors import UserError

with home.lent():  # Altair asks for one when it is imported
    import altair as alt

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
DASHES = ([1, 0], [6, 3], [2, 2], [6, 2, 2, 2])  # of lines, beside their colours
SHAPES = (
    *(("circle", "●"), ("diamond", "◆"), ("square", "■")),
    *(("triangle-up", "▲"), ("cross", "✚"), ("triangle-down", "▼")),
)
# The page's light colours, as of report/templates/style.css.
LIGHT = {
    **{"ink": "#1a1c20", "muted": "#5a606b", "line": "#e2e3df", "card": "#ffffff"},
    **{"heat": "#00558a", "on-heat": "#ffffff"},
    **{f"c{i}": colour for i, colour in enumerate(style.COLOURS)},
}
ADDRESSES = 72 << 30  # bytes that V8 reserves

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
FILE_CONFIG = CONFIG | {
    **{"background": "white", "font": "DejaVu Sans", "padding": 8},
    "axis": CONFIG["axis"]
    | {"labelColor": "var(--ink)", "titleColor": "var(--ink)", "labelFlush": False},
    "legend": CONFIG["legend"]
    | {"labelFontSize": 10, "labelLimit": 0, "titleFontSize": 9, "titleFontWeight": "normal"},
    "title": {
        **{"fontSize": 11, "fontWeight": "normal", "color": "var(--ink)", "anchor": "middle"},
        **{"subtitleFontSize": 10, "subtitleColor": "var(--ink)"},
    },
}


@functools.cache
def converter():
    """Start V8, which runs Vega, and return vl_convert.

    Raises:
        UserError: no room for the addresses that V8 reserves; without them it would end the process.
    """
    try:
        mmap.mmap(-1, ADDRESSES, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ).close()
    except OSError:
        raise UserError(
            f"Vega, which draws charts, reserves {ADDRESSES >> 30} GiB of addresses, more than this process may have "
            "(ulimit -v)"
        ) from None
    import matplotlib
    import vl_convert

    vl_convert.register_font_directory(f"{matplotlib.get_data_path()}/fonts/ttf")
    return vl_convert


@functools.cache
def library():
    """Return Vega, Vega-Lite and Vega-Embed in one JavaScript module, which sets window.vegaEmbed."""
    return converter().javascript_bundle()


def colour(number):
    """Return the CSS colour of the number'th series."""
    return f"var(--c{number % 7})"


def shape(number):
    """Return the number'th marker: Vega's name of it, and a character that looks like it."""
    return SHAPES[number % len(SHAPES)]


def line_style(number):
    """Return the CSS border style that looks like the number'th line."""
    return ("solid", "dashed", "dotted", "dashed")[number % len(DASHES)]


def chart(values):
    """Return an empty chart of rows, dicts."""
    return alt.Chart(alt.Data(values=values))


def names_of(names):
    """Return the Vega expression of an axis' or a legend's label: the name of a number.

    The number is the place, so that two of one name stay two.
    """
    return f"{json.dumps(list(names))}[datum.value]"


def interval(each):
    """Return the ends of the interval of an accuracy, of an evaluation or of a class, in per cent."""
    low, high = each["accuracy_interval"]
    return {"low": 100 * low, "high": 100 * high}


def hover(*lines):
    """Return what hover tells: tooltips of (field, title, format of a number)."""
    return [
        alt.Tooltip(field, title=title, **({"format": form[0]} if form else {}))
        for field, title, *form in lines
    ]


def key(entries, **options):
    """Return a layer that draws nothing but a key.

    Args:
        entries: name -> (Vega's symbol, colour, dash).
        options: of altair.Legend.
    """
    symbols, colours, dashes = zip(*entries.values(), strict=True)
    # No symbol is higher than its text, and a line is long enough for its dashes.
    sizes = [150 if each == "stroke" else 50 for each in symbols]
    channels = {"shape": symbols, "stroke": colours, "fill": colours}
    channels |= {"strokeDash": dashes, "size": sizes}
    legend = {"title": None, "orient": "top", "symbolOpacity": 1} | options
    scale = {"type": "ordinal", "domain": list(entries)}
    encoding = {
        name: {
            "field": "key",
            "type": "nominal",
            "legend": legend,
            "scale": scale | {"range": values},
        }
        for name, values in channels.items()
    }
    points = chart([{"key": name} for name in entries]).mark_point(opacity=0)
    return points.encode(**encoding)


def specify(chart):
    """Return the specification, a JSON-able dict, of a chart for a page: as wide as its place."""
    specification = chart.properties(width="container").configure(**CONFIG).to_dict()
    del specification["$schema"]  # an address that is never asked, but looks like one that is
    return specification


def rendered(chart, *kinds):
    """Return a chart as the bytes of files of some kinds, "png" or "svg": a list.

    Raises:
        UserError: as of `converter`.
    """
    vl_convert = converter()
    text = json.dumps(chart.configure(**FILE_CONFIG).to_dict())
    text = re.sub(r"var\(--([\w-]+)\)", lambda variable: LIGHT[variable[1]], text)
    drawn = outlines.of_names(vl_convert.vegalite_to_svg(text))
    makers = {
        "svg": drawn.encode,
        "png": lambda: vl_convert.svg_to_png(drawn, ppi=style.DPI),  # a pixel is 1/72 inch
    }
    return [makers[kind]() for kind in kinds]
