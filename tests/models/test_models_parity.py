"""The models against plain PyTorch: logits, running statistics, loss and every gradient.

The PyTorch models are in torch_models.py, written from the reports' tables.
"""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from quick_jit import quick_jit  # noqa: E402
from torch import nn  # noqa: E402
from torch_models import BUILD  # noqa: E402
from zero_gradients import has_zero_gradient  # noqa: E402

from cifar_jax import models  # noqa: E402

pytestmark = pytest.mark.parity

# The feature map [H, W, C] that a linear layer flattens: PyTorch flattens it in the order C, H, W.
FLATTENED = {
    ("plain_cnn", "fc1"): (4, 4, 128),
    ("origin_net", "fc1"): (3, 3, 32),
    ("modified_net", "fc1"): (4, 4, 16),
    ("modified_net_separable", "fc1"): (4, 4, 24),
    ("basic_net", "fc1"): (5, 5, 16),
    ("wide_net", "fc1"): (8, 8, 256),
    ("big_net", "fc1"): (3, 3, 64),
    ("big_net_improved", "fc1"): (3, 3, 64),
}

TORCH_NAMES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}


def to_flax(name, path, tensors):
    """The PyTorch tensor that belongs to the Flax leaf at `path`, laid out as Flax has it."""
    *module, leaf = path
    value = tensors[".".join([*module, TORCH_NAMES[leaf]])].detach().numpy()
    if leaf != "kernel":
        return value.copy()
    if value.ndim == 4:
        return np.transpose(value, (2, 3, 1, 0))  # OIHW -> HWIO
    if (flattened := FLATTENED.get((name, module[-1]))) is not None:
        height, width, channels = flattened
        value = value.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
        value = value.reshape(len(value), -1)
    return value.T.copy()


# Two images, because an activation that rounds to the other side of a ReLU's kink moves a gradient by
# 1e-2; among the tens of millions of a larger batch in float32 some always do, in PyTorch as here.
# Batch norm of vectors needs more: it sends the two of any pair to -1 and 1, and their gradients to 0.
BATCH = 2
BATCH_OF_VECTORS = 8
TOLERANCE = {"float32": 1e-4, "float64": 1e-10}


@pytest.fixture(params=["float32", "float64"])
def precision(request):
    with jax.enable_x64(True) if request.param == "float64" else contextlib.nullcontext():
        yield request.param


def assert_close(ours, theirs, tolerance, what, scale=None):
    scale = np.max(np.abs(theirs)) if scale is None else scale
    error = np.max(np.abs(np.asarray(ours) - theirs)) / scale
    assert error < tolerance, f"{what}: relative error {error:.2e}"


def flatten(tree):
    """{("stem", "conv", "kernel"): leaf, ...}"""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {tuple(key.key for key in path): leaf for path, leaf in leaves}


def random_twin(name, dtype, options):
    """A PyTorch model whose batch norms are away from their initial values, where mistakes would not show."""
    torch.manual_seed(0)
    twin = BUILD[name](**options)
    for module in twin.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return twin.to(getattr(torch, dtype))


CASES = [pytest.param(name, {}, id=name) for name in models.names()]
CASES.append(pytest.param("plain_cnn", {"activation": "relu"}, id="plain_cnn-relu"))


@pytest.mark.parametrize(("name", "options"), CASES)
def test_model_equals_torch(name, options, precision):
    tolerance = TOLERANCE[precision]
    dropout = None if models.REGISTRY[name].dropout is None else 0.0
    model = models.create(name, dtype=jnp.dtype(precision), dropout=dropout, **options)
    twin = random_twin(name, precision, options)
    has_vectors = any(isinstance(module, nn.BatchNorm1d) for module in twin.modules())
    batch = BATCH_OF_VECTORS if has_vectors else BATCH

    rng = np.random.default_rng(0)
    images = rng.normal(size=(batch, 32, 32, 3))
    if name == "selective_kernel_net":
        # Images of equal means would have equal weights in block 1, and its biases no gradient but rounding.
        images += rng.normal(size=(batch, 1, 1, 3))
    images = images.astype(precision)
    labels = rng.integers(0, 10, size=batch)
    torch_images = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())

    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.asarray(images))
    variables = jax.tree_util.tree_map_with_path(
        lambda path, _: to_flax(name, [key.key for key in path][1:], twin.state_dict()), shapes
    )
    params, batch_stats = variables["params"], variables.get("batch_stats", {})
    # Rounded as quick_jit rounds them, some of resnet18's activations fall on the other side of a kink.
    jit = jax.jit if name == "resnet18" else quick_jit

    @jit
    def evaluate(params, batch_stats):
        return model.apply({"params": params, "batch_stats": batch_stats}, images)

    @jit
    @lambda loss: jax.value_and_grad(loss, has_aux=True)
    def train(params, batch_stats):
        variables = {"params": params, "batch_stats": batch_stats}
        logits, updates = model.apply(variables, images, train=True, mutable=["batch_stats"])
        log_likelihood = jax.nn.log_softmax(logits)[np.arange(batch), labels]
        return -jnp.mean(log_likelihood), (logits, updates.get("batch_stats", {}))

    twin.eval()
    theirs = twin(torch_images).detach().numpy()
    assert_close(evaluate(params, batch_stats), theirs, tolerance, "logits in evaluation")

    twin.train()
    torch_logits = twin(torch_images)
    torch_loss = torch.nn.functional.cross_entropy(torch_logits, torch.from_numpy(labels))
    torch_loss.backward()
    (loss, (logits, batch_stats)), grads = train(params, batch_stats)
    assert_close(logits, torch_logits.detach().numpy(), tolerance, "logits in training")
    assert_close(loss, torch_loss.detach().numpy(), tolerance, "loss")

    torch_stats = dict(twin.named_buffers())
    for path, leaf in flatten(batch_stats).items():
        assert_close(leaf, to_flax(name, path, torch_stats), tolerance, path)
    torch_grads = {path: weight.grad for path, weight in twin.named_parameters()}
    for path, leaf in flatten(grads).items():
        theirs, scale = to_flax(name, path, torch_grads), None
        if has_zero_gradient(name, path):  # Rounding on both sides: against the weights beside it.
            scale = np.max(np.abs(to_flax(name, (*path[:-1], "kernel"), torch_grads)))
        assert_close(leaf, theirs, tolerance, path, scale)


INITIALISED = ["basic_net", "resnet18_dw", "modified_net", "selective_kernel_net", "big_net"]


@pytest.mark.parametrize("name", INITIALISED)
def test_initial_parameters_are_distributed_as_torch_draws_them(name):
    """Same bounds (up to what the extreme of a finite sample misses), mean and deviation, leaf by leaf."""
    init = quick_jit(models.create(name).init)
    key = jax.random.key(1, impl="rbg")  # The quickest to compile.
    params = init(key, jnp.zeros((1, 32, 32, 3)))["params"]
    torch.manual_seed(0)
    theirs = BUILD[name]().state_dict()
    for path, ours in flatten(jax.device_get(params)).items():
        reference = to_flax(name, path, theirs)
        if np.ptp(reference) == 0:  # The scales and offsets of batch norm, MATLAB's biases.
            np.testing.assert_array_equal(ours, reference)
        elif ours.size >= 400:
            assert np.max(np.abs(ours)) == pytest.approx(np.max(np.abs(reference)), rel=0.05)
            assert np.std(ours) == pytest.approx(np.std(reference), rel=0.1)
            assert abs(np.mean(ours)) < 4 * np.std(ours) / np.sqrt(ours.size)
