"""Our docstrings as griffe reads Google's: a blank line before each section."""

import re

import griffe

SECTION = re.compile(r"\n+(?=(Args|Returns|Raises|Example):\n)")


class Sections(griffe.Extension):
    def on_object(self, *, obj, **_):
        if obj.docstring:
            obj.docstring.value = SECTION.sub("\n\n", obj.docstring.value)
