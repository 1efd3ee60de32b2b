"""Text of an SVG as outlines, where a name has letters that Matplotlib's own font lacks.

What draws the PNG would find another font, but it sets the letters of Devanagari and its like one over the other.
"""

import html
import re

from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import TextPath

from cifar_jax.analysis import style

TEXT = re.compile('<text text-anchor="(.*?)"(.*?font-size="(.*?)px".*?)>([^<]*)</text>')
BEFORE = {"start": 0, "middle": 0.5, "end": 1}  # shares of a text that stand before its place
COMMANDS = {Path.MOVETO: "M", Path.LINETO: "L", Path.CURVE3: "Q", Path.CURVE4: "C"}


def of_names(svg):
    """Replace the texts of an SVG of Vega's that take other fonts."""
    return TEXT.sub(_outline, svg)


def _outline(element):
    anchor, attributes, size, text = element.groups()
    text, size = html.unescape(text), float(size)
    fonts = style.families(text)
    if fonts == style.families(""):
        return element[0]
    with style.quiet():
        path = TextPath((0, 0), text, size, FontProperties(family=fonts))
    across = -BEFORE[anchor] * 72 * style.width(text, size)
    data = "".join(
        COMMANDS[code] + " ".join(f"{each:.2f}" for each in points) if code in COMMANDS else "Z"
        for points, code in path.iter_segments(simplify=False)
    )
    moved = f'<path transform="translate({across:.2f},0) scale(1,-1)" d="{data}"/>'
    return f'<g{attributes} aria-label="{html.escape(text)}">{moved}</g>'
