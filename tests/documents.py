"""The code that docs/clusters.md shows."""

import re

from command_line import ROOT


def code_blocks(language):
    """The blocks of a language ("bash" or "yaml"), in order: a list of str."""
    text = (ROOT / "docs/clusters.md").read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
