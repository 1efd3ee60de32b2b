"""The pages of the site, which docs/site.py lays out; .ci/run builds it."""

import runpy

import pytest
from command_line import ROOT

site = runpy.run_path(str(ROOT / "docs/site.py"))


def test_every_page_is_laid_out_and_in_the_navigation_once(tmp_path):
    site["main"](tmp_path)
    pages = {each.relative_to(tmp_path / "pages").as_posix() for each in tmp_path.rglob("*.md")}
    assert {"index.md", "notebook.md", "changelog.md", "api/trained.md"} <= pages
    listed = [page for section in site["navigation"](pages) for page in sum(section.values(), [])]
    assert sorted(listed) == sorted(pages)
    assert site["navigation"]({"index.md", "new.md"}) == [
        {"Start": ["index.md"]},
        {"Guides": ["new.md"]},
    ]


def test_links_lead_to_where_the_files_are_in_the_site():
    moved = site["moved"]
    text = (
        "[a](docs/plugins.md#x), [b](LICENSE), [c](https://a.b/docs/c.md), ![d](docs/api/data.md)"
    )
    expected = "[a](plugins.md#x), [b](LICENSE.txt), [c](https://a.b/docs/c.md), ![d](api/data.md)"
    assert moved(text, "README.md") == expected
    assert moved("[a](../plugins.md)\n```\n[b](c)\n```\n", "docs/api/data.md").startswith(
        "[a](../plugins.md)"
    )
    for nowhere in ("[a](docs/none.md)", "[a](cifar_jax/main.py)"):
        with pytest.raises(ValueError, match="add it to BESIDE, or mend the link"):
            moved(nowhere, "README.md")
