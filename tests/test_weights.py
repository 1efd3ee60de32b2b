"""Files of weights: what is read, what is refused, and the command line."""

import os

import jax
import ml_dtypes
import numpy as np
import pytest
from command_line import run_module
from safetensors.numpy import save_file

from cifar_jax import models, train, trained, weights
from cifar_jax.errors import UserError
from cifar_jax.models import weight_files


def state_dict(name="basic_net"):
    rng = np.random.default_rng(0)
    shapes = models.registry.shapes(name)
    variables = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), shapes)
    return models.to_torch(name, variables)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_written_files_are_read_again(suffix, tmp_path):
    arrays = state_dict()
    weight_files.write(tmp_path / f"w{suffix}", arrays)
    contents = weight_files.read(tmp_path / f"w{suffix}")
    assert contents.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(contents[name], array)
    assert [path.name for path in tmp_path.iterdir()] == [f"w{suffix}"]


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_arrays_are_written_as_they_read_not_as_they_lie(suffix, tmp_path):
    """safetensors 0.8 writes an array's memory, whatever its strides."""
    whole = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    arrays = {
        **{"transposed": whole.T, "sliced": whole[:, ::2], "reversed": whole[::-1]},
        **{"fortran": np.asfortranarray(whole), "broadcast": np.broadcast_to(whole[0], (5, 3, 4))},
        **{"big_endian": whole.astype(">f4"), "half": whole.astype(np.float16).T},
        **{
            "brain": whole.astype(ml_dtypes.bfloat16).T,
            "scalar": np.array(7, np.float32),
            "none": whole[:0],
        },
    }
    weight_files.write(tmp_path / f"w{suffix}", arrays)
    contents = weight_files.read(tmp_path / f"w{suffix}")
    assert contents.keys() == arrays.keys()
    for name, array in arrays.items():
        assert contents[name].shape == array.shape, name
        np.testing.assert_array_equal(np.float32(contents[name]), np.float32(array), err_msg=name)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    arrays = state_dict()
    arrays["conv2.weight"][0, 0, 0, 0] = np.nan
    weight_files.write(tmp_path / "w.npz", arrays)
    with pytest.raises(UserError, match="w.npz: conv2.weight has values that are NaN"):
        weight_files.load(tmp_path / "w.npz", "basic_net")


def test_bfloat16_becomes_float32(tmp_path):
    arrays = {key: value.astype(ml_dtypes.bfloat16) for key, value in state_dict().items()}
    save_file(arrays, tmp_path / "w.safetensors")
    variables = weight_files.load(tmp_path / "w.safetensors", "basic_net")
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype(np.float32)}


def test_pickles_are_not_opened(tmp_path):
    """Neither a .pt file nor objects inside a .npz."""
    with pytest.raises(UserError, match="safetensors.torch.save_file"):
        weight_files.read(tmp_path / "w.pt")
    np.savez(tmp_path / "w.npz", a=np.array([{}], dtype=object))
    with pytest.raises(UserError, match="can't be read"):
        weight_files.read(tmp_path / "w.npz")


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_damaged_files(suffix, tmp_path):
    path = tmp_path / f"w{suffix}"
    weight_files.write(path, state_dict())
    whole = path.read_bytes()
    for damaged in (b"", b"nothing of the kind", whole[:1000], whole[: len(whole) - 10]):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="can't be read"):
            weight_files.read(path)


def test_wrong_paths(tmp_path):
    with pytest.raises(UserError, match="no file of weights"):
        weight_files.read(tmp_path / "none.npz")
    with pytest.raises(UserError, match="neither"):
        weight_files.read(tmp_path / "w.h5")


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_where_nothing_can_be_written(suffix, tmp_path):
    (tmp_path / "file").write_text("")
    for folder in ("none", "file"):
        with pytest.raises(UserError, match="can't write .*(No such file|Not a directory)"):
            weight_files.write(tmp_path / folder / f"w{suffix}", state_dict())
    (tmp_path / f"w{suffix}").mkdir()
    with pytest.raises(UserError, match="can't write .*Is a directory"):
        weight_files.write(tmp_path / f"w{suffix}", state_dict())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", f"w{suffix}"]


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_folder_whose_name_is_no_text(suffix, tmp_path):
    path = tmp_path / os.fsdecode(b"\xff") / f"w{suffix}"
    path.parent.mkdir()
    weight_files.write(path, state_dict())
    assert weight_files.read(path).keys() == state_dict().keys()


@pytest.mark.thorough
def test_command_line_renames(tmp_path):
    source, target = tmp_path / "kuangliu.safetensors", tmp_path / "torchvision.npz"
    arrays = state_dict("resnet10")
    save_file({key: np.ascontiguousarray(value) for key, value in arrays.items()}, source)
    options = ("--model", "resnet10", "--source", source, "--target", target)
    process = run_module("weights", *options, "--names", "torchvision")
    assert process.returncode == 0, process.stderr
    assert "4,909,002 numbers" in process.stdout  # Parameters and the statistics beside them.
    renamed = weight_files.read(target)
    np.testing.assert_array_equal(renamed["fc.weight"], arrays["linear.weight"])

    process = run_module("weights", "--model", "resnet18", "--source", source, "--target", target)
    assert process.returncode == 2 and "layer1.1.conv1.weight" in process.stderr
    assert "Traceback" not in process.stderr
    assert run_module("weights", "--target", target).returncode == 2


@pytest.mark.thorough
def test_out_of_a_run_and_into_another(quick_config, tmp_path):
    """A run that starts from another's weights, with a learning rate of 0, ends with them."""
    first, second, target = tmp_path / "first", tmp_path / "second", tmp_path / "first.npz"
    summary = train.train_and_evaluate(quick_config, first)
    assert weights.main(["--workdir", str(first), "--target", str(target)]) == 0
    quick_config.update({"seed": 1, "total_epochs": 1})
    quick_config.model.weights = str(target)
    quick_config.optimizer.learning_rate = 0.0
    again = train.train_and_evaluate(quick_config, second)
    assert again["test_accuracy"] == summary["test_accuracy"]
    variables = trained.open_model(second, "last").variables
    expected = weight_files.load(target, "basic_net")
    for ours, theirs in zip(*map(jax.tree.leaves, (variables, expected)), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(UserError, match=r"no checkpoint 7; there are: \d+"):
        trained.open_model(second, 7)


def test_runs_that_are_none(tmp_path, capsys):
    assert weights.main(["--workdir", str(tmp_path), "--target", str(tmp_path / "w.npz")]) == 2
    assert "no workdir of a run" in capsys.readouterr().err
    (tmp_path / "checkpoints").mkdir()
    options = ["--workdir", str(tmp_path), "--target", str(tmp_path / "w.npz"), "--checkpoint"]
    assert weights.main([*options, "last"]) == 2
    assert "there are: none" in capsys.readouterr().err
    assert weights.main([*options, "worst"]) == 2
    assert "best, last or a step" in capsys.readouterr().err


def test_wrong_weights_stop_a_run_before_it_makes_a_workdir(quick_config, tmp_path):
    weight_files.write(tmp_path / "w.npz", state_dict("origin_net"))
    quick_config.model.weights = str(tmp_path / "w.npz")
    with pytest.raises(UserError, match="missing: |conv1.weight has shape"):
        train.train_and_evaluate(quick_config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
