"""The models against values recorded from PyTorch in float64, without PyTorch: see record_golden.py."""

import pathlib

import jax
import numpy as np
import pytest
from cases import (
    AFTER_STEPS,
    AFTER_STEPS_OF_A_DEEP_MODEL,
    CASES,
    OPTIMIZERS,
    REPORT_MODELS,
    TRAINED,
    changes,
    program,
    variables,
)
from digests import digest
from zero_gradients import has_zero_gradient

GOLDEN = pathlib.Path(__file__).parent / "golden"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_model_gives_the_recorded_values(case):
    recorded = np.load(GOLDEN / f"{case.id}.npz")
    exact = case.name in REPORT_MODELS
    tolerance = 1e-10 if exact else 1e-8
    with jax.enable_x64(True):
        drawn = jax.device_put(variables(case))
        run = program(case, "float64")
        found = run(drawn["params"], drawn.get("batch_stats", {}))
        for name in ("evaluation", "logits"):
            ours, theirs = getattr(found, name)[:, :10], recorded[name]
            np.testing.assert_allclose(ours, theirs, atol=tolerance * np.abs(theirs).max())
        np.testing.assert_allclose(found.loss, recorded["loss"], rtol=tolerance)
        assert_digests(digest(found.batch_stats), recorded["batch_stats"], tolerance)

        leaves = jax.tree_util.tree_leaves_with_path(drawn["params"])
        paths = [[key.key for key in path] for path, _ in leaves]
        has_gradient = np.array([not has_zero_gradient(case.name, path) for path in paths])
        ours, theirs = digest(found.gradients), recorded["gradients"]
        assert_digests(ours[has_gradient], theirs[has_gradient], tolerance)
        # The others are rounding on both sides.
        for gradients in (ours, theirs):
            assert np.all(gradients[~has_gradient] < 1e-9 * gradients.max())

        if case.name in TRAINED:
            # How an optimizer moves parameters is the same in all models; in deep ones a step takes seconds.
            for optimizer in OPTIMIZERS if exact else ["sgd"]:
                rate, _ = OPTIMIZERS[optimizer]
                moved = changes(case, run, drawn, optimizer, found.gradients)
                ours, theirs = digest(moved), recorded[optimizer]
                least = rate * np.sqrt([leaf.size for _, leaf in leaves])
                apart = AFTER_STEPS[optimizer] if exact else AFTER_STEPS_OF_A_DEEP_MODEL
                assert_digests(ours[has_gradient], theirs[has_gradient], apart, least[has_gradient])


def assert_digests(ours, theirs, tolerance, least_norm=0.0):
    assert ours.shape == theirs.shape
    error = np.abs(ours - theirs).max(axis=1, initial=0)
    norm = np.maximum(theirs[:, 0], least_norm)
    # The second number is the norm times a random one, now and then up to 4.
    assert np.all(error <= 4 * tolerance * norm), np.max(error / norm)
