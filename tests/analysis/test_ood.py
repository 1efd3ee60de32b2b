"""Scores of out-of-distribution detection, their features, and figures."""

import functools
import itertools

import cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_jit import quick_jit
from tiers import tiered

from cifar_jax import models
from cifar_jax.analysis import style
from cifar_jax.analysis.named_layers import activations
from cifar_jax.analysis.ood import features, figures
from cifar_jax.analysis.ood import scores as ood
from cifar_jax.trained import batches

RNG = np.random.default_rng(0)


def initialised(name):
    """A model, and numbers for its variables: variances and the like around 1, kernels around 0."""
    rng = np.random.default_rng(1)

    def drawn(leaf):
        if len(leaf.shape) < 2:
            return np.float32(rng.uniform(0.5, 1.5, leaf.shape))
        return np.float32(rng.normal(0, np.prod(leaf.shape[:-1]) ** -0.5, leaf.shape))

    return models.create(name), jax.tree.map(drawn, models.registry.shapes(name))


def test_mean_activation_is_over_all_units():
    maps = RNG.normal(size=(3, 4, 5, 6))
    np.testing.assert_allclose(ood.mean_activation(maps), [image.mean() for image in maps])


def test_scores_of_logits_by_hand():
    logits = np.log([[1.0, 1.0, 2.0], [3.0, 3.0, 3.0]])
    np.testing.assert_allclose(ood.max_softmax(logits), [1 / 2, 1 / 3])
    np.testing.assert_allclose(ood.energy(logits), np.log([4, 9]))
    np.testing.assert_allclose(ood.energy(logits, 0.5), 0.5 * np.log([6, 27]))
    np.testing.assert_allclose(ood.max_logit(logits), np.log([2, 3]))


def test_softmax_of_sure_images_still_orders_them():
    logits = np.float32([[20, 0], [25, 0], [30, 0]])
    assert (np.diff(ood.max_softmax(logits)) > 0).all()
    assert np.isfinite(ood.energy([[1e4, 0.0]])).all()


def test_mahalanobis_with_a_known_covariance():
    labels = np.repeat([3, 7], 20_000)  # of any numbers
    spread = np.array([[2.0, 0.6], [0.6, 0.5]])
    means = np.array([[0.0, 0.0], [10.0, -4.0]])
    noise = np.random.default_rng(2).multivariate_normal([0, 0], spread, len(labels))
    fitted = ood.fit_class_gaussians(means[(labels == 7) * 1] + noise, labels)
    np.testing.assert_allclose(fitted.means, means, atol=0.05)
    np.testing.assert_allclose(np.linalg.inv(fitted.precision), spread, rtol=0.05)
    exact = ood.ClassGaussians(means, np.linalg.inv(spread))
    point = np.array([1.0, 2.0])
    expected = -point @ np.linalg.inv(spread) @ point
    distances = ood.mahalanobis([point, means[1], means[1] + point], exact)
    np.testing.assert_allclose(distances, [expected, 0, expected], atol=1e-12)


def test_mahalanobis_of_units_that_never_fire():
    seen = np.c_[RNG.normal(size=(50, 3)), np.zeros((50, 60))]  # fewer images than units, too
    fitted = ood.fit_class_gaussians(seen, np.arange(50) % 5)
    new = seen[:2] + np.r_[np.zeros(62), 1.0]
    near, far = ood.mahalanobis(seen, fitted), ood.mahalanobis(new, fitted)
    assert np.isfinite(far).all() and (far < near.min()).all()


def test_nearest_neighbours_by_hand():
    known = np.array([[2.0, 0.0], [0.0, 5.0], [-1.0, 0.0]])  # east, north, west
    point = [[0.0, 0.1], [3.0, 3.0]]  # north, north-east
    np.testing.assert_allclose(ood.nearest_neighbours(point, known, 1), [0, -np.sqrt(2 - 2**0.5)])
    np.testing.assert_allclose(ood.nearest_neighbours(point[:1], known, 2), -np.sqrt(2))
    # Fewer known ones than k: the furthest; and no direction at all is no error.
    np.testing.assert_allclose(ood.nearest_neighbours(point[:1], known), -np.sqrt(2))
    np.testing.assert_allclose(ood.nearest_neighbours([[0.0, 0.0]], known), -1)


def test_every_score_is_greater_for_what_is_like_the_training_set():
    labels = np.arange(600) % 3
    centres = 4 * np.eye(3)

    def outputs(centre, labels):
        drawn = centre[labels] + 0.3 * np.random.default_rng(3).normal(size=(len(labels), 3))
        return features.Outputs(drawn, drawn, {"a/b": drawn.mean(axis=1), "c": drawn.mean(axis=1)})

    known = outputs(centres, labels)
    gaussians = ood.fit_class_gaussians(known.features, labels)
    inside = ood.all_scores(outputs(centres, labels[:50]), gaussians, known.features)
    outside = ood.all_scores(outputs(centres / 8, labels[:50]), gaussians, known.features)
    assert list(inside) == list(ood.described(["a/b", "c"])) == [
        "mean_activation_a_b", "mean_activation_c", "max_softmax", "energy", "max_logit",
        "mahalanobis", "nearest_neighbours",
    ]  # fmt: skip
    for name in inside:
        assert inside[name].shape == (50,), name
        assert np.mean(inside[name] > np.median(outside[name])) > 0.9, name


# Those with this ending are other sizes of the same classes.
SIZES_OF_32 = [name for name in models.names() if not name.endswith("_imagenet")]


@pytest.mark.parametrize("name", tiered(SIZES_OF_32, cases.FEW))
def test_every_model_has_penultimate_features(name):
    """What the last linear layer sees: one row an image, as many as its kernel has rows."""
    model, shapes = models.create(name), models.registry.shapes(name)
    entry = models.REGISTRY[name]
    images = jax.ShapeDtypeStruct((2, *entry.input_shape), jnp.float32)
    outputs = jax.eval_shape(lambda v, x: features.penultimate(model, v, x), shapes, images)
    logits, inputs = outputs
    assert logits.shape == (2, entry.num_classes)
    kernels = [leaf.shape for leaf in jax.tree.leaves(shapes["params"]) if leaf.ndim == 2]
    assert (inputs.shape[1], entry.num_classes) in kernels


@pytest.mark.parametrize(
    ("name", "layer", "scale"),
    [
        ("big_net_improved", "fc2", 1),
        pytest.param("selective_kernel_net", "fc2", 1, marks=pytest.mark.thorough),
        pytest.param("resnet9", "fc", 1 / 8, marks=pytest.mark.thorough),
    ],
)
def test_features_through_the_last_layer_are_the_logits(name, layer, scale):
    model, variables = initialised(name)
    images = jnp.asarray(RNG.normal(size=(2, 32, 32, 3)), jnp.float32)
    logits, inputs = quick_jit(lambda v, x: features.penultimate(model, v, x))(variables, images)
    parameters = variables["params"][layer]
    expected = scale * (inputs @ parameters["kernel"] + parameters.get("bias", 0))
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["big_net", "big_net_improved"])
def test_relus_of_report_004(name):
    """relu_9 follows the last convolution, relu_10 the 64 units, behind their batch norm."""
    model, variables = initialised(name)
    images = jnp.asarray(RNG.normal(size=(2, 32, 32, 3)), jnp.float32)

    @quick_jit
    def outputs(variables, images):
        names = ("conv3", "relu_9", "relu_10")
        relus = [activations(model, variables, images, name) for name in names]
        return *relus, features.penultimate(model, variables, images)[1]

    convolved, relu_9, relu_10, penultimate = outputs(variables, images)
    assert relu_9.shape == (2, 7, 7, 64) and (convolved < 0).any()
    np.testing.assert_array_equal(relu_9, np.maximum(convolved, 0))
    np.testing.assert_array_equal(relu_10, penultimate)


@pytest.mark.thorough
def test_outputs_do_not_depend_on_the_batch_size():
    model, variables = initialised("big_net_improved")
    images = RNG.integers(0, 256, (7, 32, 32, 3), dtype=np.uint8)
    step = features.make_step(model, lambda x: x / 255, ("relu_10", features.PENULTIMATE, "bn"))
    step = functools.partial(step, variables)
    whole, parts = (batches.apply_batched(step, size, images) for size in (100, 3))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), whole, parts)
    np.testing.assert_allclose(whole.means["relu_10"], whole.features.mean(axis=1), rtol=1e-5)
    assert not np.allclose(whole.means["relu_10"], whole.means["bn"])


def test_limits_show_thresholds_but_not_what_is_far_away():
    inside, outside = np.linspace(0, 1, 101), np.r_[0.5, -1e6]
    low, high = figures.limits(inside, outside, (0.4, 1.2))
    assert -10 < low < 0 and high == 1.2


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "scores",  # value, and the share by which others differ from it
    tiered(list(itertools.product((0, 1, -1e8, 1e-30), (0, 1e-16))), [(1, 0), (-1e8, 1e-16)]),
)
def test_a_histogram_of_scores_that_are_all_the_same(scores, tmp_path):
    """And of those that differ by their rounding, between which no bins fit."""
    value, apart = scores
    same = np.full(3, float(value))
    low, high = figures.limits(same, same * (1 + apart), (value, value))
    assert low < value < high
    row = {"threshold": value, "threshold_on_judged": value, "accuracy": 0.5}
    chart = figures.histogram("Energy", [("noise", same, same * (1 + apart), row)])
    style.save(chart, tmp_path, "energy")
    counted = figures.binned(same, same * (1 + apart), (value, value))
    assert sum(counted["inside"]) == sum(counted["outside"]) == 3


def test_a_histogram_says_what_lies_beyond_its_axis():
    row = {"threshold": 0.1, "threshold_on_judged": 0.2, "accuracy": 0.875}
    panel = ("noise", np.linspace(0, 1, 100), np.r_[0.5, -1e6, -1e6, 0.4], row)
    shown = figures.histogram("Energy", [panel, panel, panel]).to_dict()["concat"]
    assert len(shown) == 3
    title = shown[0]["title"]
    assert title["text"] == "noise: 87.5 % right"
    assert title["subtitle"] == ["50 % of OOD lie further left, in the end bar"]


def test_samples_are_sorted_by_decision():
    images = RNG.integers(0, 256, (10, 32, 32, 3), dtype=np.uint8)
    figure = figures.samples("t", (images, np.arange(10.0)), (images, np.zeros(10)), 4.0)
    titles = [part.get_suptitle() for part in figure.subfigs]
    assert titles == [
        "In-distribution, accepted, right: 6 of 10", "In-distribution, rejected, wrong: 4 of 10",
        "Out of distribution, accepted, wrong: 0 of 10",
        "Out of distribution, rejected, right: 10 of 10",
    ]  # fmt: skip
    assert [part.axes[0].texts[0].get_text() for part in figure.subfigs if part.axes[0].texts] == [
        "none"
    ]
    scores = [axes.get_title() for axes in figure.subfigs[0].axes]
    assert scores == ["4", "5", "6", "7", "8", "9", "", ""]
    np.testing.assert_array_equal(figure.subfigs[0].axes[1].images[0].get_array(), images[5])
