"""The models against values recorded from PyTorch in float64, without PyTorch: see record_golden.py."""

import jax
import pytest
from cases import CASES, changes, program, variables
from recorded import assert_recorded


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_model_gives_the_recorded_values(case):
    with jax.enable_x64(True):
        drawn = jax.device_put(variables(case))
        run = program(case, "float64")
        found = run(drawn["params"], drawn.get("batch_stats", {}))
        assert_recorded(
            case, found, lambda optimizer: changes(case, run, drawn, optimizer, found.gradients)
        )
