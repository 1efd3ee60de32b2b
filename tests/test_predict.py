"""python -m cifar_jax.predict."""

import collections
import errno
import json
import os
import re

import jax
import numpy as np
import pytest
from command_line import run_module
from PIL import Image
from rich.cells import cell_len
from scipy import special

from cifar_jax import data, predict, trained
from cifar_jax.data import image_files
from cifar_jax.errors import DataError, UserError
from cifar_jax.trained import prediction


@pytest.fixture(scope="module")
def pictures(run, tmp_path_factory):
    """A folder with the first 70 test images, in the order of their names."""
    folder = tmp_path_factory.mktemp("pictures")
    for i, image in enumerate(run.dataset.split("test")[0][:70]):
        Image.fromarray(image).save(folder / f"{i:02}.png")
    return folder


@pytest.fixture
def call(workdir, capsys):
    """A command line -> its exit code, what it prints, its errors line by line."""

    def call(*arguments):
        code = predict.main(["--workdir", str(workdir), *map(str, arguments)])
        printed, errors = capsys.readouterr()
        return code, printed, errors.splitlines()

    return call


def expected(run, count):
    """The softmax of the run's own evaluation of the first test images."""
    return special.softmax(trained.logits(run, run.dataset.split("test")[0][:count]), axis=1)


@pytest.mark.thorough
def test_as_a_user_types_it(workdir, run, pictures):
    """Into a pipe: a line for each file, the surest class first."""
    done = run_module("predict", "--workdir", workdir, pictures / "03.png", pictures / "01.png")
    assert done.returncode == 0 and not done.stderr, done.stderr
    for line, number in zip(done.stdout.splitlines(), (3, 1), strict=True):
        file, *cells = line.split("\t")
        assert file == str(pictures / f"{number:02}.png") and len(cells) == 6
        confidences = expected(run, 4)[number]
        assert list(map(int, cells[::2])) == list(np.argsort(-confidences)[:3])
        np.testing.assert_allclose(
            list(map(float, cells[1::2])), np.sort(confidences)[:-4:-1], atol=1e-4
        )


@pytest.mark.thorough
def test_a_folder_as_json(call, run, pictures):
    """More files than a step has: in order, all steps of one size."""
    code, printed, errors = call("--json", "--top", "10", pictures)
    assert code == 0 and not errors
    answers = json.loads(printed)
    assert [each["file"] for each in answers] == [str(pictures / f"{i:02}.png") for i in range(70)]
    by_class = [{p["class"]: p["confidence"] for p in each["predictions"]} for each in answers]
    confidences = [[each[str(k)] for k in range(10)] for each in by_class]
    np.testing.assert_allclose(confidences, expected(run, 70), atol=1e-6)
    np.testing.assert_allclose(np.sum(confidences, axis=1), 1, atol=1e-6)


@pytest.mark.thorough
def test_programs_are_of_few_sizes(run, pictures, monkeypatch):
    sizes, logits = [], trained.logits

    def noted(run, images, batch_size):
        assert len(images) == batch_size
        sizes.append(batch_size)
        return logits(run, images, batch_size)

    monkeypatch.setattr(trained, "logits", noted)
    assert len(list(prediction.predict(run, [pictures]))) == 70
    list(prediction.predict(run, [pictures / "00.png"]))
    list(prediction.predict(run, [pictures / f"{i:02}.png" for i in range(3)]))
    assert sizes == [64, 64, 1, 8]


def test_the_data_set_is_not_needed(call, run, pictures, monkeypatch):
    def gone(*arguments):
        raise DataError("the data set is gone")

    monkeypatch.setattr(data, "load", gone)
    with pytest.raises(DataError):
        trained.open_run(run.workdir)
    model = trained.open_model(run.workdir)
    assert model.dataset.facts() == run.dataset.facts()
    assert model.dataset.fingerprint == run.dataset.fingerprint
    assert (model.step, model.checkpoint) == (run.step, run.checkpoint)
    with pytest.raises(UserError, match="were not opened"):
        trained.split(model, "test")
    assert call(pictures / "00.png")[0] == 0


def test_what_can_not_be_read_is_a_line_and_the_others_are_done(call, run, pictures, tmp_path):
    """Strange names among them, which neither move the cursor nor fake lines."""
    folder = tmp_path / "strange"
    (folder / "deeper").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    good = (pictures / "00.png").read_bytes()
    (folder / "a.PNG").write_bytes(good)
    (folder / "b\x1b[2J\nerror: c.png").write_bytes(b"text")
    (folder / "deeper" / "d\u202e.png").write_bytes(good)
    os.mkfifo(folder / "e.png")
    (folder / "f.png").symlink_to("nothing")
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_text("no picture")
    header = b"P6 50000 50000 255\n"
    (folder / "g.ppm").write_bytes(header)
    arguments = (
        tmp_path / "none.png",
        folder,
        tmp_path / "empty",
        "/dev/zero",
        pictures / "01.png",
    )

    code, printed, errors = call("--json", *arguments)
    assert code == 1
    answers = json.loads(printed)
    names = [os.path.relpath(each["file"], folder) for each in answers]
    strange = ["a.PNG", "b\x1b[2J\nerror: c.png", "deeper/d\u202e.png", "e.png", "f.png", "g.ppm"]
    assert names[1:7] == strange and len(names) == 10
    assert [i for i, each in enumerate(answers) if "error" not in each] == [1, 3, 9]
    for i in (1, 3):
        first = max(answers[i]["predictions"], key=lambda each: each["confidence"])
        assert first["class"] == str(expected(run, 1).argmax())
    reasons = ("there is no such file", "damaged, or no picture", "a pipe", "a link to nothing",
               "more than 50 million", "a folder without pictures", "a device")  # fmt: skip
    note, *errors = errors
    assert note == f"note: {folder}: 2 left out (1 .txt, 1 hidden)"
    assert len(errors) == 7
    for line, reason in zip(errors, reasons, strict=True):
        assert line.startswith("error: /") and reason in line and line.isprintable()

    code, printed, errors = call(*arguments)
    assert code == 1 and len(errors) == 8
    assert len(printed.splitlines()) == 3 and "\\u202e" in printed and "\x1b" not in printed


def test_what_was_left_out_is_one_short_line():
    kinds = {".txt": 5, ".mov": 4, "hidden": 3, f".{'x' * 90}": 2, ".a": 1, ".b": 1}
    said = image_files.said_of(collections.Counter(kinds))
    assert said == f"16 left out (5 .txt, 4 .mov, 3 hidden, 2 .{'x' * 19}, 2 other)"


def test_nothing_that_can_be_read(call, tmp_path):
    assert call("--json", tmp_path)[:2] == (1, json.dumps(
        [{"file": str(tmp_path), "error": call(tmp_path)[2][0].split(": ", 2)[2]}], indent=1
    ) + "\n")  # fmt: skip


def test_what_may_not_be_read(call, pictures, monkeypatch):
    """As the system says it; a test that root runs can't take root's own rights away."""

    def refuse(path, mode):
        if path.endswith("00.png"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return open(path, mode)

    monkeypatch.setattr(image_files, "open", refuse, raising=False)
    code, printed, errors = call(pictures / "00.png", pictures / "01.png")
    assert code == 1 and len(printed.splitlines()) == 1
    assert (
        len(errors) == 1 and "00.png: can't be read as a picture (Permission denied)" in errors[0]
    )


def test_a_terminal_gets_a_table(call, pictures, tmp_path, monkeypatch):
    """A name is no markup."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    name = "[red]x\x1b[0m.png"
    (tmp_path / name).write_bytes((pictures / "00.png").read_bytes())
    code, printed, errors = call(name, "none.png")
    assert code == 1 and errors == ["error: none.png: there is no such file"]
    assert "[red]x\\x1b[0m.png" in printed and printed.count("%") == 3


def test_eighty_columns_hold_a_line_for_each_file(call, pictures, tmp_path, monkeypatch):
    """Long names lose their middle, not what tells them apart; a pipe gets them whole."""
    monkeypatch.setenv("COLUMNS", "80")
    folder = tmp_path / ("holiday " * 12).strip()
    folder.mkdir()
    names = ["IMG_0001.png", "IMG_0002.png", "猫" * 30 + "_3.png"]
    for name in names:
        (folder / name).write_bytes((pictures / "00.png").read_bytes())
    assert call(folder)[1].count(f"{folder}/IMG_0001.png\t") == 1
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    lines = re.sub("\x1b\\[[0-9;]*m", "", call(folder)[1]).splitlines()
    assert len(lines) == 1 + len(names) and all(cell_len(line) <= 80 for line in lines)
    for name, line in zip(sorted(names), lines[1:], strict=True):
        assert f"{name[-6:]} " in line and "…" in line and line.startswith(str(tmp_path)[:5])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--top", "0"], "--top is 1 or more"),
        (["--checkpoint", "7"], "no checkpoint 7"),
        (["--checkpoint", "x"], "best, last or a step"),
        (["--workdir", "/nowhere"], "no workdir of a run"),
    ],
)
def test_what_can_not_be_done_is_said(call, arguments, message):
    code, printed, (error,) = call(*arguments, "a.png")
    assert code == 2 and not printed and error.startswith("error: ") and message in error


def test_a_command_line_without_files_is_refused(workdir):
    with pytest.raises(SystemExit, match="2"):
        predict.main(["--workdir", str(workdir)])


def test_answers_that_are_no_numbers_are_refused(workdir, pictures):
    run = trained.open_model(workdir)
    run.variables.update(jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), run.variables))
    with pytest.raises(UserError, match="NaN or infinity"):
        list(prediction.predict(run, [pictures / "00.png"]))


def test_equal_confidences_are_in_the_order_of_the_classes():
    classes = prediction.surest(np.array([0.25, 0.5, 0.25]), ("a", "b", "c"), 3)
    assert classes == (("b", 0.5), ("a", 0.25), ("c", 0.25))
