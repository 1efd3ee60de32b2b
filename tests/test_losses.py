"""Training losses: PyTorch's CrossEntropyLoss, the papers' formulas, and report 002's mistake."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_jit import quick_jit

from cifar_jax.train import losses

CLASSES, BATCH = 10, 7
RANDOM = np.random.default_rng(0)
LOGITS = 3 * RANDOM.normal(size=(BATCH, CLASSES))
LABELS = RANDOM.integers(0, CLASSES, BATCH)
SOFT = RANDOM.dirichlet(np.ones(CLASSES), BATCH)
WEIGHTS = tuple(RANDOM.uniform(0.2, 3, CLASSES).tolist())


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


OPTIONS = list(itertools.product((0.0, 0.1), ((), WEIGHTS), (LABELS, SOFT)))


@pytest.mark.parametrize("name", losses.LOSSES)
def test_every_registered_loss(name):
    """Finite with a finite gradient, also where it is certain; falls along the gradient; jit and vmap."""
    certain = 100 * jnp.eye(CLASSES)[LABELS]

    @quick_jit
    def run(logits, smoothings):
        return [
            results(weights, jnp.asarray(labels), smoothing, on > 0, logits)
            for (on, weights, labels), smoothing in zip(OPTIONS, smoothings, strict=True)
        ]

    def results(weights, labels, smoothing, on, logits):
        loss = losses.make_loss(name, label_smoothing=on, class_weights=weights, gamma=0.5)
        values = [jax.value_and_grad(loss)(x, labels, smoothing) for x in (*logits, -logits[1])]
        after = loss(logits[0] - 0.1 * values[0][1], labels, smoothing)
        both = jax.vmap(loss, (None, None, 0))(logits[0], labels, jnp.zeros(2))
        return values, after, both, loss(logits[0].astype(jnp.bfloat16), labels, smoothing)

    smoothings = [np.float32(each[0]) for each in OPTIONS]
    for values, after, both, half in run((jnp.float32(LOGITS), certain), smoothings):
        for value, gradient in values:
            assert value.shape == () and value.dtype == jnp.float32
            assert np.isfinite(value) and np.isfinite(gradient).all()
        assert after < values[0][0]
        assert both.shape == (2,) and half.dtype == jnp.float32


@pytest.mark.parametrize("name", losses.LOSSES)
def test_one_hot_targets_are_labels(name):
    loss = losses.make_loss(name)
    logits, one_hot = jnp.float32(LOGITS), jnp.eye(CLASSES)[LABELS]
    np.testing.assert_allclose(loss(logits, one_hot), loss(logits, LABELS), rtol=1e-6)


def test_cross_entropy_is_the_evaluations():
    logits = jnp.float32(LOGITS)
    ours = losses.make_loss("cross_entropy")(logits, LABELS)
    np.testing.assert_allclose(ours, losses.cross_entropy(logits, LABELS).mean(), rtol=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_is_the_papers(gamma):
    log_p = log_softmax(LOGITS)[np.arange(BATCH), LABELS]
    expected = (-((1 - np.exp(log_p)) ** gamma) * log_p).mean()
    ours = losses.make_loss("focal", gamma=gamma)(jnp.float32(LOGITS), LABELS)
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_softmax_twice_has_report_002s_least_value():
    loss = losses.make_loss("softmax_twice")
    assert float(loss(100 * jnp.eye(CLASSES)[LABELS], LABELS)) == pytest.approx(1.461, abs=5e-4)
    expected = -log_softmax(np.exp(log_softmax(LOGITS)))[np.arange(BATCH), LABELS].mean()
    np.testing.assert_allclose(loss(jnp.float32(LOGITS), LABELS), expected, rtol=1e-6)


def test_unknown_loss_raises():
    with pytest.raises(ValueError, match="unknown loss"):
        losses.make_loss("hinge")


@pytest.mark.parity
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("weights", [(), WEIGHTS])
@pytest.mark.parametrize("labels", [LABELS, SOFT], ids=["hard", "soft"])
def test_cross_entropy_is_torchs(smoothing, weights, labels):
    torch = pytest.importorskip("torch")
    weight = torch.tensor(weights, dtype=torch.float64) if weights else None
    theirs = torch.nn.CrossEntropyLoss(weight, label_smoothing=smoothing)
    logits = torch.tensor(LOGITS, requires_grad=True)
    expected = theirs(logits, torch.tensor(labels))
    expected.backward()
    with jax.enable_x64(True):
        loss = losses.make_loss(
            "cross_entropy", label_smoothing=smoothing > 0, class_weights=weights
        )
        value, gradient = jax.value_and_grad(loss)(
            jnp.asarray(LOGITS), jnp.asarray(labels), smoothing
        )
        np.testing.assert_allclose(value, expected.item(), rtol=1e-9)
        np.testing.assert_allclose(gradient, logits.grad.numpy(), rtol=1e-9, atol=1e-12)
