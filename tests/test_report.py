"""The report page, as a file and in a real browser. Without a Chromium on this machine the latter are skipped."""

import base64
import contextlib
import dataclasses
import io
import json
import re
import shutil
from html import unescape

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from cifar_jax import report, train, trained
from cifar_jax.analysis import gradcam, overlays, result, scores
from cifar_jax.analysis.report import collect, page, pictures, views, words

# Names that would run if anything took them for HTML or for the end of a script.
FOLDER = "<script>hacked=1<img src=x onerror=hacked=1>"
CLASS = "</script><script>hacked=1</script>"
HISTOGRAM = {"low": 0.0, "high": 2.0, "inside": [1, 3], "outside": [4, 0]}
OTHER = "'\"><img src=x onerror=hacked=1>&amp;{{ 7 * 7 }}"


@pytest.fixture(scope="module")
def run(tmp_path_factory, module_config):
    """The folder of a run, whose name is hostile, with results of Grad-CAM and OOD detection."""
    folder = tmp_path_factory.mktemp("runs") / FOLDER
    module_config.reported.update({"value": 99.0, "metric": "test accuracy, %", "source": OTHER})
    train.train_and_evaluate(module_config, folder, Console(file=io.StringIO()))
    write_gradcam(folder / "gradcam")
    write_detection(folder / "ood")
    return folder


def write_gradcam(folder):
    folder.mkdir(parents=True)
    np.savez(
        folder / "gradcam.npz",
        **{"index": [3, -1], "class": [1, 2], "label": [1, -1], "predicted": [1, 3]},
        maps=np.arange(32, dtype=np.float32).reshape(2, 4, 4),
        **{"confidence": [0.75, 0.5], "source": ["test 3", OTHER], "layer": "conv2_relu"},
    )


def write_detection(folder):
    folder.mkdir()
    row = {"auroc": 0.91234, "fpr95": 0.25, "accuracy": 0.875, "threshold": 0.5}
    row |= {"set": OTHER, "score": "energy", "accuracy_low": 0.85, "accuracy_high": 0.9}
    found = {
        "in_distribution": {"name": "digits"},
        "sets": {OTHER: {"source": "embedded"}},
        "scores": {"energy": {"title": "Energy " + CLASS, "layer": "relu_9"}},
        "results": [row],
        "histograms": [{"set": OTHER, "score": "energy", **HISTOGRAM}],
        "reported": {"remark": "Report 004 gives " + OTHER},
    }
    (folder / "ood.json").write_text(json.dumps(found))


@contextlib.contextmanager
def hostile_classes():
    """Digits whose classes have names that would run, of a model whose speed takes no time to measure."""
    measured = {"batch": 1, "milliseconds": 2.5, "images_per_second": 400.0, "calls": 5}
    opened = trained.open_run

    def open_run(*arguments):
        found = opened(*arguments)
        names = [CLASS, OTHER, *found.dataset.class_names[2:]]
        return dataclasses.replace(
            found, dataset=dataclasses.replace(found.dataset, class_names=names)
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trained, "open_run", open_run)
        patch.setattr(result, "measure_speed", lambda *_: [measured])
        yield


@pytest.fixture(scope="module")
def made(run):
    """The page of the run, made by the command line; its evaluation was missing."""
    path = run.parent / "report.html"
    with hostile_classes():
        assert report.main([str(run), "--out", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def evaluation(run, made):
    return json.loads((run / "evaluation" / "test_best" / "evaluation.json").read_text())


@pytest.fixture(scope="module")
def compared(run, made):
    """The page of two runs, the second a copy without results of its own."""
    copy = run.parent / "copy"
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("gradcam", "ood", "evaluation"))
    path = run.parent / "compared.html"
    with hostile_classes():
        assert report.main([str(run), str(copy), "--out", str(path), "--images", "40"]) == 0
    return path


def test_the_page_is_whole_and_small(made, evaluation):
    html = made.read_text(encoding="utf-8")
    assert len(html) < 2_500_000
    outside = re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)
    assert "http" not in outside.replace("http-equiv", "")
    addresses = re.findall(r' (?:src|href)="([^"]*)', outside)
    assert all(each.startswith(("data:image/png;", "#")) for each in addresses)
    policy = unescape(re.search('Policy" content="([^"]*)', html)[1])
    assert "default-src 'none'" in policy and "eval" not in policy
    assert f"{100 * evaluation['accuracy']:.2f}" in outside
    assert "99.00" in outside and "62,006" in outside  # reported, parameters
    assert evaluation["dataset"]["fingerprint"] in outside
    assert html.count("<script") == 3  # data, Vega, ours: none of the names


def test_a_stored_evaluation_is_used_unless_it_is_of_another_checkpoint(run, made, capsys):
    out = ("--out", str(run.parent / "again.html"))
    folder = run / "evaluation" / "test_best"
    with hostile_classes():
        assert report.main([str(run), *out]) == 0
        assert "evaluating" not in capsys.readouterr().out
        stored = (folder / "evaluation.json").read_text()
        stale = json.loads(stored) | {"step": 1}
        (folder / "evaluation.json").write_text(json.dumps(stale))
        assert report.main([str(run), *out]) == 0
    assert "evaluating" in capsys.readouterr().out
    assert json.loads((folder / "evaluation.json").read_text())["step"] == json.loads(stored)["step"]  # fmt: skip
    (folder / "predictions.npz").write_bytes(b"damaged")
    opened = trained.open_run(str(run))
    assert collect.stored(folder, opened, "test", trained.split(opened, "test")) is None
    with hostile_classes():
        assert report.main([str(run), *out]) == 0


def test_a_stored_evaluation_that_was_shortened_is_completed_from_its_predictions(run, made):
    """All but what was measured follows from the predictions."""
    folder, opened = run / "evaluation" / "test_best", trained.open_run(str(run))
    data, whole = trained.split(opened, "test"), (folder / "evaluation.json").read_text()
    expected = json.loads(whole) | {"speed": None}
    short = {key: expected[key] for key in ("format", "step", "split", "dataset")}
    try:
        (folder / "evaluation.json").write_text(json.dumps(short | {"speed": [3], "accuracy": 2}))
        found, _ = collect.stored(folder, opened, "test", data)
        (folder / "evaluation.json").write_text(json.dumps(short | {"dataset": 3}))
        assert collect.stored(folder, opened, "test", data) is None
    finally:
        (folder / "evaluation.json").write_text(whole)
    changed = {key for key in expected if json.loads(json.dumps(found[key])) != expected[key]}
    assert found.keys() == expected.keys() and changed <= {"dataset", "per_class"}  # names


def test_results_of_other_commands_that_are_missing_or_damaged(run, made, compared):
    html = compared.read_text(encoding="utf-8")
    assert "python -m cifar_jax.gradcam --workdir" in html
    assert "python -m cifar_jax.ood --workdir" in html
    copy = run.parent / "copy"
    (copy / "gradcam.npz").write_bytes(b"no archive")
    (copy / "ood.json").write_text('{"results": []}')
    found = collect.collect("copy", copy, "test")
    assert [file for file, _ in found.unreadable] == ["gradcam.npz", "ood.json"]
    assert not found.gradcams and not found.detections
    assert b"read:" in page.render([found])
    (copy / "gradcam.npz").unlink()
    (copy / "ood.json").unlink()


def test_what_is_refused(run, made, tmp_path, capsys):
    def refused(*arguments):
        assert report.main([*map(str, arguments)]) == 2
        said = capsys.readouterr().err
        assert said.startswith("error: ") and said.count("\n") == 1
        return said

    assert "no workdir of a run" in refused(tmp_path / "none", "--out", tmp_path / "x.html")
    assert "is a folder" in refused(run, "--out", tmp_path)
    assert "--images is 0 to 2,000" in refused(run, "--images", "-1")
    assert "with itself" in refused(run, run)
    (tmp_path / "file").touch()
    assert "can't write to" in refused(run, "--out", tmp_path / "file" / "x.html")
    assert "no split 'all'" in refused(run, "--split", "all", "--out", tmp_path / "x.html")
    assert not (tmp_path / "x.html").exists()
    with pytest.raises(SystemExit, match="2"):
        report.main([])


def test_which_images_are_chosen():
    random = np.random.default_rng(0)
    labels = random.integers(0, 4, 500)
    predicted = np.where(random.random(500) < 0.5, labels, random.integers(0, 4, 500))
    for right in (True, False):
        found = pictures.chosen(labels, predicted, right, 24)
        assert len(set(found.tolist())) == 24
        assert ((labels[found] == predicted[found]) == right).all()
        pairs = {*zip(labels[found].tolist(), predicted[found].tolist(), strict=True)}
        assert len(pairs) == (4 if right else 12)  # each gets its turn
        np.testing.assert_array_equal(pictures.chosen(labels, predicted, right, 9), found[:9])
    none = pictures.chosen(labels, labels, False, 24)
    assert not len(none)


def test_the_gallery_keeps_to_its_limits():
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (60, 8, 8, 1), np.uint8)
    logits = random.normal(size=(60, 3)).astype(np.float32)
    predictions = {"index": np.arange(60), "label": random.integers(0, 3, 60), "logits": logits}
    shots = pictures.gallery(images, predictions, 20, 10**6)
    assert [shot.right for shot in shots].count(True) == 10 == len(shots) / 2
    confidences = [shot.confidence for shot in shots]
    assert confidences == sorted(confidences, reverse=True)
    likely = scores.probabilities(logits)
    for shot in shots:
        assert shot.confidence == likely[shot.index].max() and shot.uri == pictures.data_uri(
            images[shot.index]
        )
    size = sum(len(shot.uri) for shot in shots)
    assert 0 < len(pictures.gallery(images, predictions, 20, size // 2)) < 20
    assert pictures.gallery(images, predictions, 0, 10**6) == []


def test_a_map_is_put_over_its_image_as_in_the_figures_of_gradcam():
    maps = np.zeros((2, 2, 2), np.float32)
    maps[0, 0, 0] = 3
    image, zeros = np.full((8, 8, 3), 100, np.uint8), np.zeros(2, np.int64)
    cam = collect.GradCam(
        **{"place": "gradcam", "layer": "conv2", "images": [image, None], "size": (8, 8)},
        **{"maps": maps, "labels": zeros, "predicted": zeros, "explained": zeros},
        **{"confidence": np.ones(2), "sources": ["test 0", "a.png"], "count": 2},
    )
    over, alone = (picture(each["map"]) for each in views.gradcam(cam, ["cat"])["examples"])
    heat = np.asarray(gradcam.resized(gradcam.normalized(maps), 8, 8))
    np.testing.assert_array_equal(over, np.uint8(255 * overlays.overlay(image, heat[0])))
    np.testing.assert_array_equal(alone, np.uint8(255 * overlays.colours(heat[1])))
    assert over[0, 0].sum() > 400 > over[7, 7].sum() > alone.max()
    assert [each["empty"] for each in views.gradcam(cam, ["cat"])["examples"]] == [
        "",
        overlays.EMPTY,
    ]


def test_pictures_of_files_are_shown_with_their_maps(run, tmp_path):
    opened = trained.open_run(str(run))
    with np.load(run / "gradcam" / "gradcam.npz") as file:
        arrays = dict(file)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    path = opened.workdir / "other" / "gradcam.npz"
    path.parent.mkdir()
    np.savez(path, **arrays, images=images)
    np.testing.assert_array_equal(collect.read_gradcam(path, opened).images, images)
    np.savez(path, **arrays, images=images[:, :4])
    with pytest.raises(ValueError, match="shape"):
        collect.read_gradcam(path, opened)
    shutil.rmtree(path.parent)


def picture(uri):
    """The pixels of a data URI."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def test_words():
    assert words.value(0) == "0" and words.value(False) == "no" and words.value(None) == "none"
    assert words.value((1, 2)) == "1, 2" and words.value("") == "–"
    assert [words.duration(s) for s in (9.96, 125, 7300)] == ["10.0 s", "2 min 5 s", "2 h 1 min"]
    assert words.known({}, "x", str) == words.known({"x": float("nan")}, "x", str) == "–"


def test_runs_of_different_data_are_shown_without_a_test(run, made):
    found = collect.collect("run", run, "test")
    dataset = found.evaluation["dataset"] | {"fingerprint": "0" * 64}
    config = found.evaluation["config"] | {"batch_size": 7}
    changed = found.evaluation | {"dataset": dataset, "config": config}
    other = dataclasses.replace(found, name="other", evaluation=changed)
    text = unescape(re.sub("<[^>]*>", " ", page.render([found, other]).decode()))
    assert "needs the same images, but run and other are of different data" in text
    assert re.search(r"batch_size\s+64\s+7\s", text)


def test_a_run_that_was_interrupted_has_a_page_too(run, made):
    found = collect.collect("run", run, "test")
    html = page.render([dataclasses.replace(found, summary={}, rows=[])], images=0).decode()
    assert "no metrics.jsonl with curves" in html and "no summary.json" in html
    assert "Embedded: 0 of " in html and "<img" not in html.partition("Grad-CAM</h3>")[0]


@pytest.mark.parametrize("num_classes", [3, 100])
def test_a_page_of_few_and_of_many_classes(num_classes, run, made):
    """A hundred classes have a matrix without numbers and a table of the most confused pairs."""
    found = collect.collect("run", run, "test")
    labels = np.arange(300, dtype=np.int32) % num_classes
    logits = np.random.default_rng(0).normal(size=(300, num_classes)).astype(np.float32)
    names = [f"class {i}" for i in range(num_classes)]
    described = found.evaluation | result.describe(labels, logits, names)
    described["dataset"] = described["dataset"] | {"class_names": names}
    predictions = {"index": np.arange(300), "label": labels, "logits": logits}
    other = dataclasses.replace(
        found, evaluation=described, predictions=predictions, gradcams=[], detections=[]
    )
    html = page.render([other]).decode()
    assert ("of the most confused pairs" in html) == (num_classes == 100)
    assert len(html) < 2_500_000


# In a browser.


@pytest.fixture(scope="module")
def chromium():
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)  # fmt: skip
    if path is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


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


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("which", ["made", "compared"])
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
        found = {(int(each["true"]), int(each["predicted"])) for each in shown(tab)}
        assert found == {(pair["true"], pair["predicted"])}


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
        found = {(int(each["true"]), int(each["predicted"])) for each in shown(tab)}
        assert found == {(pair["true"], pair["predicted"])}


@pytest.mark.parametrize("chart", ["loss", "accuracy", "learning_rate", "classes", "calibration"])
def test_hovering_over_a_chart_tells_its_figures(chart, drawn):
    tip = drawn.locator("#vg-tooltip-element.visible")
    marks = drawn.locator(f"[data-chart=run-0-{chart}] .mark-symbol.role-mark path")
    drawn.mouse.move(0, 0)
    marks.last.hover(force=True)
    tip.wait_for()
    said = tip.inner_text()
    assert re.search(r"\d", said) and "undefined" not in said and "NaN" not in said


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


def test_a_comparison_shows_both(chromium, run, compared):
    with opened(chromium, compared) as tab:
        said = tab.inner_text("#compare")
        assert "McNemar" in said and FOLDER in said and "copy" in said
        assert "No field that affects the result" in said
        assert tab.locator("article.run").count() == 2
