"""Early stopping against a Python loop that says what the docstring says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cifar_jax import config as config_lib
from cifar_jax.train import monitors
from cifar_jax.train.monitors import GAP, PATIENCE, RUNNING


def reference(metrics, gaps, mode, patience, min_delta, max_gap):
    """(epoch, reason) of the end, epochs from 1; (None, RUNNING) where there is none."""
    best, waited = None, 0
    for epoch, (metric, gap) in enumerate(zip(metrics, gaps, strict=True), 1):
        gain = None if best is None else (best - metric if mode == "min" else metric - best)
        if gain is None or gain > min_delta:
            best, waited = metric, 0
        else:
            waited += 1
        if patience and waited >= patience:
            return epoch, PATIENCE
        if max_gap and gap > max_gap:
            return epoch, GAP
    return None, RUNNING


EIGHTHS = st.integers(-16, 16).map(lambda x: x / 8)  # exact in float32


@settings(max_examples=60, deadline=None)
@given(
    epochs=st.lists(st.tuples(EIGHTHS, EIGHTHS), min_size=1, max_size=15),
    options=st.fixed_dictionaries(
        {
            "mode": st.sampled_from(["min", "max"]),
            "patience": st.integers(0, 4),
            "min_delta": st.sampled_from([0.0, 0.25]),
            "max_gap": st.sampled_from([0.0, 1.5]),
        }
    ),
)
def test_stops_when_and_why_the_loop_does(epochs, options):
    state = monitors.stopping_init(options["mode"])
    end, reasons = None, []
    for epoch, (metric, gap) in enumerate(epochs, 1):
        state = monitors.stopping_update(state, jnp.float32(metric), jnp.float32(gap), **options)
        reasons.append(int(state.reason))
        end = end or (epoch if state.reason else None)
    metrics, gaps = zip(*epochs, strict=True)
    assert (end, reasons[-1]) == reference(metrics, gaps, **options)


def test_a_run_that_has_stopped_stays_so_while_others_go_on():
    """As a sweep has it: a state for each run, one program."""
    options = {"mode": "min", "patience": 2, "max_gap": 10.0}
    metrics = np.float32([[3, 4, 4, 1, 1], [3, 2, 1, 0, 0], [3, 2, 1, 1, 1], [3, 2, 1, 0, 0]]).T
    gaps = np.float32([[0, 0, 0, 0, 0], [0, 0, 11, 0, 0], [0, 0, 0, 0, 11], [10] * 5]).T
    update = jax.jit(jax.vmap(lambda *x: monitors.stopping_update(*x, **options)))
    states = jax.tree.map(lambda leaf: jnp.stack([leaf] * 4), monitors.stopping_init("min"))
    reasons = []
    for metric, gap in zip(metrics, gaps, strict=True):
        states = update(states, metric, gap)
        reasons.append(states.reason.tolist())
    running = [RUNNING] * 4
    third = [PATIENCE, GAP, RUNNING, RUNNING]
    assert reasons == [running, running, third, third, [PATIENCE, GAP, PATIENCE, RUNNING]]
    assert states.best.tolist() == [3, 1, 1, 0] and states.bad_epochs.tolist() == [2, 0, 2, 1]


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (RUNNING, None),
        (PATIENCE, "validation_loss did not improve in 4 epochs"),
        (GAP, "training accuracy is more than 10 points above validation accuracy"),
    ],
)
def test_reason_in_words(reason, text):
    config = config_lib.default()
    config.early_stopping.update(patience=4, max_gap=10.0)
    assert monitors.stopping_reason(jnp.int32(reason), config.early_stopping) == text
