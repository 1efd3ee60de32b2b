"""The code that README.md and the docs show."""

import re
import shlex

from command_line import ROOT

FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in (ROOT / "README.md", ROOT / "benchmarks/GPU.md", *sorted(ROOT.glob("docs/*.md")))
}


def code_blocks(language, document="clusters"):
    """The blocks of a language ("bash", "yaml", ...) of docs/DOCUMENT.md, in order: a list of str."""
    return blocks(language, f"docs/{document}.md")


def blocks(language, page):
    """The same of any page, such as README.md."""
    return [text for kind, text in FENCED.findall(PAGES[page]) if kind == language]


def typed_lines(page):
    """The command lines that stand alone, indented, in order, each as its words: what a reader types."""
    lines = re.findall(
        r"^    ((?:python|pip|pytest) .*)$", _joined(FENCED.sub("", PAGES[page])), re.M
    )
    return [shlex.split(part, comments=True) for line in lines for part in line.split(" && ")]


def quoted(page):
    """What stands in `backquotes` in a page's text: a list of str."""
    return [
        " ".join(each.split()) for each in re.findall(r"`([^`]*)`", FENCED.sub("", PAGES[page]))
    ]


def command_lines(page):
    """All command lines of cifar_jax in a page, each as its words: typed, in a script, in the text with a flag."""
    scripts = [line for text in blocks("bash", page) for line in _told(_joined(text)).splitlines()]
    parts = [
        part for text in [*quoted(page), *scripts] for part in re.findall(r"python -m cifar_jax[^;&]* -[^;&]*", text)
    ]  # fmt: skip
    typed = [words for words in typed_lines(page) if words[:2] == ["python", "-m"]]
    return [*typed, *map(_words, parts)]


def _joined(text):
    """The text with each line that ends in a backslash and the next as one."""
    return re.sub(r" *\\\n *", " ", text)


def _told(script):
    """The script with what its comment submits it with as its arguments."""
    submitted = re.search(r"^# sbatch \S+ (.*)$", script, re.MULTILINE)
    return script.replace('"$@"', submitted[1]) if submitted else script


def _words(command):
    """The words of a command in a text or a script; 1 for what a loop, a shell or a reader puts in."""
    command = command.replace("--config ...", "--config configs/quickstart.py")
    if command.count('"') % 2:  # one that a shell was told in quotes
        command = command.rstrip('" ')
    return shlex.split(re.sub(r"\$\w+|(?<= )\.\.\.", "1", command))
