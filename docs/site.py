"""Lays the pages of the site out in build/: docs/, the README as first page, the notebook, and the files they point to.

pip install -e '.[docs]' && python docs/site.py && zensical build --strict -f build/mkdocs.yml
"""

import json
import pathlib
import re
import shutil

import yaml

ROOT = pathlib.Path(__file__).parents[1]
# File of the repository that is not in docs/ -> its place in the site.
BESIDE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "LICENSE": "LICENSE.txt",
    "CITATION.cff": "CITATION.cff",
    "benchmarks/GPU.md": "gpu.md",
}
# Pages in the order that one reads them in; those of docs/ that are not named follow the guides.
ORDER = {
    "Start": ["index.md", "how_to.md", "notebook.md"],
    "Guides": [
        *("data.md", "training.md", "sweeps.md", "analysis.md", "export.md", "weights.md"),
        *("plugins.md", "callbacks.md", "clusters.md"),
    ],
    "Measured": ["results.md", "performance.md", "scaling.md", "robustness.md", "gpu.md"],
    "Python": [],
    "The project": ["architecture.md", "contributing.md", "changelog.md"],
}
CODE = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(\]\(|src=\"|srcset=\")(?![a-z]+:)([^)\"#\s]+)")


def place_of(name):
    """Return where a file of the repository is in the site, such as "data.md" for "docs/data.md"; None: nowhere."""
    if name in BESIDE:
        return BESIDE[name]
    inside = name.removeprefix("docs/")
    return inside.replace(".ipynb", ".md") if inside != name else None


def moved(text, name):
    """Point the links of a page to where the files are in the site.

    Args:
        text: Markdown.
        name: of the file in the repository.
    Raises:
        ValueError: a link to a file that the site does not have, or that is nowhere.
    """

    def of(match):
        target = (ROOT / name).parent.joinpath(match[2]).resolve()
        place = place_of(target.relative_to(ROOT).as_posix()) if target.exists() else None
        if place is None:
            raise ValueError(f"{name} points to {match[2]}: add it to BESIDE, or mend the link")
        return match[1] + "../" * place_of(name).count("/") + place

    parts = CODE.split(text)
    parts[::2] = [LINK.sub(of, part) for part in parts[::2]]
    return "".join(parts)


def of_notebook(text):
    """Write a notebook as Markdown, without what its cells gave."""
    parts = []
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
    return "\n\n".join(parts)


def navigation(pages):
    """Return the nav of MkDocs: a list of {section: pages}, in which each page is once."""
    named = {page for order in ORDER.values() for page in order}
    sections = {name: [page for page in order if page in pages] for name, order in ORDER.items()}
    for page in sorted(pages - named):
        sections["Python" if page.startswith("api/") else "Guides"].append(page)
    return [{name: chosen} for name, chosen in sections.items() if chosen]


def main(build=ROOT / "build"):
    """Write the pages, and the settings with their nav, into a folder.

    Raises:
        ValueError: as of `moved`.
    """
    pages = build / "pages"
    shutil.rmtree(pages, ignore_errors=True)
    inside = [
        each for each in (ROOT / "docs").rglob("*") if each.is_file() and each.suffix != ".py"
    ]
    files = inside + [ROOT / name for name in BESIDE if (ROOT / name).exists()]
    for file in files:
        name = file.relative_to(ROOT).as_posix()
        place = pages / place_of(name)
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.suffix != ".md":
            shutil.copy(file, place)
            continue
        text = file.read_text(encoding="utf-8")
        place.write_text(moved(of_notebook(text) if file.suffix == ".ipynb" else text, name))
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    settings["nav"] = navigation(
        {each.relative_to(pages).as_posix() for each in pages.rglob("*.md")}
    )
    (build / "mkdocs.yml").write_text(yaml.safe_dump(settings, sort_keys=False))


if __name__ == "__main__":
    main()
