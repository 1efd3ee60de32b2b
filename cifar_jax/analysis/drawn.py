"""A figure as a notebook shows it: Matplotlib's or a chart, whatever the notebook has for either."""

import os
import pathlib
from typing import Any

from cifar_jax.analysis import style
from cifar_jax.errors import UserError


class Drawn:
    """A figure that any function of this room has returned; it shows itself, and `save` writes it."""

    def __init__(self, figure: Any) -> None:
        self.figure = figure

    def __repr__(self):
        return f"<{type(self.figure).__name__}; save('figure.png') writes it>"

    def _repr_png_(self):
        return style.rendered(self.figure, "png")[0]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the figure to a .png or .svg file.

        Raises:
            UserError: another suffix, or charts can't be drawn here.
        """
        path = pathlib.Path(path)
        if path.suffix not in (".png", ".svg"):
            raise UserError(f"{path} is neither .png nor .svg")
        path.write_bytes(style.rendered(self.figure, path.suffix[1:])[0])
