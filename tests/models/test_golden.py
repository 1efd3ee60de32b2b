"""The models against values recorded from PyTorch in float64, without PyTorch: see record_golden.py."""

import jax
import pytest
from cases import CASES, VALUES_ONLY, Case, changes, program, variables
from recorded import assert_recorded
from tiers import tiered

# Of the kinds of blocks that compile in a few seconds one each; Inception's, DenseNet's and MobileNet's do not.
FIRST = ["basic_net", "big_net_improved"]


@pytest.mark.parametrize("case", tiered(CASES, list(map(Case, FIRST))), ids=lambda case: case.id)
def test_model_gives_the_recorded_values(case):
    with jax.enable_x64(True):
        drawn = jax.device_put(variables(case))
        run = program(case, "float64", differentiated=case.name not in VALUES_ONLY)
        outputs = run(drawn["params"], drawn.get("batch_stats", {}))
        changed = changes(case, run, drawn, outputs.gradients)
        assert_recorded(case, outputs, changed.__getitem__)
