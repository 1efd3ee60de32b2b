"""The report page in a real browser. Without a Chromium on this machine these are skipped."""

import contextlib
import re

import pytest
from hostile import CLASS, FOLDER, OTHER
from tiers import tiered

pytestmark = pytest.mark.thorough


@contextlib.contextmanager
def opened(chromium, path, width=1280, complaint=None, **options):
    """The page, drawn; afterwards it must have asked for nothing, and complained of nothing else."""
    context = chromium.new_context(
        viewport={"width": width, "height": 900}, reduced_motion="reduce", **options
    )
    context.set_default_timeout(10_000)
    tab, wrong, asked = context.new_page(), [], []
    tab.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)  # fmt: skip
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("requestfailed", lambda request: wrong.append(request.url))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(path.as_uri())
    tab.wait_for_function("'ready' in document.documentElement.dataset")
    yield tab
    assert complaint is not None or wrong == []
    assert all(complaint in each for each in wrong)
    assert [url for url in asked if not url.startswith("data:image/png")] == [path.as_uri()]
    context.close()


@pytest.fixture(scope="module")
def drawn(chromium, made):
    """The page, for tests that leave it as it is."""
    with opened(chromium, made) as tab:
        yield tab


@pytest.mark.parametrize("width", tiered([1280, 390], [1280]))
@pytest.mark.parametrize("which", tiered(["made", "compared"], ["made"]))
@pytest.mark.thorough
def test_it_opens_alone_and_fits(which, width, chromium, request):
    with opened(chromium, request.getfixturevalue(which), width) as tab:
        charts = tab.locator("[data-chart]")
        assert charts.count() == tab.locator("[data-chart] svg").count() >= 8
        assert tab.evaluate("document.documentElement.scrollWidth") == width
        broken = "[...document.images].filter((each) => each.complete && !each.naturalWidth).length"
        assert tab.evaluate(broken) == 0


@pytest.mark.parametrize("which", ["made", "compared"])
def test_names_are_text_and_run_nothing(which, chromium, request):
    with opened(chromium, request.getfixturevalue(which)) as tab:
        assert tab.evaluate("window.hacked") is None
        assert tab.evaluate("document.scripts.length") == 3
        said = tab.inner_text("main")
        assert FOLDER in said and OTHER in said and CLASS in said
        assert tab.evaluate("document.querySelector('img[onerror], img[src=x]')") is None


@pytest.mark.thorough
def test_a_script_that_got_into_the_page_would_not_run(chromium, made):
    with opened(chromium, made, complaint="Content Security Policy") as tab:
        source = tab.locator(".shots img").first.get_attribute("src")
        tab.evaluate(
            "html => document.body.insertAdjacentHTML('beforeend', html)",
            f"<img src={source} onload=hacked=1><script>hacked=1</script>",
        )
        tab.wait_for_timeout(100)
        assert tab.evaluate("window.hacked") is None


def shown(tab):
    """The data of the images that are visible."""
    return tab.evaluate(
        "[...document.querySelectorAll('[data-shots=run-0] li:not([hidden])')].map((each) => "
        "({...each.dataset, right: each.dataset.right !== undefined}))"
    )


@pytest.mark.thorough
def test_the_filter_filters(chromium, made, evaluation):
    with opened(chromium, made) as tab:
        form = tab.locator("form[data-gallery=run-0]")
        assert shown(tab) and not any(each["right"] for each in shown(tab))
        form.get_by_label("Right", exact=True).check()
        assert all(each["right"] for each in shown(tab))
        form.get_by_label("True class").select_option("3")
        right = evaluation["confusion"][3][3]
        assert {each["true"] for each in shown(tab)} == {"3"} and len(shown(tab)) <= right
        assert f"of the {right} right images" in tab.inner_text("[data-status=run-0]")
        form.get_by_label("Predicted class").select_option("4")
        assert shown(tab) == [] and tab.inner_text("[data-status=run-0]").startswith("0 shown")
        form.get_by_role("button", name="Reset").click()
        form.get_by_label("All", exact=True).check()
        confidences = [float(each["confidence"]) for each in shown(tab)]
        middle = round(100 * confidences[len(confidences) // 2])
        form.locator("[name=from]").fill(str(middle))
        assert form.locator("[name=from-words]").inner_text() == f"{middle} %"
        assert all(float(each["confidence"]) >= middle / 100 for each in shown(tab))
        assert len(shown(tab)) > 0


@pytest.mark.thorough
def test_a_keyboard_is_enough(chromium, made, evaluation):
    with opened(chromium, made) as tab:
        tab.keyboard.press("Tab")
        assert tab.evaluate("document.activeElement.className") == "skip"
        tab.locator("form input[value=wrong]").focus()
        tab.keyboard.press("ArrowRight")
        assert shown(tab) and all(each["right"] for each in shown(tab))
        pair = evaluation["confused_pairs"][0]
        tab.locator(".pairs button").first.focus()
        tab.keyboard.press("Enter")
        tab.wait_for_timeout(50)
        pairs = {(int(each["true"]), int(each["predicted"])) for each in shown(tab)}
        assert pairs == {(pair["true"], pair["predicted"])}


@pytest.mark.thorough
def test_hovering_tells_counts_and_a_click_shows_the_images(chromium, made, evaluation):
    pair = evaluation["confused_pairs"][0]
    total = sum(evaluation["confusion"][pair["true"]])
    with opened(chromium, made) as tab:
        cells = tab.locator("[data-chart=run-0-confusion] .mark-rect path")
        assert cells.count() == 100
        cell = cells.nth(10 * pair["true"] + pair["predicted"])
        cell.hover(force=True)  # a number lies over it
        tip = tab.locator("#vg-tooltip-element.visible")
        tip.wait_for()
        said = tip.inner_text()
        assert f"{pair['images']:,} of {total:,}" in said
        assert f"{100 * pair['fraction']:.2f}%" in said
        cell.click(force=True)
        tab.wait_for_timeout(50)
        pairs = {(int(each["true"]), int(each["predicted"])) for each in shown(tab)}
        assert pairs == {(pair["true"], pair["predicted"])}


@pytest.mark.thorough
@pytest.mark.parametrize("chart", ["loss", "accuracy", "learning_rate", "classes", "calibration"])
def test_hovering_over_a_chart_tells_its_figures(chart, drawn):
    tip = drawn.locator("#vg-tooltip-element.visible")
    marks = drawn.locator(f"[data-chart=run-0-{chart}] .mark-symbol.role-mark path")
    drawn.mouse.move(0, 0)
    marks.last.hover(force=True)
    tip.wait_for()
    said = tip.inner_text()
    assert re.search(r"\d", said) and "undefined" not in said and "NaN" not in said


@pytest.mark.thorough
def test_a_histogram_of_scores_has_its_bins_and_its_threshold(drawn):
    place = drawn.locator("[data-chart=run-0-ood-0-histogram-0]")
    assert (
        place.locator(".mark-rect.role-mark path").count() == 2 * 2
    )  # and an unseen one for each, to hover
    assert place.locator(".mark-rule.role-mark line").count() == 1
    place.locator(".mark-rect path").last.hover(force=True)
    tip = drawn.locator("#vg-tooltip-element.visible")
    tip.wait_for()
    assert "75.00" in tip.inner_text()  # of the own images, in the second bin


def light(tab):
    """Whether the page's background is light."""
    colour = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    return min(map(int, re.findall(r"\d+", colour)[:3])) > 200


@pytest.mark.thorough
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_theme_follows_the_system_until_the_button_is_pressed(scheme, chromium, made):
    with opened(chromium, made, color_scheme=scheme) as tab:
        assert light(tab) == (scheme == "light")
        ink = "getComputedStyle(document.querySelector('[data-chart] .role-axis-label text')).fill"
        before = tab.evaluate(ink)
        tab.locator("#theme").focus()
        tab.keyboard.press("Enter")
        assert light(tab) == (scheme == "dark")
        assert tab.evaluate(ink) != before  # the charts change with the page
        tab.emulate_media(media="print")
        assert light(tab) and not tab.locator("#theme").is_visible()


@pytest.mark.thorough
def test_a_comparison_shows_both(chromium, run, compared):
    with opened(chromium, compared) as tab:
        said = tab.inner_text("#compare")
        assert "McNemar" in said and FOLDER in said and "copy" in said
        assert "No field that affects the result" in said
        assert tab.locator("article.run").count() == 2
