"""The command line of out-of-distribution detection, on a run of the digits."""

import copy
import csv
import dataclasses
import io
import json

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from scipy import special

from cifar_jax import ood, trained
from cifar_jax.analysis.ood import detect, detection, pictures, ranking
from cifar_jax.analysis.ood import figures as ood_figures
from cifar_jax.analysis.ood import results as ood_results
from cifar_jax.analysis.ood.scoring import Scorer
from cifar_jax.console import tables
from cifar_jax.data import image_files
from cifar_jax.errors import UserError

pytestmark = pytest.mark.thorough

SETS = "noise"


@pytest.fixture(scope="module")
def workdir(pair):
    return pair[0]


@pytest.fixture(scope="module")
def written(workdir, made_once):
    """(folder of the results, ood.json)."""

    def make(folder):
        options = ["--ood", SETS, "--layer", "conv2,fc2", "--count", "60", "--out", str(folder)]
        assert ood.main(["--workdir", str(workdir), *options]) == 0

    folder = made_once("ood", make)
    return folder, json.loads((folder / "ood.json").read_text())


def test_results_have_their_documented_keys(written, workdir):
    _, results = written
    assert list(results) == [
        "version", "run", "in_distribution", "options", "sets", "scores", "results", "reported",
        "figures", "histograms",
    ]  # fmt: skip
    assert results["run"]["workdir"] == str(workdir)
    assert results["run"]["model"] == "basic_net"
    own = {"name": "digits", "held_out": "validation split", "judged": "test split"}
    assert results["in_distribution"] == own
    assert results["options"]["layers"] == ["conv2", "fc2"]
    assert results["options"]["train_count"] == 1295
    assert list(results["sets"]) == ["uniform_noise", "gaussian_noise"]
    for about in results["sets"].values():
        assert (about["held_out"], about["judged"], about["note"]) == (60, 60, "")
    assert len(results["scores"]) == 7 and len(results["results"]) == 2 * 7
    for row in results["results"]:
        assert list(row) == list(ood_results.COLUMNS)
        assert row["n"] == 120 and row["threshold_from"] == "held_out"
        assert row["accuracy_low"] <= row["accuracy"] <= row["accuracy_high"]
        # Chosen on the judged images themselves, none can be better.
        assert row["accuracy_on_judged"] >= row["accuracy"]
        right = row["accepted_inside"] + 1 - row["accepted_outside"]
        assert row["accuracy"] == pytest.approx(right / 2)


def test_histograms_hold_every_judged_image(written):
    _, results = written
    histograms = results["histograms"]
    assert [(each["set"], each["score"]) for each in histograms] == [
        (row["set"], row["score"]) for row in results["results"]
    ]
    for each, row in zip(histograms, results["results"], strict=True):
        assert sum(each["inside"]) == sum(each["outside"]) == 60
        assert each["low"] <= row["threshold"] <= each["high"]


def test_csv_has_the_same_rows(written):
    folder, results = written
    with open(folder / "ood.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [list(row.values()) for row in rows] == [
        [str(value) for value in row.values()] for row in results["results"]
    ]


def test_figures_are_there(written):
    folder, results = written
    names = [*results["figures"]["histograms"].values(), *results["figures"]["samples"].values()]
    names.append(results["figures"]["extremes"])
    assert len(names) == 7 + 2 + 1
    files = {f"{name}.{suffix}" for name in names for suffix in ("png", "svg")}
    assert {path.name for path in folder.iterdir()} == files | {"ood.json", "ood.csv"}


def test_thresholds_never_see_what_is_judged(workdir, monkeypatch):
    """Every threshold is chosen on scores of other images than those that it is applied to."""
    chosen_on, judged_on = [], []
    best, accuracy_at = detection.best_threshold, detection.accuracy_at

    def choose(inside, outside):
        chosen_on.append((set(inside), set(outside), best(inside, outside)))
        return chosen_on[-1][-1]

    def judge(inside, outside, threshold):
        judged_on.append((set(inside), set(outside), threshold))
        return accuracy_at(inside, outside, threshold)

    monkeypatch.setattr(detection, "best_threshold", choose)
    monkeypatch.setattr(detection, "accuracy_at", judge)
    run = trained.open_run(workdir)
    detect.detect(Scorer(run, ["fc2"], train_count=99), ["uniform_noise"], count=50)
    honest = [judged for judged in judged_on if judged[2] == chosen_on[0][2]]
    assert len(chosen_on) == len(judged_on) == 2 * 6  # honest, then the report's way
    inside, outside, _ = honest[0]
    assert not inside & chosen_on[0][0] and not outside & chosen_on[0][1]
    assert inside == chosen_on[1][0] and outside == chosen_on[1][1]


def test_parts_of_the_run_are_what_they_are_called(workdir):
    run = trained.open_run(workdir)
    (_, held_out), (_, judged) = detect.in_distribution(run, 0)
    for images, split in ((held_out, "validation"), (judged, "test")):
        expected = trained.split(run, split)[0]
        assert sorted(map(bytes, images)) == sorted(map(bytes, expected))


def test_a_run_without_validation_halves_its_test_set(workdir, monkeypatch):
    run = trained.open_run(workdir)
    run.config.dataset.validation_fraction = 0.0
    (held_from, held_out), (judged_from, judged) = detect.in_distribution(run, 0)
    assert (held_from, len(held_out)) == ("half of the test split", 179)
    assert (judged_from, len(judged)) == ("the other half of the test split", 180)
    together = sorted(map(bytes, np.concatenate([held_out, judged])))
    assert together == sorted(map(bytes, run.dataset.split("test")[0]))


def test_the_seed_decides_everything(workdir):
    run = trained.open_run(workdir)

    def results_of(seed):
        scorer = Scorer(run, ["penultimate"], train_count=99, seed=seed)
        return detect.detect(scorer, ["constant_colour"], count=30)[0]

    assert results_of(0) == results_of(0)
    assert results_of(0)["results"] != results_of(1)["results"]


def test_a_given_threshold_is_used_for_its_layer_alone(workdir, tmp_path, capsys, monkeypatch):
    # Figures take most of the time.
    monkeypatch.setattr(ood_results.style, "save", lambda *_: None)
    options = ["--ood", "uniform_noise", "--threshold", "0.32", "--count", "30"]
    options += ["--out", str(tmp_path), "--train_count", "100"]
    assert ood.main(["--workdir", str(workdir), *options]) == 0
    results = json.loads((tmp_path / "ood.json").read_text())
    assert (
        results["options"]["layers"] == ["penultimate"] and results["options"]["train_count"] == 100
    )
    given = [row["score"] for row in results["results"] if row["threshold_from"] == "given"]
    assert given == ["mean_activation_penultimate"] and results["results"][0]["threshold"] == 0.32
    shown = capsys.readouterr().out
    *lines, folder = shown.splitlines()
    assert max(map(len, lines)) <= 100 and folder.startswith(str(tmp_path))
    assert "0.32*" in shown
    assert "99.3 % (relu_9)" in shown and "on judged" in shown


def test_layers():
    assert detect.checked_layers(None, None, "resnet18") == ["penultimate"]
    assert detect.checked_layers(None, None, "big_net_improved") == ["relu_9", "relu_10"]
    assert detect.checked_layers(None, 0.32, "big_net") == ["relu_10"]
    assert detect.checked_layers("fc1, fc2,fc1", None, "basic_net") == ["fc1", "fc2"]
    with pytest.raises(UserError, match="one layer"):
        detect.checked_layers("fc1,fc2", 0.3, "basic_net")
    with pytest.raises(UserError, match="no layer"):
        detect.checked_layers(" ,", None, "basic_net")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ood", "digits"], "'digits' is what the run was trained on"),
        (["--ood", "noise,suffled_patches"], "did you mean 'shuffled_patches'"),
        (["--ood", ","], "name OOD sets"),
        ([], "give --ood SETS, --images PATH, or both"),
        (["--images", "none.png"], "no picture can be read: none.png: there is no such file"),
        (["--images", "n.png", "o.png"], "n.png: there is no such file, nor 1 other"),
        (["--ood", "noise", "--layer", "fc4"], "no layer 'fc4'; did you mean `fc3`"),
        (["--ood", "noise", "--count", "0"], "--count must be at least 1"),
        (["--ood", "noise", "--seed", "-1"], "--seed must be at least 0"),
        (["--ood", "noise", "--train_count", "-5"], "--train_count must be at least 0"),
        (["--ood", "noise", "--threshold", "nan"], "finite"),
        (["--ood", "noise", "--layer", "fc1,fc2", "--threshold", "1"], "one layer"),
        (["--ood", "noise", "--checkpoint", "worst"], "best, last or a step"),
        (["--ood", "noise", "--out", "/dev/null/x"], "can't write to /dev/null/x"),
    ],
)
def test_bad_command_lines(workdir, options, message, capsys):
    assert ood.main(["--workdir", str(workdir), *options]) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("error: ") and message in shown.err
    assert not shown.out


def test_what_is_no_run_is_refused(tmp_path, capsys):
    assert ood.main(["--workdir", str(tmp_path), "--ood", "noise"]) == 2
    assert "no workdir of a run" in capsys.readouterr().err


def test_a_model_that_gives_no_numbers_is_refused(workdir):
    run = trained.open_run(workdir)
    run.variables["params"]["fc3"]["bias"] = np.full(10, np.nan, np.float32)
    with pytest.raises(UserError, match="not finite"):
        detect.detect(Scorer(run, ["fc2"], train_count=20), ["uniform_noise"], count=10)


# ---- Pictures of one's own


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory):
    """Nine test images, noise, a text with a picture's suffix, and what is passed over."""
    folder = tmp_path_factory.mktemp("own")
    for i, image in enumerate(run.dataset.split("test")[0][:9]):
        Image.fromarray(image).save(folder / f"{i}.png")
    noise = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    (folder / "deep").mkdir()
    Image.fromarray(noise).save(folder / "deep" / "noise.png")
    for name in ("text.png", "notes.txt", ".hidden.png"):
        (folder / name).write_text("no picture")
    (folder / "link").symlink_to(folder / "deep")
    return folder


@pytest.fixture
def sorted_of(workdir, folder, tmp_path, capsys, monkeypatch):
    """A command line -> (exit code, what it prints, its errors line by line, the lines of images.csv, the figures)."""
    drawn = {}
    monkeypatch.setattr(
        pictures.style, "save", lambda figure, _, name: drawn.update({name: figure})
    )

    def call(*options):
        options = ["--images", str(folder), "--out", str(tmp_path), *options]
        if "--workdir" not in options:
            options += ["--workdir", str(workdir)]
        code = ood.main(options)
        printed, errors = capsys.readouterr()
        with open(tmp_path / "images.csv", newline="", encoding="utf-8") as file:
            return code, printed, errors.splitlines(), list(csv.DictReader(file)), drawn

    return call


def test_own_pictures_are_sorted_and_judged(sorted_of, workdir, folder):
    """Scores are those of the images as the model sees them; thresholds those of the validation images."""
    code, printed, errors, lines, drawn = sorted_of("--layer", "fc2", "--train_count", "99")
    assert code == 1 and errors[0] == (
        f"note: {folder}: 3 left out (1 .txt, 1 hidden, 1 links to folders)"
    )
    assert len(errors) == 2 and errors[1].startswith(f"error: {folder}/text.png: can't be read")
    run = trained.open_run(workdir)
    scorer = Scorer(run, ["fc2"], train_count=99)
    paths = [each["file"] for each in lines]
    names = [f"{i}.png" for i in range(9)] + ["deep/noise.png"]
    assert sorted(paths) == sorted(str(folder / name) for name in names)
    images = np.stack([image_files.read(path) for path in paths])
    held_out = scorer(trained.split(run, "validation")[0])
    assert len(held_out) == 6
    for name, values in scorer(images).items():
        np.testing.assert_allclose([float(each[name]) for each in lines], values, rtol=1e-5)
        limit = np.quantile(held_out[name], 0.05)
        assert np.mean(held_out[name] >= limit) == pytest.approx(0.95, abs=1 / 143)
        usual = values >= limit
        assert [each[f"{name}_verdict"] == "usual" for each in lines] == usual.tolist()
    energies = [float(each["energy"]) for each in lines]
    assert energies == sorted(energies)
    assert all(each["verdict"] == each["energy_verdict"] for each in lines)
    likelihoods = special.softmax(trained.logits(run, images).astype(float), axis=1)
    assert [int(each["class"]) for each in lines] == likelihoods.argmax(1).tolist()
    np.testing.assert_allclose(
        [float(each["confidence"]) for each in lines], likelihoods.max(1), rtol=1e-5
    )

    unusual = sum(each["verdict"] == "unusual" for each in lines)
    first, _, heads, *table = printed.splitlines()
    assert first.startswith(f"Unusual: {unusual} of 10 pictures, of an energy below ")
    assert first.endswith(
        "95 % of the images reach that it is chosen on: 143 validation images of digits"
    )
    assert heads.split() == [
        "file",
        "verdict",
        "class",
        "mean",
        "softmax",
        "energy",
        "logit",
        "Mahal.",
        "neighb.",
    ]
    for line, each in zip(table, lines, strict=False):
        assert (
            each["file"][-7:] in line and line.split()[-8] == each["verdict"] and len(line) <= 100
        )
    captions = [axes.get_xlabel().splitlines() for axes in drawn["images"].axes[:10]]
    assert [name for name, *_ in captions] == [path.rpartition("/")[2] for path in paths]
    for (_, answer, verdict), each in zip(captions, lines, strict=True):
        assert answer.split()[0] == each["class"] and verdict.endswith(f": {each['verdict']}")


@pytest.mark.thorough
def test_pictures_and_sets_in_one_call(sorted_of, tmp_path):
    options = ("--ood", "uniform_noise", "--count", "20", "--train_count", "99")
    code, printed, _, lines, drawn = sorted_of(*options)
    assert code == 1 and len(lines) == 10 and "replaced: " not in printed
    assert "extremes" in drawn and "images" in drawn and (tmp_path / "ood.json").is_file()
    separating = [line for line in printed.splitlines() if "best: AUROC" in line]
    results = json.loads((tmp_path / "ood.json").read_text())
    assert separating == [ranking.said(results)]
    *_, replaced, last = sorted_of("--train_count", "99")[1].splitlines()
    assert replaced == "replaced: the pictures of an earlier call (10 pictures)"
    assert last == f"{tmp_path}: images.csv, images.png and images.svg"
    assert ood_results.earlier(tmp_path) == [
        "replaced: the detection of an earlier call (uniform_noise)"
    ]


def test_a_run_without_validation_images_takes_test_images(run, monkeypatch):
    model = dataclasses.replace(run, config=copy.deepcopy(run.config))
    model.config.dataset.validation_fraction = 0.0
    which, images = pictures._held_out(model, 0)
    assert which == "359 test images"
    assert sorted(map(bytes, images)) == sorted(map(bytes, run.dataset.split("test")[0]))


def test_the_table_and_the_sheet_are_bounded(tmp_path):
    """The rest is in the CSV."""
    count = 30
    found = pictures.Sorted(
        [f"{'deep/' * 30}{i}\x1b.png" for i in range(count)],
        np.zeros((count, 4, 4, 3), np.uint8),
        {"energy": np.arange(count, dtype=float)},
        {"energy": 3.0},
        "9 test images of x",
        ["a class of a very long name"] * count,
        np.full(count, 0.5),
    )
    shown = tables.to_rich(pictures.table(found, 100))
    console = Console(file=io.StringIO(), width=100)
    console.print(shown)
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 1 + 20 and "\x1b" not in console.file.getvalue()
    assert [line.split()[1] for line in lines[1:5]] == ["unusual"] * 3 + ["usual"]
    assert len(pictures.draw(found).axes) == 24
    assert len(pictures.rows(found)) == count


def test_the_extremes_are_the_ends_of_each_set():
    images = np.arange(20, dtype=np.uint8)[:, None, None, None].repeat(3, axis=3)
    figure = ood_figures.extremes("Energy", {"noise": (images, np.roll(np.arange(20.0), 5))})
    most, least = figure.subfigs
    assert most.get_suptitle() == "noise, most unusual of 20"
    assert [axes.get_xlabel() for axes in most.axes] == [str(i) for i in range(8)]
    assert [axes.get_xlabel() for axes in least.axes] == [str(i) for i in range(19, 11, -1)]
    assert most.axes[0].images[0].get_array()[0, 0, 0] == 5


def test_the_score_that_separates_best_is_named():
    """By the mean over all sets; those that share it are named together."""
    titles = {"a": {"title": "A"}, "b": {"title": "B"}, "c": {"title": "C"}}

    def results(**aurocs):
        rows = [
            {"set": f"set {i}", "score": score, "auroc": auroc}
            for score, each in aurocs.items()
            for i, auroc in enumerate(each)
        ]
        return {"scores": titles, "results": rows}

    said = ranking.said(results(a=(0.5, 0.6), b=(0.99, 0.71), c=(0.8, 0.8)))
    assert said == "B separates best: AUROC 85.0 %, the mean of 2 sets (71.0 to 99.0 %)"
    assert (
        ranking.said(results(a=(1.0,), b=(0.9,), c=(1.0,)))
        == "A and C separate best: AUROC 100.0 %"
    )
