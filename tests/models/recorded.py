"""What an implementation of a model gives, PyTorch's or ours, against the golden values of record_golden.py."""

import pathlib

import jax
import numpy as np
from cases import AFTER_STEPS, OPTIMIZERS, REPORT_MODELS, optimizers, shapes
from digests import digest
from zero_gradients import has_zero_gradient

FOLDER = pathlib.Path(__file__).parent / "golden"


def assert_recorded(case, outputs, changes):
    """Compares all that is recorded of a case.

    Args:
        outputs: cases.Outputs in float64; its gradients, where there are some.
        changes: optimizer -> how its three steps change the parameters.
    """
    recorded = np.load(FOLDER / f"{case.id}.npz")
    tolerance = 1e-10 if case.name in REPORT_MODELS else 1e-8
    for name in ("evaluation", "logits"):
        theirs = recorded[name]
        np.testing.assert_allclose(
            getattr(outputs, name)[:, :10], theirs, atol=tolerance * np.abs(theirs).max()
        )
    np.testing.assert_allclose(outputs.loss, recorded["loss"], rtol=tolerance)
    assert_digests(digest(outputs.batch_stats), recorded["batch_stats"], tolerance)

    if outputs.gradients is None:
        return
    leaves = jax.tree_util.tree_leaves_with_path(shapes(case)["params"])
    paths = [[key.key for key in path] for path, _ in leaves]
    has_gradient = np.array([not has_zero_gradient(case.name, path) for path in paths])
    ours, theirs = digest(outputs.gradients), recorded["gradients"]
    assert_digests(ours[has_gradient], theirs[has_gradient], tolerance)
    # The others are rounding on both sides.
    for gradients in (ours, theirs):
        assert np.all(gradients[~has_gradient] < 1e-9 * gradients.max())

    for optimizer in optimizers(case):
        rate, _ = OPTIMIZERS[optimizer]
        least = rate * np.sqrt(
            [leaf.size for _, leaf in leaves]
        )  # of a smaller change most is rounding
        ours, theirs = digest(changes(optimizer)), recorded[optimizer]
        assert_digests(
            ours[has_gradient], theirs[has_gradient], AFTER_STEPS[optimizer], least[has_gradient]
        )


def assert_digests(ours, theirs, tolerance, least_norm=0.0):
    assert ours.shape == theirs.shape
    error = np.abs(ours - theirs).max(axis=1, initial=0)
    norm = np.maximum(theirs[:, 0], least_norm)
    # The second number is the norm times a random one, now and then up to 4.
    assert np.all(error <= 4 * tolerance * norm), np.max(error / norm)
