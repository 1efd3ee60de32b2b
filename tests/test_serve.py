"""The page to try a model in: its answers, what it refuses, many at once, and in a real browser."""

import concurrent.futures
import contextlib
import io
import json
import threading
import urllib.error
import urllib.request

import numpy as np
import pytest
from PIL import Image

from cifar_jax import serve, trained
from cifar_jax.analysis.ood.scores import energy

uvicorn = pytest.importorskip("uvicorn")

from cifar_jax.analysis.serving import answering, application  # noqa: E402
from cifar_jax.data import image_files  # noqa: E402


@pytest.fixture(scope="module")
def model(run):
    return answering.make_model(run, answering.find_limit(run))


@pytest.fixture(scope="module")
def url(model):
    """Of the page, on a free port of this machine."""
    with serve.listen(0) as opened:
        settings = uvicorn.Config(application.make_application(model), log_level="warning")
        server = uvicorn.Server(settings)
        thread = threading.Thread(target=server.run, args=([opened],))
        thread.start()
        yield "http://{}:{}".format(*opened.getsockname())
        server.should_exit = True
        thread.join()


def ask(url, content, headers=None):
    """(status, answer) to what is sent."""
    headers = {"Content-Type": application.SENT_AS} | (headers or {})
    request = urllib.request.Request(f"{url}/answer", content, headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with contextlib.suppress(ValueError):
            return error.code, json.load(error)
        return error.code, None


def png(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def test_it_answers_as_predict_does(url, model, run):
    image = trained.split(run, "test")[0][0]
    status, answer = ask(url, png(image))
    assert status == 200
    logits = trained.logits(run, image[None], 1)
    shares = np.exp(logits[0] - logits[0].max())
    shares /= shares.sum()
    best = np.argsort(-shares)[:3]
    assert [each["class"] for each in answer["classes"]] == [str(k) for k in best]
    np.testing.assert_allclose(
        [each["confidence"] for each in answer["classes"]], shares[best], rtol=1e-4
    )
    np.testing.assert_allclose(answer["energy"], energy(logits)[0], rtol=1e-5)
    assert answer["unlike"] == (answer["energy"] < model.limit.threshold)
    assert answer["image"].startswith("data:image/png;base64,") != answer["map"]


def test_the_limit_lets_nineteen_of_twenty_validation_images_pass(model, run):
    images, _, _ = trained.split(run, "validation")
    reached = energy(trained.logits(run, images)) >= model.limit.threshold
    assert abs(reached.mean() - 0.95) <= 1 / len(images)
    tested = energy(trained.logits(run, trained.split(run, "test")[0]))
    assert model.limit.false_alarms == np.mean(tested < model.limit.threshold)


@pytest.mark.parametrize(
    ("content", "headers", "status", "said"),
    [
        (b"no picture", {}, 422, "can't be read as a picture (damaged, or no picture)"),
        (b"", {}, 422, "can't be read as a picture"),
        (b"\x89PNG\r\n\x1a\n", {"Content-Type": "text/plain"}, 415, "send the bytes of a picture"),
        (b"", {"Content-Length": str(image_files.MAX_BYTES + 1)}, 413, "over 200 MB"),
        (b"", {"Host": "example.org"}, 400, None),
    ],
)
def test_what_it_refuses(url, content, headers, status, said):
    code, answer = ask(url, content, headers)
    assert code == status
    if said:
        assert said in answer["error"] and "/tmp" not in answer["error"]


def test_what_is_sent_without_a_length_ends_at_the_limit(url, monkeypatch):
    monkeypatch.setattr(image_files, "MAX_BYTES", 10_000_000)
    sent = 0

    def parts():
        nonlocal sent
        for _ in range(1000):
            sent += 1_000_000
            yield bytes(1_000_000)

    with contextlib.suppress(urllib.error.URLError, ConnectionError):  # the server hangs up
        assert ask(url, parts())[0] == 413
    assert sent < 500_000_000
    assert ask(url, png(np.zeros((8, 8, 3), np.uint8)))[0] == 200


def test_ten_at_once(url, run):
    images = trained.split(run, "test")[0][:10]
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda image: ask(url, png(image)), images))
    alone = [ask(url, png(image)) for image in images]
    assert answers == alone and all(status == 200 for status, _ in answers)


def test_without_the_data_set(run):
    unknown = answering.make_model(run)
    answer = answering.answer(unknown, np.zeros(run.image_shape, np.uint8))
    assert answer["unlike"] is None
    assert "can't be said" in application.render(unknown)


def test_a_taken_port_is_one_line(capsys):
    with serve.listen(0) as opened:
        port = str(opened.getsockname()[1])
        assert serve.main(["--workdir", "unused", "--port", port]) == 2
    assert f"port {port} can't be had (Address already in use)" in capsys.readouterr().err
    assert serve.main(["--workdir", "unused", "--port", "70000"]) == 2


def test_a_missing_package_is_one_line(capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "uvicorn", None)
    assert serve.main(["--workdir", "unused"]) == 2
    assert "pip install 'cifar_jax[serve]'" in capsys.readouterr().err


@pytest.mark.parametrize("width", [1280, pytest.param(390, marks=pytest.mark.thorough)])
def test_in_a_browser(chromium, url, run, width, tmp_path):
    picture, wrong = tmp_path / "seven.png", tmp_path / "words.txt"
    picture.write_bytes(png(trained.split(run, "test")[0][0]))
    wrong.write_text("no picture")
    tab = chromium.new_page(viewport={"width": width, "height": 900})
    complaints = []
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.goto(url)
    tab.wait_for_selector("html[data-ready]")
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.id") == "picture"
    tab.set_input_files("#picture", picture)
    tab.wait_for_selector("#answer:not([hidden])")
    assert tab.locator("#classes li").count() == 3
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    assert "seven.png: " in tab.inner_text("#status")
    tab.set_input_files("#picture", wrong)
    tab.wait_for_selector("#answer", state="hidden")
    assert "words.txt: can't be read as a picture" in tab.inner_text("#status")
    drop_or_paste = """async (kind) => {
      const canvas = Object.assign(document.createElement("canvas"), { width: 40, height: 40 });
      canvas.getContext("2d").fillRect(0, 0, 20, 40);
      const blob = await new Promise((done) => canvas.toBlob(done));
      const data = new DataTransfer();
      data.items.add(new File([blob], `${kind}.png`));
      const options = { bubbles: true, cancelable: true, dataTransfer: data, clipboardData: data };
      document.dispatchEvent(kind === "paste" ? new ClipboardEvent(kind, options) : new DragEvent(kind, options));
    }"""
    for kind in ("drop", "paste"):
        tab.evaluate(drop_or_paste, kind)
        tab.wait_for_selector(f"#status:has-text('{kind}.png: ')")
    assert complaints == []
    tab.close()
