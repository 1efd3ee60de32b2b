"""Models and more of a user's own: the plugin that docs/plugins.md shows, part by part and through every command."""

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import re
import sys
import types
from unittest import mock

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from command_line import QUICK, ROOT, run_main, run_module
from documents import code_blocks

from cifar_jax import config as config_lib
from cifar_jax import data, models, plugins
from cifar_jax.analysis import named_layers
from cifar_jax.data import registered
from cifar_jax.errors import ConfigError, DataError, UserError
from cifar_jax.machine.compilation import jit
from cifar_jax.models import own
from cifar_jax.models.ops import choice
from cifar_jax.sweep import cells, groups
from cifar_jax.train import augment, fine_tuning, losses, optimizers, policies, schedules

TEXT = "\n\n".join(code_blocks("python", "plugins"))
REGISTRIES = (
    models.REGISTRY, losses.LOSSES, schedules.SCHEDULES, optimizers.OPTIMIZERS, policies.POLICIES, registered.DATASETS,
    plugins._added,
)  # fmt: skip
# All that the plugin has, as a command line takes it.
OWN = (
    "--config.model.name=small", "--config.loss.name=squares", "--config.schedule.name=sawtooth",
    "--config.optimizer.name=signs", "--config.optimizer.options=momentum=0.8", "--config.optimizer.momentum=0",
    "--config.dataset.name=stripes", "--config.augment.policy=darker",
    "--config.optimizer.learning_rate=0.001", "--config.augment.flip=false",
)  # fmt: skip


@pytest.fixture(autouse=True)
def registries_as_they_were():
    before = [dict(each) for each in REGISTRIES]
    yield
    for each, content in zip(REGISTRIES, before, strict=True):
        each.clear()
        each.update(content)
    plugins._load_file.cache_clear()
    plugins.load_installed.cache_clear()


@pytest.fixture
def plugin(tmp_path):
    path = tmp_path / "my_models.py"
    path.write_text(TEXT)
    return path


@pytest.fixture
def loaded(plugin):
    plugins.load(plugin)


def quick(**fields):
    config = config_lib.default()
    config.update_from_flattened_dict(fields)
    return config


def test_a_name_of_ours_is_not_replaced_and_ones_own_is():
    for register, name in (
        (models.register, "resnet18"), (losses.register, "focal"), (schedules.register, "cosine"),
        (optimizers.register, "adam"), (augment.register, "randaugment"),
        (data.register, "digits"), (data.register, "cifar10"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=f"there is a .* '{name}' already"):
            register(name)(lambda num_classes: None)
    for factor in (2, 3):
        schedules.register("mine")(lambda step, plan, factor=factor: factor)
    plan = schedules.Plan(total_steps=3)
    assert float(schedules.make_schedule("mine", plan)(0)) == 3
    for name in ("a b", "", "../x", 3):
        with pytest.raises(ConfigError, match="is no name of a loss"):
            losses.register(name)(abs)


def test_a_config_takes_the_names_once_they_are_there(plugin):
    fields = {"loss.name": "squares", "schedule.name": "sawtooth", "optimizer.name": "signs"}
    for field, value in fields.items():
        with pytest.raises(ConfigError, match=f"config.{field} = '{value}'"):
            config_lib.check(quick(**{field: value}))
    plugins.load(plugin)
    config = config_lib.check(quick(**fields))
    noted = plugins.of_config(config_lib.flatten(config))
    assert {field: each["plugin"] for field, each in noted.items()} == dict.fromkeys(
        fields, str(plugin)
    )
    assert {each["sha256"] for each in noted.values()} == {
        hashlib.sha256(TEXT.encode()).hexdigest()
    }
    with pytest.raises(ConfigError, match="did you mean `squares`"):
        config_lib.check(quick(**{"loss.name": "squarse"}))


def test_two_plugins_of_one_name_are_refused_and_a_changed_file_is_said(tmp_path, capsys):
    text = "from cifar_jax.train import schedules\nschedules.register('mine')(lambda step, plan: 1)"
    first, second = tmp_path / "a.py", tmp_path / "b.py"
    for path in (first, second):
        path.write_text(text)
    plugins.load(first)
    plugins.load(f"{tmp_path}/./a.py")  # the same file
    plugins.load(first)
    with pytest.raises(
        ConfigError, match="'mine' is registered by .*a.py and by .*b.py: rename one"
    ):
        plugins.load(second)
    flat = {"schedule.name": "mine"}
    noted = plugins.of_config(flat)
    plugins.require("runs/x", noted, flat)
    assert capsys.readouterr().err == ""
    first.write_text(text + "  # changed")
    plugins.load(first)
    plugins.require("runs/x", noted, flat)
    assert (
        "note: runs/x had the schedule 'mine' of another file than this" in capsys.readouterr().err
    )


def test_what_a_record_says_of_plugins_is_believed_only_as_far_as_it_makes_sense():
    forged = {"plugin": "a.py has\nerror: forged " + "x" * 999, "sha256": []}
    for noted in (None, [], {"model.name": 3}, {"model.name": {"plugin": 3}}):
        plugins.require("runs/x", noted, {"model.name": ["x"]})
    with pytest.raises(UserError, match="--plugin a.py has error: forged") as raised:
        plugins.require("runs/x", {"model.name": forged}, {"model.name": ["x"]})
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 300


def test_a_part_of_a_function_is_its_modules_and_what_can_not_be_called_is_refused():
    schedules.register("part")(functools.partial(lambda factor, step, plan: factor, 0.5))
    assert plugins.of_config({"schedule.name": "part"})["schedule.name"]["plugin"] == __name__
    models.register("widened")(functools.partial(Map, name="m"))
    for register, given in (
        (losses.register, 3),
        (data.register, (x for x in ())),
        (schedules.register, None),
    ):
        with pytest.raises(ConfigError, match="can't be called; register a class or a function"):
            register("odd")(given)
    for given in (dict, 3):
        with pytest.raises(
            ConfigError, match="neither a Flax module's class nor a function|takes no num_classes"
        ):
            models.register("odd")(given)


def test_a_module_whose_package_raises_is_said_in_one_line(tmp_path, monkeypatch):
    (tmp_path / "raising").mkdir()
    (tmp_path / "raising/__init__.py").write_text("raise RuntimeError('not today')")
    (tmp_path / "lacking").mkdir()
    (tmp_path / "lacking/__init__.py").write_text("import no_such_dependency")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, said in (
        ("raising.sub", "raising.sub: RuntimeError: not today"),
        ("lacking.sub", "no_such_dependency"),
    ):
        with pytest.raises(ConfigError, match=said):
            plugins.load(name)


def test_a_file_is_imported_again_where_it_was_changed(tmp_path, monkeypatch):
    """Also within one second and to the same size, by which Python knows what it has compiled."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    path = tmp_path / "mine.py"
    text = (
        "from cifar_jax.train import schedules\nschedules.register('mine')(lambda step, plan: {})"
    )
    plan = schedules.Plan(total_steps=3)
    for factor in (2, 3):
        path.write_text(text.format(factor))
        plugins.load(path)
        made = schedules.SCHEDULES["mine"]
        plugins.load(path)
        assert schedules.SCHEDULES["mine"] is made and made(0, plan) == factor


def test_what_is_no_plugin_is_refused_in_one_line(tmp_path):
    (tmp_path / "wrong.py").write_text("x = (\n")
    (tmp_path / "raises.py").write_text("raise ValueError('two\\nlines')")
    (tmp_path / "text.txt").write_text("")
    (tmp_path / "kept.pyc").write_bytes(b"\0")
    for name, said in (
        ("wrong.py", "wrong.py, line 1: "),
        ("raises.py", "raises.py: ValueError: two lines"),
        ("text.txt", "its name ends with .py"),
        ("kept.pyc", "its name ends with .py"),
        ("none.py", "no plugin .*none.py: give a Python file, or a module's name"),
    ):
        with pytest.raises(UserError, match=said) as raised:
            plugins.load(tmp_path / name)
        assert "\n" not in str(raised.value)
    for name in ("no.such", "a..b", "no such"):
        with pytest.raises(UserError, match="neither such a file nor such a module"):
            plugins.load(name)


def test_an_installed_package_brings_its_own_when_a_name_is_not_ours(plugin):
    imported = []

    def load():
        imported.append(True)
        exec(compile(TEXT, "my_package/models.py", "exec"), {"__name__": "my_package.models"})

    point = types.SimpleNamespace(
        load=load, value="my_package.models", dist=types.SimpleNamespace(name="my-package")
    )
    with mock.patch.object(importlib.metadata, "entry_points", lambda group: [point]):
        models.create("resnet10")
        config_lib.check(quick(**{"loss.name": "focal"}))
        assert not imported
        assert models.count_params("small", 10) == 5_466
        config_lib.check(quick(**{"loss.name": "squares"}))
    assert len(imported) == 1
    noted = plugins.of_config({"loss.name": "squares"})
    assert noted["loss.name"]["plugin"] == "package my-package"
    del plugins._added["loss", "squares"]
    with pytest.raises(
        UserError, match="'squares', which the package my-package registers: install it"
    ):
        plugins.require("runs/x", noted, {"loss.name": "squares"})


@pytest.mark.thorough
def test_a_module_without_dtype_or_train_is_a_model(loaded):
    models.register("plain")(
        lambda num_classes: nn.Sequential([lambda x: x.mean((1, 2)), nn.Dense(num_classes)])
    )
    for name in ("small", "plain"):
        model = models.create(name, 7)
        images = jnp.ones((5, 32, 32, 3))
        variables = model.init(jax.random.key(0), images, train=False)
        rngs = {"dropout": jax.random.key(1)}
        logits, _ = model.apply(variables, images, train=True, rngs=rngs, mutable=["batch_stats"])
        assert logits.shape == (5, 7)
        with pytest.raises(ConfigError, match="takes no dtype.*leave out dtype=bfloat16"):
            models.create(name, dtype=jnp.bfloat16)
    assert (
        models.create("small", dropout=0.4).dropout == 0.4 and models.create("small").dropout == 0.1
    )
    with pytest.raises(ConfigError, match="no dropout layer"):
        models.create("plain", dropout=0.4)
    assert models.takes("small", (48, 48, 3)) and models.last_layers("small") == ("Dense_0",)


def test_a_dtype_is_heeded_and_logits_are_float32():
    @models.register("typed")
    class Typed(nn.Module):
        num_classes: int
        dtype: object = jnp.float32

        @nn.compact
        def __call__(self, x):
            return nn.Dense(self.num_classes, dtype=self.dtype)(x.reshape(len(x), -1))

    model = models.create("typed", dtype=jnp.bfloat16)
    assert model.dtype == jnp.bfloat16
    logits, variables = model.init_with_output(jax.random.key(0), jnp.ones((1, 32, 32, 3)))
    assert (
        logits.dtype == jnp.float32
        and variables["params"]["Dense_0"]["kernel"].dtype == jnp.float32
    )


class Training(nn.Module):
    num_classes: int

    @nn.compact
    def __call__(self, x, training=False):
        return nn.Dense(self.num_classes)(x.mean((1, 2)))


class FailsInTraining(nn.Module):
    num_classes: int

    @nn.compact
    def __call__(self, x, train):
        if train:
            raise NameError("no such")
        return nn.Dense(self.num_classes)(x.mean((1, 2)))


class Counts(nn.Module):
    num_classes: int

    @nn.compact
    def __call__(self, x, train):
        self.variable("counts", "n", lambda: jnp.zeros(()))
        return nn.Dense(self.num_classes)(x.mean((1, 2)))


class Map(nn.Module):
    num_classes: int

    @nn.compact
    def __call__(self, x):
        return nn.Conv(self.num_classes, (3, 3))(x)


class Fails(nn.Module):
    num_classes: int

    def __call__(self, x, size):
        return x


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (Counts, "has variables counts: a training keeps params and batch_stats"),
        (Map, "answers two images with 2 x 32 x 32 x 10 numbers, not 2 x 10"),
        (Fails, "model 'wrong': TypeError: .*size"),
        (lambda num_classes: 3, "gives int, no Flax module"),
        (Training, "Training.__call__ takes training, which nobody sets here: call it train"),
        (FailsInTraining, "model 'wrong': NameError: no such"),
    ],
)
def test_a_model_that_can_not_be_trained_is_refused_before_the_data_are_read(make, said):
    models.register("wrong")(make)
    with pytest.raises(ConfigError, match=said):
        models.check_images("wrong", (32, 32, 3))


def test_a_model_that_takes_no_number_of_classes_is_refused():
    with pytest.raises(ConfigError, match="Net takes no num_classes"):

        @models.register("fixed")
        class Net(nn.Module):
            pass


CONVOLUTIONS = {
    "same": nn.Conv(6, (3, 3)),
    "same with strides": nn.Conv(6, (3, 3), strides=2),
    "valid": nn.Conv(6, (5, 5), padding="VALID"),
    "padded unevenly": nn.Conv(6, (3, 3), padding=((2, 1), (0, 1))),
    "one number": nn.Conv(6, (3, 3), padding=1, strides=(2, 2)),
    "groups": nn.Conv(6, (3, 3), feature_group_count=2),
    "depthwise": nn.Conv(4, (3, 3), feature_group_count=4),
    "a rectangle": nn.Conv(6, (1, 3)),
    "dilated": nn.Conv(6, (3, 3), kernel_dilation=2),
    "uneven strides": nn.Conv(6, (3, 3), strides=(1, 2)),
    "reflecting": nn.Conv(6, (3, 3), padding="REFLECT"),
}


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_flaxs_convolutions_keep_their_values_and_gradients(kind):
    layer = CONVOLUTIONS[kind]
    x = jax.random.normal(jax.random.key(0), (2, 9, 8, 4))
    variables = layer.init(jax.random.key(1), x)

    def answer(variables, x):
        return jnp.sum(jnp.sin(layer.apply(variables, x)))

    def ours(variables, x):
        with nn.intercept_methods(own._as_ours):
            return answer(variables, x)

    expected, given = (
        jit(jax.value_and_grad(each, (0, 1)))(variables, x) for each in (answer, ours)
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5), given, expected
    )


def test_flaxs_convolutions_have_no_gradient_that_is_slow_in_a_loop():
    """Those of autodiff have permuted dimensions, see ops.plain.plain_conv; ours are plain convolutions."""
    layer, x = nn.Conv(32, (3, 3), strides=2), jnp.ones((128, 32, 32, 32))
    variables = layer.init(jax.random.key(1), x)

    def kinds(*interceptors):
        def loss(variables, x):
            with contextlib.ExitStack() as stack:
                for each in interceptors:
                    stack.enter_context(nn.intercept_methods(each))
                return jnp.sum(layer.apply(variables, x))

        with choice.formulations_of("cpu"):
            text = str(jax.make_jaxpr(jax.grad(loss, (0, 1)))(variables, x))
        return set(re.findall(r"lhs_spec=.*?out_spec=\(.*?\)", text.replace("\n", " ")))

    assert len(kinds()) > 1 and len(kinds(own._as_ours)) == 1


@pytest.mark.thorough
def test_flaxs_batch_norm_takes_the_statistics_of_all_devices(loaded):
    model = models.create("small", 3)
    images = jax.random.normal(jax.random.key(2), (4, 32, 32, 3))
    variables = model.init(jax.random.key(0), images, train=False)

    def updated(images):
        _, new = model.apply(
            variables,
            images,
            train=True,
            rngs={"dropout": jax.random.key(1)},
            mutable=["batch_stats"],
        )
        return new["batch_stats"]["BatchNorm_1"]["mean"]

    with choice.statistics_over("devices"):
        shares = jax.vmap(updated, axis_name="devices")(images.reshape(2, 2, 32, 32, 3))
    np.testing.assert_allclose(shares[0], updated(images), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(shares[0], shares[1], rtol=1e-6)


@pytest.mark.thorough
def test_flaxs_frozen_batch_norm_stays_as_it_is(loaded):
    model = models.create("small", 3)
    images = jax.random.normal(jax.random.key(2), (4, 32, 32, 3))
    variables = model.init(jax.random.key(0), images, train=False)
    tuning = fine_tuning.FineTuning(frozen=("BatchNorm_0",))
    with tuning.apply():
        _, new = model.apply(
            variables,
            images,
            train=True,
            rngs={"dropout": jax.random.key(1)},
            mutable=["batch_stats"],
        )
    old, new = variables["batch_stats"], new["batch_stats"]
    np.testing.assert_array_equal(new["BatchNorm_0"]["mean"], old["BatchNorm_0"]["mean"])
    assert np.any(new["BatchNorm_1"]["mean"] != old["BatchNorm_1"]["mean"])


def test_dropout_is_no_layer_to_look_at(loaded):
    model = models.create("small", 3)
    variables = models.shapes("small", 3)
    names = list(named_layers.layers(model, variables, (1, 32, 32, 3)))
    assert names == ["Conv_0", "BatchNorm_0", "Conv_1", "BatchNorm_1", "Dense_0", "logits"]


def test_runs_that_differ_in_the_dropout_of_ones_own_model_are_no_one_program(loaded):
    base = config_lib.check(quick(**{"model.name": "small"}))
    sweep = cells.Sweep(
        base, cells.grid({"model.dropout": [0.1, 0.2], "optimizer.learning_rate": [0.1, 0.2]})
    )
    assert [len(each.runs) for each in groups.make_groups(cells.runs(sweep, 1))] == [2, 2]


def test_a_loss_of_ones_own_is_a_mean_with_weights_and_smoothing(loaded):
    logits, labels = jnp.array([[1.0, 2.0, 0.0], [0.5, 0.0, 3.0]]), jnp.array([1, 0])
    weights, smoothing = (1.0, 2.0, 4.0), 0.3
    softmax = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    targets = (1 - smoothing) * np.eye(3)[labels] + smoothing / 3
    each = ((softmax - targets) ** 2).sum(1)
    loss = losses.make_loss("squares", label_smoothing=True)
    np.testing.assert_allclose(loss(logits, labels, smoothing), each.mean(), rtol=1e-6)
    loss = losses.make_loss("squares", label_smoothing=True, class_weights=weights)
    expected = (each * [2, 1]).sum() / 3
    np.testing.assert_allclose(loss(logits, labels, smoothing), expected, rtol=1e-6)


def test_an_optimizer_of_ones_own_stands_under_our_schedules(loaded):
    @optimizers.register("rates_squared")
    def rates_squared(learning_rate):
        squared = (
            (lambda step: -(learning_rate(step) ** 2))
            if callable(learning_rate)
            else (lambda _: -(learning_rate**2))
        )
        return optax.scale_by_schedule(squared)

    from cifar_jax.train.hyper import make_hyper

    params, gradient = {"w": jnp.zeros(2)}, {"w": jnp.array([3.0, -0.1])}
    optimizer = optimizers.make_optimizer("signs", options={"momentum": 0.5})(make_hyper(1.0))
    direction, _ = optimizer.update(gradient, optimizer.init(params), params)
    np.testing.assert_array_equal(direction["w"], [1, -1])
    with pytest.raises(ConfigError, match="signs has no option 'b1'"):
        optimizers.make_optimizer("signs", options={"b1": 0.5})
    with pytest.raises(ConfigError, match="rates_squared uses its learning rate for more"):
        optimizers.make_optimizer("rates_squared")


def test_an_augmentation_of_ones_own_has_a_key_for_each_image(loaded):
    on = augment.Augmentation(policy="darker")
    images = jnp.full((5, 6, 6, 3), 200, jnp.uint8)
    drawn = augment.draw(jax.random.key(3), 5, (6, 6, 3), on)
    result = augment.apply_augmentation(images, drawn, on)
    keys = jax.random.split(jax.random.fold_in(jax.random.key(3), 4), 5)
    factors = [float(jax.random.uniform(key, minval=0.5)) for key in keys]
    np.testing.assert_array_equal(result[:, 0, 0, 0], np.uint8(200 * np.float32(factors)))
    part = augment.apply_augmentation(images[2:4], jax.tree.map(lambda x: x[2:4], drawn), on)
    np.testing.assert_array_equal(part, result[2:4])


def test_what_a_users_function_gives_is_looked_at():
    plan, logits, labels = schedules.Plan(total_steps=3), jnp.zeros((2, 3)), jnp.array([0, 1])
    losses.register("mean")(lambda logits, targets: jnp.mean(logits))
    losses.register("raises")(lambda logits, targets: logits.no_such)
    schedules.register("two")(lambda step, plan: [1, 2])
    augment.register("floats")(lambda key, image: image / 2)
    on, images = augment.Augmentation(policy="floats"), jnp.zeros((2, 4, 4, 3), jnp.uint8)
    for call, said in (
        (
            lambda: losses.make_loss("mean")(logits, labels),
            r"loss 'mean' gives \[\], not a cost an image, \[2\]",
        ),
        (
            lambda: losses.make_loss("raises")(logits, labels),
            "loss 'raises': AttributeError: .*no_such",
        ),
        (
            lambda: schedules.make_schedule("two", plan)(0),
            r"schedule 'two' gives \[2\] numbers, not one factor",
        ),
        (
            lambda: augment.augment(jax.random.key(0), images, on),
            r"'floats' makes of uint8 \[4, 4, 3\] float32 \[4, 4, 3\], not the same",
        ),
    ):
        with pytest.raises(ConfigError, match=said):
            call()


def test_a_data_set_of_ones_own(loaded):
    stripes = data.load("stripes", size=40)
    images, labels = stripes.split("train")
    assert (
        images.shape == (600, 40, 40, 3) and images.dtype == np.uint8 and labels.dtype == np.int32
    )
    assert stripes.sizes == {"train": 600, "test": 100} and stripes.class_names == (
        "upright",
        "across",
    )
    assert (
        stripes.fingerprint
        == data.load("stripes", size=40).fingerprint
        != data.load("stripes").fingerprint
    )


GOOD = np.zeros((4, 8, 8, 3), np.uint8), np.array([0, 1, 0, 1])
BAD_DATA = {
    "nothing": (None, "gives other things than are wanted"),
    "floats": ({"train": (GOOD[0] / 255, GOOD[1])}, "train: images are float64 4 x 8 x 8 x 3"),
    "channels first": ({"train": (GOOD[0].transpose(0, 3, 1, 2), GOOD[1])}, "images are uint8 4 x 3 x 8 x 8"),
    "fewer labels": ({"test": (GOOD[0], GOOD[1][:3])}, r"test: labels are int64 of shape \(3,\)"),
    "classes beyond": ({"train": (GOOD[0], GOOD[1] + 1)}, "labels are 1 to 2, for 2 class_names"),
    "one array": ({"train": 3}, "train: no images and labels"),
    "no names": ({"class_names": 2}, "class_names is a list of two or more different names, not 2"),
    "one text": ({"class_names": "ab"}, "class_names is a list"),
    "one name twice": ({"class_names": ["a", "a"]}, "different names"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD_DATA)
def test_a_data_set_that_is_none_is_refused(kind):
    changed, said = BAD_DATA[kind]
    good = {"train": GOOD, "test": GOOD, "class_names": ["a", "b"]}
    data.register("bad")(lambda: changed and good | changed)
    with pytest.raises(DataError, match=said):
        data.load("bad")


@pytest.mark.thorough
def test_a_program_may_register_what_it_trains_with(small_config, tmp_path):
    """No plugin, no file: the run says so to who opens it without the program."""
    from cifar_jax import train, trained

    losses.register("in_a_program")(
        lambda logits, targets: optax.softmax_cross_entropy(logits, targets)
    )
    small_config.update({"total_epochs": 1, "loss": {"name": "in_a_program"}})
    train.train_and_evaluate(small_config, tmp_path / "run")
    noted = json.loads((tmp_path / "run/config.json").read_text())["plugins"]
    assert noted == {"loss.name": {"plugin": __name__, "sha256": ""}}
    del losses.LOSSES["in_a_program"], plugins._added["loss", "in_a_program"]
    assert trained.open_run(tmp_path / "run").step  # of a finished run a loss is not asked for


@pytest.mark.thorough
def test_every_command(plugin, tmp_path):
    run, own_plugin = tmp_path / "run", ("--plugin", str(plugin))
    done = run_main(run, *own_plugin, *QUICK, *OWN)
    assert done.returncode == 0, done.stderr
    resumed = run_main(run, *own_plugin, *QUICK, *OWN)
    assert resumed.returncode == 0 and "resuming" in resumed.stdout, resumed.stderr
    summary = json.loads((run / "summary.json").read_text())
    assert summary["params"] == 5_202 and summary["test_images"] == 100
    assert json.loads((run / "config.json").read_text())["plugins"].keys() == plugins.KINDS.keys()
    other = tmp_path / "sweep"
    sweep_file = tmp_path / "sweep.py"
    sweep_file.write_text(
        f"from cifar_jax import config\nfrom cifar_jax.sweep import Sweep, grid\n\n\ndef get_sweep():\n"
        f"    base = config.load({str(ROOT / 'configs/quickstart.py')!r})\n    base.total_epochs = 1\n"
        "    base.model.name = 'small'\n    return Sweep(base, grid({'optimizer.learning_rate': [0.01, 0.1]}))\n"
    )
    picture = tmp_path / "a.png"
    from PIL import Image

    Image.fromarray(np.full((20, 20, 3), 90, np.uint8)).save(picture)
    for name, *arguments in (
        ("evaluate", "--workdir", run, "--no-speed"),
        ("predict", "--workdir", run, picture),
        ("gradcam", "--workdir", run, "--images", picture, "--out", tmp_path / "cam"),
        ("report", run, "--out", tmp_path / "report.html"),
        ("export", "--workdir", run, "--onnx", tmp_path / "model.onnx"),
        ("summary", "--model", "small"),
        ("sweep", "--config", sweep_file, "--workdir", other),
    ):
        if name in ("evaluate", "summary"):
            without = run_module(name, *arguments)
            assert without.returncode == 2 and without.stderr.count("\n") == 1, (
                name,
                without.stderr,
            )
            if run in arguments:
                assert f"needs the model 'small', which --plugin {plugin} has" in without.stderr
        done = run_module(name, *arguments, *own_plugin)
        assert done.returncode == 0, (name, done.stderr)
    assert (other / "summary.md").exists()
    # Flags alone, and a config that is another run's: the workdir says what is missing.
    for arguments in ((), OWN):
        done = run_main(run, *QUICK, *arguments)
        assert done.returncode == 2 and f"--plugin {plugin} has" in done.stderr, done.stderr
    done = run_module("sweep", "--config", sweep_file, "--workdir", other)
    assert done.returncode == 2 and f"--plugin {plugin} has" in done.stderr, done.stderr
