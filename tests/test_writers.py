"""metrics.jsonl survives kills; TensorBoard events can be read back; training never depends on them."""

import json

import numpy as np
import pytest

from cifar_jax.runs import writers


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_resuming_drops_what_will_be_written_again(tmp_path):
    path = tmp_path / "metrics.jsonl"
    lines = writers.JsonLines(path, 0)
    for step in (10, 20, 30):
        lines.write({"step": step, "split": "train", "loss": 0.1 * step})
    lines.write({"step": 20, "split": "test", "loss": 0.5})
    lines.close()
    with path.open("a") as file:
        file.write('{"step": 40, "spl')  # cut short by a kill
    lines = writers.JsonLines(path, 20)
    lines.write({"step": 30, "split": "train", "loss": 3.0})
    lines.close()
    assert [(row["step"], row["loss"]) for row in rows(path)] == [(10, 1.0), (20, 2.0), (30, 3.0)]


@pytest.mark.thorough
def test_tensorboard_events_can_be_read(tmp_path):
    from tensorboard.backend.event_processing import event_accumulator
    from tensorboard.util.tensor_util import make_ndarray

    said = []
    events = writers.TensorBoard(tmp_path, said.append)
    events.write_scalars(5, {"train/loss": 0.25})
    events.write_images(0, {"augmented": np.full((1, 8, 16, 3), 200, np.uint8)})
    events.write_texts(0, {"parameters": "a table"})
    events.write_hparams({"seed": "0"})
    events.close()
    assert said == []
    accumulator = event_accumulator.EventAccumulator(str(tmp_path)).Reload()
    assert set(accumulator.Tags()["tensors"]) >= {"train/loss", "augmented", "parameters"}
    (scalar,) = accumulator.Tensors("train/loss")
    assert scalar.step == 5 and make_ndarray(scalar.tensor_proto) == 0.25
    hyperparameters = accumulator.SummaryMetadata("_hparams_/session_start_info")
    assert hyperparameters.plugin_data.plugin_name == "hparams"


@pytest.mark.thorough
def test_events_that_are_written_again_are_there_once(tmp_path):
    """After a kill at step 30 of a run whose last checkpoint is of step 20; and when it starts anew."""
    from tensorboard.backend.event_processing import event_accumulator

    def write(resume_step, steps):
        said = []
        events = writers.TensorBoard(tmp_path, said.append, resume_step)
        if not resume_step:
            events.write_texts(0, {"parameters": "a table"})
        for step in steps:
            events.write_scalars(step, {"train/loss": step + len(steps)})
        events.write_scalars(steps[-1], {"test/last_accuracy": 0.5})
        events.close()
        assert said == []
        accumulator = event_accumulator.EventAccumulator(str(tmp_path)).Reload()
        return {
            tag: [each.step for each in accumulator.Tensors(tag)]
            for tag in accumulator.Tags()["tensors"]
        }

    assert write(0, [10, 20])["test/last_accuracy"] == [20]
    write(0, [10, 20, 30])
    (last,) = tmp_path.glob("events*")
    with last.open("ab") as file:
        file.write(b"cut short")
    expected = {"parameters": [0], "train/loss": [10, 20, 30, 40], "test/last_accuracy": [40]}
    assert write(20, [30, 40]) == expected


def test_an_unwritable_folder_costs_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    said = []
    events = writers.TensorBoard(tmp_path / "file" / "tensorboard", said.append)
    events.write_scalars(1, {"loss": 1.0})
    events.write_scalars(2, {"loss": 1.0})
    events.close()
    assert len(said) == 1 and said[0].startswith("no TensorBoard events")
