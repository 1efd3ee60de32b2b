"""The models against plain PyTorch, number by number: logits, running statistics, loss, gradients, training.

In float64 that is in two parts: PyTorch gives the golden values here, and the models do in test_golden.

The PyTorch models are in torch_models, written from the papers' tables; see `cases` for the inputs.
"""

import jax
import numpy as np
import pytest

pytest.importorskip("torch")

import cases  # noqa: E402
import torch  # noqa: E402
import torch_side  # noqa: E402
from quick_jit import quick_jit  # noqa: E402
from recorded import assert_recorded  # noqa: E402
from torch_models import BUILD  # noqa: E402
from zero_gradients import weight_beside  # noqa: E402

from cifar_jax import models  # noqa: E402

pytestmark = pytest.mark.parity


# In float32 an activation may fall on the other side of a ReLU's kink, in PyTorch as here and from one CPU to the
# next, and moves the gradient: images changed by 1e-6 of themselves move PyTorch's own by up to 4e-3 of its norm (8
# draws, each model), and Inception's and GoogLeNet's by 1e-2, where ours is asked to be no worse than three times that.
KINK = 5e-3


def distance(gradients, exact):
    """Of the gradients as one vector, against the norm of the exact one."""
    squares = jax.tree.map(lambda a, b: (np.sum((a - b) ** 2), np.sum(b**2)), gradients, exact)
    errors, norms = zip(
        *jax.tree.leaves(squares, is_leaf=lambda x: isinstance(x, tuple)), strict=True
    )
    return np.sqrt(sum(errors) / sum(norms))


def leaves(tree):
    """[(path as a tuple of names, leaf)]"""
    flat = jax.tree_util.tree_leaves_with_path(tree)
    return [(tuple(key.key for key in path), leaf) for path, leaf in flat]


def assert_close(ours, theirs, tolerance, what):
    error = np.max(np.abs(np.asarray(ours) - theirs)) / np.max(np.abs(theirs))
    assert error < tolerance, f"{what}: relative error {error:.2e}"


@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.id)
def test_golden_values_are_pytorchs(case):
    """Those that test_golden holds the models against, in float64, are what PyTorch gives today."""
    variables = cases.variables(case)
    outputs = torch_side.outputs(case, variables)
    assert_recorded(case, outputs, lambda optimizer: torch_side.changes(case, variables, optimizer))


# Beyond the reports float64 is enough, but for one of each kind: large images, branches, no batch norm.
BRANCHED = ["inception_v3", "googlenet_imagenet"]
IN_FLOAT32 = [*cases.REPORT_MODELS, *BRANCHED, "resnet18_imagenet", "vgg16"]


@pytest.mark.parametrize(
    "case", [case for case in cases.CASES if case.name in IN_FLOAT32], ids=lambda case: case.id
)
def test_model_equals_torch_in_float32(case):
    variables = jax.tree.map(np.float32, cases.variables(case))
    theirs = torch_side.outputs(case, variables, "float32")
    # Rounded as quick_jit rounds them, more activations fall on the other side of a kink.
    run = cases.program(case, "float32", jax.jit)
    ours = jax.device_get(run(variables["params"], variables.get("batch_stats", {})))
    for name in ("evaluation", "logits", "loss"):
        assert_close(getattr(ours, name), getattr(theirs, name), 1e-4, name)
    for (path, leaf), (_, torch_leaf) in zip(
        leaves(ours.batch_stats), leaves(theirs.batch_stats), strict=True
    ):
        assert_close(leaf, torch_leaf, 1e-4, path)
    exact = torch_side.outputs(case, jax.tree.map(np.float64, variables)).gradients
    error, torch_error = (distance(each.gradients, exact) for each in (ours, theirs))
    assert error < max(KINK, 3 * torch_error), (error, torch_error)


# The layers are shared, so of the larger models one of each kind of block will do.
INITIALISED = [*cases.REPORT_MODELS, "resnet50", "preact_resnet18", "mobilenet_v2"]


@pytest.mark.parametrize("name", INITIALISED)
def test_initial_parameters_are_distributed_as_torch_draws_them(name):
    """Same bounds (up to what the extreme of a finite sample misses), mean and deviation, leaf by leaf."""
    shape = models.REGISTRY[name].input_shape
    key = jax.random.key(1, impl="rbg")  # The quickest to compile.
    jit = quick_jit if models.REGISTRY[name].num_params < 3e6 else jax.jit
    ours = jit(models.create(name).init)(key, np.zeros((1, *shape), np.float32))["params"]
    torch.manual_seed(0)
    theirs = dict(leaves(models.from_torch(name, BUILD[name]().state_dict())["params"]))
    for path, leaf in leaves(jax.device_get(ours)):
        reference = theirs[path]
        if np.ptp(reference) == 0:  # The scales and offsets of batch norm, MATLAB's biases.
            np.testing.assert_array_equal(leaf, reference, err_msg=str(path))
        elif leaf.size >= 400:
            assert np.max(np.abs(leaf)) == pytest.approx(np.max(np.abs(reference)), rel=0.05), path
            assert np.std(leaf) == pytest.approx(np.std(reference), rel=0.1), path
            assert abs(np.mean(leaf)) < 5 * np.std(leaf) / np.sqrt(leaf.size), path
        else:
            # Too few for a deviation: within the bound of its kernel, which is its own.
            bound = np.max(np.abs(theirs[weight_beside(path, theirs)]))
            assert np.max(np.abs(leaf)) < 1.1 * bound, path


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnet18_imagenet", "vgg16_bn", "vgg16"])
def test_a_saved_pytorch_checkpoint_loads(name, tmp_path):
    """As users have them: a .pt file of a DataParallel model with kuangliu's or torchvision's names."""
    torch.manual_seed(0)
    twin = torch.nn.DataParallel(BUILD[name]())
    images = torch.randn(2, 3, 64, 64) if name.endswith("imagenet") else torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        twin.train()(images)  # Statistics move, num_batches_tracked counts.
    torch.save(twin.state_dict(), tmp_path / "model.pt")
    state_dict = torch.load(tmp_path / "model.pt", weights_only=True)
    counted = any(key.endswith("num_batches_tracked") for key in state_dict)
    assert counted == (name != "vgg16")

    variables = models.from_torch(name, state_dict)
    ours = models.create(name).apply(variables, images.numpy().transpose(0, 2, 3, 1))
    with torch.no_grad():
        theirs = twin.eval()(images).numpy()
    assert_close(ours, theirs, 1e-4, "logits")

    twin.module.load_state_dict(
        {key: torch.from_numpy(value) for key, value in models.to_torch(name, variables).items()}
    )
