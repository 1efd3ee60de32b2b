"""The code that the docs show."""

import re

from command_line import ROOT


def code_blocks(language, document="clusters"):
    """The blocks of a language ("bash", "yaml", ...) of docs/DOCUMENT.md, in order: a list of str."""
    text = (ROOT / f"docs/{document}.md").read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
