"""Two tiers: `pytest` alone runs the first, `pytest -m thorough` the rest, as CI does (but see turns.py).

Compiling a deep model takes longer than all that is proven with it. So the first tier takes some of each kind, and
the second the others: together every one, and each only once.
"""

import pytest


def tiered(cases, first):
    """Parameters of a test: those among `first` are the first tier's, the others the second's."""
    missing = [case for case in first if case not in cases]
    assert not missing, f"not among the cases: {missing}"
    return [case if case in first else pytest.param(case, marks=THOROUGH) for case in cases]


THOROUGH = pytest.mark.thorough

# Of anything that can be drawn the first tier takes a tenth.
EXAMPLES = [2, pytest.param(20, marks=THOROUGH)]
