"""CI's time: models beyond the reports take turns, so that a commit compiles a third of them and three all.

CIFAR_JAX_TURN=7/3 pytest -m thorough      leaves two thirds of them out; without it nothing is left out
"""


def of_this_turn(items, turn):
    """Split tests into those whose turn it is and the others: two lists.

    Args:
        items: pytest.Items; those of a model have it as their parameter `name` or `case`.
        turn: "NUMBER/OF", such as "7/3".
    """
    from cases import REPORT_MODELS

    from cifar_jax import models

    number, of = map(int, turn.split("/"))
    beyond = [name for name in models.names() if name not in REPORT_MODELS]
    waits = {name for place, name in enumerate(beyond) if (place - number) % of}
    kept = [item for item in items if _model(item) not in waits]
    return kept, [item for item in items if _model(item) in waits]


def _model(item):
    if item.path.parent.name != "models" or not hasattr(item, "callspec"):
        return None
    case = item.callspec.params.get("case")
    return getattr(case, "name", None) or item.callspec.params.get("name")
