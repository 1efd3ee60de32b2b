"""Every formulation against XLA's own operation: values and gradients, in float32 and float64, under vmap."""

import contextlib
import functools
import itertools
import subprocess
import sys
import textwrap
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quick_jit import (
    quick_jit_float64 as quick_jit,  # the tolerances are wide for what float32 is here
)
from tiers import EXAMPLES, THOROUGH, tiered

from cifar_jax.models.attention import attend, blocked_attend
from cifar_jax.models.ops import lanes, reductions, winograd
from cifar_jax.models.ops.bands import banded_conv, blocked_conv
from cifar_jax.models.ops.depthwise import depthwise_conv
from cifar_jax.models.ops.normalization import Form, batch_norm, normalize
from cifar_jax.models.ops.plain import plain_conv, xla_conv
from cifar_jax.models.ops.pooling import sliced_max_pool, xla_max_pool
from cifar_jax.models.ops.products import patches_conv, pointwise_conv, untransposed_conv
from cifar_jax.models.ops.strided import strided_conv
from cifar_jax.models.ops.winograd import winograd_conv

TOLERANCE = {"float32": 1e-4, "float64": 1e-10}


@pytest.fixture(params=tiered(["float32", "float64"], ["float64"]))
def precision(request):
    with jax.enable_x64(True) if request.param == "float64" else contextlib.nullcontext():
        yield request.param


class Case(NamedTuple):
    """A formulation, XLA's own operation, and what both are given."""

    ours: Callable
    reference: Callable
    args: tuple


def values_and_gradients(function, *args):
    """function(*args) and its gradients along a fixed random direction of the output."""
    y, vjp = jax.vjp(function, *args)
    direction = np.random.default_rng(1).normal(size=y.shape).astype(y.dtype)
    return y, *vjp(jnp.asarray(direction))


def assert_equal(cases, precision):
    """Of each case of a dictionary. They are one program: many small ones take several times as long to compile."""

    @quick_jit
    def both(args):
        return {
            name: [values_and_gradients(f, *args[name]) for f in (case.ours, case.reference)]
            for name, case in cases.items()
        }

    by_case = jax.device_get(both({name: case.args for name, case in cases.items()}))
    wrong = []
    for name, results in by_case.items():
        for what, (ours, theirs) in enumerate(zip(*results, strict=True)):
            assert ours.shape == theirs.shape and ours.dtype == theirs.dtype, name
            scale = np.max(np.abs(theirs)) or 1.0
            error = np.max(np.abs(ours - theirs)) / scale
            if not error < TOLERANCE[precision]:
                what = f"the gradient by argument {what}" if what else "the value"
                wrong.append(f"{name}: {what} is off by {error:.1e}")
    assert not wrong, "\n".join(wrong)


def random(seed, shape, precision):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape).astype(precision))


def conv_case(kind, size, stride, padding, precision, batch=2, height=8, width=8):
    """One formulation with 3 channels in."""
    if kind in ("pointwise", "untransposed"):
        size, padding = 1, 0
    if kind == "winograd":
        size = 3 if size < 4 else 5
    if kind in UNSTRIDED:
        stride, padding = 1, min(padding, size - 1)
    groups = 3 if kind in ("depthwise", "plain in groups") else 1
    features = {"depthwise": 3, "plain in groups": 6}.get(kind, 5)
    functions = {
        "plain": lambda x, k: plain_conv(x, k, stride, padding),
        "plain in groups": lambda x, k: plain_conv(x, k, stride, padding, groups),
        "depthwise": lambda x, k: depthwise_conv(x, k, stride, padding),
        "pointwise": lambda x, k: pointwise_conv(x, k, stride),
        "untransposed": untransposed_conv,
        "strided": lambda x, k: strided_conv(x, k, stride, padding),
        "banded": lambda x, k: banded_conv(x, k, stride, padding),
        "patches": lambda x, k: patches_conv(x, k, stride, padding),
        "blocked": lambda x, k: blocked_conv(x, k, padding),
        "winograd": lambda x, k: winograd_conv(x, k, padding),
    }
    images = random(0, (batch, height, width, 3), precision)
    return Case(
        functions[kind],
        lambda x, k: xla_conv(x, k, stride, padding, groups),
        (images, random(2, (size, size, 3 // groups, features), precision)),
    )


KINDS = [
    "plain",
    "plain in groups",
    "strided",
    "depthwise",
    "pointwise",
    "untransposed",
    "banded",
    "patches",
    "blocked",
    "winograd",
]
UNSTRIDED = "winograd", "blocked", "untransposed"


def convolutions(kind, precision):
    """Of either stride: of two shapes, and under vmap over models."""
    cases = {}
    for stride in (1,) if kind in UNSTRIDED else (1, 2):
        for height, width, batch in ((8, 6, 2), (5, 9, 1)):
            name = f"stride {stride}, {batch} images of {height}x{width}"
            cases[name] = conv_case(kind, 3, stride, 1, precision, batch, height, width)
        ours, reference, (x, kernel) = conv_case(kind, 3, stride, 1, precision)
        kernels = jnp.stack([kernel, 2 * kernel, -kernel])
        functions = (jax.vmap(function, (None, 0)) for function in (ours, reference))
        cases[f"stride {stride}, three models"] = Case(*functions, (x, kernels))
    return cases


@pytest.mark.parametrize("kind", KINDS)
def test_convolution(kind, precision):
    assert_equal(convolutions(kind, precision), precision)


def test_convolution_of_pairs_of_pixels(precision):
    cases, depth = {}, 64
    for stride, size in itertools.product((1, 2), (1, 3, 5)):
        for groups in (1, depth):
            features = depth if stride == 1 or groups > 1 else 6
            x = random(0, (2, 3 + stride, 4, depth), precision)
            kernel = random(2, (size, size, depth // groups, features), precision)
            options = stride, size // 2, groups
            assert lanes.suits(x, kernel, *options)
            ours, reference = (
                lambda x, kernel, convolve=convolve, options=options: convolve(x, kernel, *options)
                for convolve in (lanes.paired_conv, xla_conv)
            )
            name = f"{size}x{size}, stride {stride}, {groups} groups"
            cases[name] = Case(ours, reference, (x, kernel))
    assert_equal(cases, precision)


@pytest.mark.parametrize(
    ("shape", "kernel", "options"),
    [
        ((2, 4, 5, 64), (3, 3, 64, 64), (1, 1, 1)),  # an odd width
        ((2, 4, 4, 64), (3, 3, 64, 64), (1, 0, 1)),  # another size comes out
        ((2, 4, 4, 64), (3, 3, 64, 128), (1, 1, 1)),  # full lanes come out
        ((2, 4, 4, 128), (3, 3, 128, 64), (2, 1, 1)),  # full lanes go in
        ((2, 4, 4, 64), (3, 3, 32, 64), (1, 1, 2)),  # groups of several channels
        ((2, 4, 4, 64), (1, 3, 64, 64), (1, 0, 1)),  # no square
        ((2, 4, 6, 64), (3, 3, 64, 64), (3, 1, 1)),
    ],
)
def test_what_pairs_do_not_suit(shape, kernel, options):
    assert not lanes.suits(jnp.zeros(shape), jnp.zeros(kernel), *options)


@pytest.mark.thorough
def test_winograd_with_the_kernels_gradient_its_own_way(precision, monkeypatch):
    monkeypatch.setattr(winograd, "GATHERED_CHANNELS", 1)
    cases = {
        f"{size}x{size}": conv_case("winograd", size, 1, size // 2, precision, 2, 6, 5)
        for size in (3, 5)
    }
    assert_equal(cases, precision)


def test_plain_convolution_by_a_rectangle(precision):
    cases = {}
    for (rows, columns), padding, stride in itertools.product(
        [(1, 7), (3, 2)], [0, (0, 3)], [1, 2]
    ):
        args = random(0, (2, 8, 9, 3), precision), random(2, (rows, columns, 3, 5), precision)
        functions = (
            lambda x, k, f=f, s=stride, p=padding: f(x, k, s, p) for f in (plain_conv, xla_conv)
        )
        cases[f"{rows}x{columns}, padding {padding}, stride {stride}"] = Case(*functions, args)
    assert_equal(cases, precision)


def test_depthwise_gradient_of_more_than_the_cache_holds(precision, monkeypatch):
    monkeypatch.setattr(reductions, "CACHED", 0)
    assert_equal({"stride 2": conv_case("depthwise", 3, 2, 1, precision)}, precision)


@pytest.mark.parametrize("examples", EXAMPLES)
def test_convolution_of_any_shape(examples):
    @settings(max_examples=examples, deadline=None)
    @given(
        kind=st.sampled_from(KINDS),
        size=st.integers(1, 5),
        stride=st.integers(1, 3),
        padding=st.integers(0, 3),
        height=st.integers(5, 10),
        width=st.integers(5, 10),
    )
    def check(kind, size, stride, padding, height, width):
        case = conv_case(kind, size, stride, padding, "float32", 2, height, width)
        assert_equal({kind: case}, "float32")

    check()


def max_pools(precision):
    """On a grid of few values, so that most windows have several equal maxima; alone, and under vmap."""
    cases = {}
    for window, stride in [(2, 2), (3, 3), (3, 2), (3, 1), (5, 3)]:
        functions = [
            lambda x, f=f, w=window, s=stride: f(x, w, s) for f in (sliced_max_pool, xla_max_pool)
        ]
        on_gpu = functools.partial(sliced_max_pool, window=window, stride=stride, folded=False)
        for shape in [(6, 7, 3), (5, 9, 3), (6, 7, 16)]:
            x, name = jnp.round(random(0, (2, *shape), precision)), f"{window}/{stride} of {shape}"
            cases[name] = Case(*functions, (x,))
            cases[f"on a GPU, {name}"] = Case(on_gpu, functions[1], (x,))
            cases[f"two of {name}"] = Case(*map(jax.vmap, functions), (jnp.stack([x, -x]),))
    return cases


@THOROUGH
def test_max_pool(precision):
    assert_equal(max_pools(precision), precision)


@pytest.mark.parametrize("channels", [3, 16])
def test_the_maximum_of_a_square_with_nan_is_nan(channels):
    """Of an image for each of its four places."""
    x = np.zeros((4, 4, 4, channels), np.float32)
    for place in range(4):
        x[place, 2 + place // 2, place % 2, 1] = np.nan
    y = quick_jit(lambda x: jax.vjp(lambda x: sliced_max_pool(x, 2, 2), x)[0])(x)
    np.testing.assert_array_equal(
        np.argwhere(np.isnan(y)), [[place, 1, 0, 1] for place in range(4)]
    )


def test_blocked_attention(precision):
    """One query at a time, 4 (the most below 5 that divide 36) and all at once; alone, and under vmap."""
    shapes = (2, 36, 3), (2, 36, 3), (2, 36, 5)
    query, key, value = (random(seed, shape, precision) for seed, shape in enumerate(shapes))
    cases = {}
    for max_scores in (1, 2 * 36 * 5, 2 * 36 * 36):

        def ours(*args, max_scores=max_scores):
            return blocked_attend(*args, max_scores)

        cases[f"{max_scores} scores"] = Case(ours, attend, (query, key, value))
        both = (jax.vmap(function, (0, None, None)) for function in (ours, attend))
        queries = jnp.stack([query, 2 * query])
        cases[f"two models, {max_scores} scores"] = Case(*both, (queries, key, value))
    assert_equal(cases, precision)


def plain_batch_norm(slope):
    """The definition, differentiated automatically."""

    def function(x, scale, bias):
        axes = tuple(range(x.ndim - 1))
        z = (x - jnp.mean(x, axes)) / jnp.sqrt(jnp.var(x, axes) + 1e-5)
        y = scale * z + bias
        return y if slope is None else jnp.where(y > 0, y, slope * y)

    return function


def batch_norms(shape, precision):
    """With each slope, in each form; alone, and under vmap over models."""
    sizes = shape, shape[-1], shape[-1]
    x, scale, bias = (random(seed, size, precision) for seed, size in enumerate(sizes))
    scales, biases = jnp.stack([scale, -scale]), jnp.stack([bias, bias + 1])
    cases = {}
    forms = {"folded": (None, Form(folded=True)), "as it is": (None, Form())}
    forms |= {"in one pass": (2 + bias, Form()), "at once": (2 + bias, Form(at_once=True))}
    if shape[-1] == lanes.HALF:
        forms = {"in pairs": (2 + bias, Form(paired=True))}
    for slope, form in itertools.product((None, 0.0, 0.01), forms):

        def ours(*args, slope=slope, form=form):
            near, way = forms[form]
            return batch_norm(*args, near, 1e-5, slope, None, way)[0]

        name = f"slope {slope}, {form}"
        functions = ours, plain_batch_norm(slope)
        cases[name] = Case(*functions, (3 + 2 * x, scale, bias))
        both = (jax.vmap(function, (None, 0, 0)) for function in functions)
        cases[f"two models, {name}"] = Case(*both, (x, scales, biases))
    return cases


SHAPES = [(4, 5, 3, 6), (1, 7, 7, 6), (2, 4, 3, 16), (16, 6), (2, 3, 4, 64)]


@pytest.mark.parametrize("shape", tiered(SHAPES, SHAPES[-2:]))
def test_batch_norm(shape, precision):
    assert_equal(batch_norms(shape, precision), precision)


def test_normalize_by_the_batchs_own_statistics_is_batch_norm():
    x, scale, bias = (random(seed, s, "float32") for seed, s in ((0, (8, 6)), (1, 6), (2, 6)))
    y, mean, var = batch_norm(x, scale, bias, None, 1e-5, 0.0)
    np.testing.assert_allclose(mean, jnp.mean(x, 0), atol=1e-6)
    np.testing.assert_allclose(var, jnp.var(x, 0), atol=1e-6)
    np.testing.assert_array_equal(y, normalize(x, scale, bias, mean, var, 1e-5, 0.0))


@THOROUGH
@pytest.mark.parametrize("platform", ["cpu", "tpu"])
def test_sharded_batch_gives_the_same_gradients(platform):
    """Data parallel over two devices: statistics and gradients are those of the whole batch.

    A device sends no more than them, whatever the shape of the kernels that it computes with.

    In a process of its own, because the number of devices is fixed when JAX starts.
    """
    program = """
        import jax, jax.numpy as jnp, numpy as np
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_num_cpu_devices", 2)
        jax.config.update("jax_enable_x64", True)
        import flax.linen as nn
        from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
        from cifar_jax.models.layers import BatchNorm, Conv, DepthwiseConv, max_pool
        from cifar_jax.models.ops import choice, lanes
        from cifar_jax.planning import hlo

        class Net(nn.Module):
            @nn.compact
            def __call__(self, x):
                x = Conv(64, 3, padding=1, use_bias=False, dtype=x.dtype)(x)
                x = max_pool(BatchNorm(relu=True, dtype=x.dtype)(x, True))
                x = DepthwiseConv(64, 3, padding=1, use_bias=False, dtype=x.dtype)(x)
                x = Conv(64, 1, use_bias=False, dtype=x.dtype)(x)
                x = Conv(4, 3, stride=2, padding=1, use_bias=False, dtype=x.dtype)(x)
                return jnp.sum(jnp.square(BatchNorm(dtype=x.dtype)(x, True) - 1) * x)

        def grads(variables, images, mesh=None):
            def loss(params):
                with choice.formulations_of("PLATFORM"), choice.spread_over(mesh):
                    given = {**variables, "params": params}
                    return Net().apply(given, images, mutable=["batch_stats"])
            return jax.grad(loss, has_aux=True)(variables["params"])

        paired = []
        def counted(*args, convolve=lanes.paired_conv):
            paired.append(args)
            return convolve(*args)
        lanes.paired_conv = counted

        mesh = Mesh(np.array(jax.devices()), ("data",))
        images = jax.random.normal(jax.random.key(0), (4, 12, 12, 3), jnp.float64)
        variables = jax.jit(Net().init)(jax.random.key(0), images)
        whole = jax.jit(grads)(variables, images)
        given = (
            jax.device_put(variables, NamedSharding(mesh, P())),
            jax.device_put(images, NamedSharding(mesh, P("data"))),
        )
        program = jax.jit(lambda *given: grads(*given, mesh)).lower(*given).compile()
        halves = program(*given)
        # XLA's gradient of max pooling gathers, on virtual devices.
        sent = hlo.collectives(program.as_text().splitlines())["all-reduce"]["bytes"]
        assert sent < 1.1 * sum(x.nbytes for x in jax.tree.leaves(variables)), sent
        assert bool(paired) == ("PLATFORM" == "tpu")
        for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(halves), strict=True):
            assert len(b.sharding.device_set) == 2
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10 * np.max(np.abs(a)))
        """
    program = textwrap.dedent(program).replace("PLATFORM", platform)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
