"""The report page as a file."""

import dataclasses
import json
import re
from html import unescape

import numpy as np
import pytest
from hostile import FOLDER, hostile_classes

from cifar_jax import report, trained
from cifar_jax.analysis import result
from cifar_jax.analysis.report import collect, page


@pytest.mark.thorough
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


@pytest.mark.thorough
def test_a_stored_evaluation_is_used_unless_it_is_of_another_checkpoint(own_pages, capsys):
    run, out = own_pages / FOLDER, ("--out", str(own_pages / "again.html"))
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


def test_a_stored_evaluation_that_was_shortened_is_completed_from_its_predictions(own_pages):
    """All but what was measured follows from the predictions."""
    folder = own_pages / FOLDER / "evaluation" / "test_best"
    opened = trained.open_run(str(own_pages / FOLDER))
    data, whole = trained.split(opened, "test"), (folder / "evaluation.json").read_text()
    expected = json.loads(whole) | {"speed": None}
    short = {key: expected[key] for key in ("format", "step", "split", "dataset")}
    (folder / "evaluation.json").write_text(json.dumps(short | {"accuracy": 2}))
    completed, _ = collect.stored(folder, opened, "test", data)
    changed = {key for key in expected if json.loads(json.dumps(completed[key])) != expected[key]}
    # Names; and the folder, of which this is a copy.
    assert completed.keys() == expected.keys() and changed <= {"dataset", "per_class", "workdir"}


def test_results_of_other_commands_that_are_missing_or_damaged(own_pages, compared):
    html = compared.read_text(encoding="utf-8")
    assert "python -m cifar_jax.gradcam --workdir" in html
    assert "python -m cifar_jax.ood --workdir" in html
    copy = own_pages / "copy"
    (copy / "gradcam.npz").write_bytes(b"no archive")
    (copy / "ood.json").write_text('{"results": []}')
    collected = collect.collect("copy", copy, "test")
    assert [file for file, _ in collected.unreadable] == ["gradcam.npz", "ood.json"]
    assert not collected.gradcams and not collected.detections
    assert b"read:" in page.render([collected])


def test_what_is_refused(run, tmp_path, capsys):
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


@pytest.mark.thorough
def test_runs_of_different_data_are_shown_without_a_test(run):
    collected = collect.collect("run", run, "test")
    dataset = collected.evaluation["dataset"] | {"fingerprint": "0" * 64}
    config = collected.evaluation["config"] | {"batch_size": 7}
    changed = collected.evaluation | {"dataset": dataset, "config": config}
    other = dataclasses.replace(collected, name="other", evaluation=changed)
    text = unescape(re.sub("<[^>]*>", " ", page.render([collected, other]).decode()))
    assert "needs the same images, but run and other are of different data" in text
    assert re.search(r"batch_size\s+64\s+7\s", text)


def test_a_run_that_was_interrupted_has_a_page_too(run):
    collected = collect.collect("run", run, "test")
    html = page.render([dataclasses.replace(collected, summary={}, rows=[])], images=0).decode()
    assert "no metrics.jsonl with curves" in html and "no summary.json" in html
    assert "Embedded: 0 of " in html and "<img" not in html.partition("Grad-CAM</h3>")[0]


@pytest.mark.parametrize("num_classes", [3, 100])
def test_a_page_of_few_and_of_many_classes(num_classes, run):
    """A hundred classes have a matrix without numbers and a table of the most confused pairs."""
    collected = collect.collect("run", run, "test")
    labels = np.arange(300, dtype=np.int32) % num_classes
    logits = np.random.default_rng(0).normal(size=(300, num_classes)).astype(np.float32)
    names = [f"class {i}" for i in range(num_classes)]
    described = collected.evaluation | result.describe(labels, logits, names)
    described["dataset"] = described["dataset"] | {"class_names": names}
    predictions = {"index": np.arange(300), "label": labels, "logits": logits}
    other = dataclasses.replace(
        collected, evaluation=described, predictions=predictions, gradcams=[], detections=[]
    )
    html = page.render([other]).decode()
    assert ("of the most confused pairs" in html) == (num_classes == 100)
    assert len(html) < 2_500_000


def test_maps_of_other_classes_are_refused(own_pages):
    run = own_pages / FOLDER
    opened = trained.open_run(str(run))
    path = opened.workdir / "gradcam" / "gradcam.npz"
    with np.load(path) as file:
        arrays = dict(file)
    cam = collect.read_gradcam(path, opened)
    np.testing.assert_array_equal(cam.images, arrays["images"])
    assert cam.count == 2 and cam.layer == "conv2_relu" and cam.sources[0] == "test 3"
    np.savez(path, **arrays | {"class": np.array([1, 10])})
    with pytest.raises(ValueError, match="classes that digits does not have"):
        collect.read_gradcam(path, opened)
