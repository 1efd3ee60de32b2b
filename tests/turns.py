"""CI's time: some of the second tier takes turns, so that a commit runs a third of it and three commits all.

What takes turns are models beyond the reports, and files that walk through whole commands under one more circumstance.

CIFAR_JAX_TURN=7/3 pytest -m thorough      leaves two thirds of them out; without it nothing is left out
"""

# In groups that take about as long as each other, some 190 s on two cores.
WALKS = (
    ("test_how_to.py", "cluster", "test_combinations.py"),
    ("test_environment.py", "test_plugins.py", "test_not_asked_again.py", "test_long_runs.py"),
    ("test_own_folder.py", "test_documents.py", "test_notebook.py", "test_commands.py"),
)


def of_this_turn(items, turn):
    """Split tests into those whose turn it is and the others: two lists.

    Args:
        items: pytest.Items; those of a model have it as their parameter `name` or `case`.
        turn: "NUMBER/OF", such as "7/3".
    """
    from cases import REPORT_MODELS

    from cifar_jax import models

    number, of = map(int, turn.split("/"))
    beyond = [(name,) for name in models.names() if name not in REPORT_MODELS]
    waits = {
        name
        for groups in (beyond, WALKS)
        for place, group in enumerate(groups)
        for name in group
        if (place - number) % of
    }
    kept = [item for item in items if waits.isdisjoint(_names(item))]
    return kept, [item for item in items if not waits.isdisjoint(_names(item))]


def _names(item):
    """Return what may have turns of a test: its model, its file and its folder."""
    of_models = item.path.parent.name == "models" and hasattr(item, "callspec")
    params = item.callspec.params if of_models else {}
    model = getattr(params.get("case"), "name", None) or params.get("name")
    return {model, item.path.name, item.path.parent.name}
