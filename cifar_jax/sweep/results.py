"""Rows of a sweep's tables: one for each run and epoch, and one for each run."""

import jax

from cifar_jax import metrics
from cifar_jax.machine import mesh as mesh_lib
from cifar_jax.runs import stacked
from cifar_jax.train import monitors

EPOCH_COLUMNS = (
    *("cell", "seed", "epoch", "step", "learning_rate", "train_loss", "train_accuracy"),
    *("validation_loss", "validation_accuracy", "status"),
)
RUN_COLUMNS = (
    *("cell", "seed", "status", "epochs", "steps", "best_epoch", "selected"),
    *("selected_test_accuracy", "selected_test_loss", "best_test_accuracy", "last_test_accuracy"),
    *("diverged_at_step", "stopped_early", "seconds", "folder"),
)


def epoch_rows(setup, group, stack, learning_rates, trained, evaluated):
    """Make the rows of an epoch, one for each run that took part.

    Args:
        setup: Setup of the group.
        group: groups.Group.
        stack: after the epoch.
        learning_rates: [R], of the last step.
        trained: {"loss", "accuracy"}, [R], means of the epoch.
        evaluated: EvalMetrics [R] of the validation split; None without.
    Returns:
        list of dicts with EPOCH_COLUMNS, and "split": "epoch". A run that diverged has no figures.
    """
    step = int(stack.step)
    states = statuses(setup, stack)
    # One that diverged within this epoch has done at least one step of it, too.
    took_part = mesh_lib.on_host(stack.members.state.step) > step - setup.steps_per_epoch
    validation = summaries(evaluated) if evaluated is not None else None
    rows = []
    for i, member in enumerate(group.runs):
        if not took_part[i]:
            continue
        figures = {"train_loss": float(trained["loss"][i])}
        figures["train_accuracy"] = float(trained["accuracy"][i])
        for name in ("loss", "accuracy"):
            figures[f"validation_{name}"] = validation and validation[i][name]
        if states[i] == "diverged":
            figures = dict.fromkeys(figures)
        place = {"split": "epoch", "step": step, "epoch": step // setup.steps_per_epoch}
        rate = {"learning_rate": learning_rates[i], "status": states[i]}
        rows.append({"cell": member.cell, "seed": member.seed, **place, **rate, **figures})
    return rows


def summaries(evaluated):
    """Summarize each run of an EvalMetrics [R] by metrics.summarize: a list."""
    evaluated = mesh_lib.on_host(evaluated)
    return [
        metrics.summarize(jax.tree.map(lambda x, i=i: x[i], evaluated))
        for i in range(len(evaluated.loss))
    ]


def statuses(setup, stack):
    """Return what became of each run so far: a list of "running", "finished", "stopped early", "diverged"."""
    members = stack.members
    each = mesh_lib.on_host((members.diverged, members.state.step, members.active))

    def status(diverged, step, active):
        if diverged != metrics.NEVER:
            return "diverged"
        if step == setup.total_steps:
            return "finished"
        return "running" if active else "stopped early"

    return list(map(status, *each))


def test(setup, stack):
    """Read the test set, once, for the best and the last parameters of each run.

    Returns:
        {"best" (with a validation set) and "last": list of metrics.summarize, one for each run}.
    """
    test = setup.put(*setup.dataset.split("test"))
    variables = {"last": stack.members.state.variables}
    if setup.validation is not None:
        variables = {"best": stack.best.variables, **variables}
    return {
        name: summaries(setup.programs.evaluate(each, test)) for name, each in variables.items()
    }


def run_rows(setup, group, stack, train_seconds, tested, names):
    """Make the rows of a group's runs at its end.

    Args:
        train_seconds: of the group; each run gets an equal share.
        tested: of `test`.
        names: {"CELL/SEED": name of its folder}.
    Returns:
        list of dicts with RUN_COLUMNS. A run that diverged has no result, whatever its best epoch.
    """
    selected = "last" if setup.config.selection == "last" else "best"
    states = statuses(setup, stack)
    members, reasons = stack.members, stack.members.state.early_stopping.reason
    diverged, done, reasons, best_epoch = mesh_lib.on_host(
        (members.diverged, members.state.step, reasons, stack.best.epoch)
    )
    rows = []
    for i, member in enumerate(group.runs):
        row = {"cell": member.cell, "seed": member.seed, "status": states[i], "selected": selected}
        row["steps"] = min(int(done[i]), int(diverged[i]))  # NEVER is the greatest number
        row["epochs"] = row["steps"] // setup.steps_per_epoch
        row["seconds"] = train_seconds / len(group.runs)
        if best_epoch[i]:
            row["best_epoch"] = int(best_epoch[i])
            row["best_test_accuracy"] = tested["best"][i]["accuracy"]
        if states[i] == "diverged":
            row["diverged_at_step"] = int(diverged[i])
        else:
            row["last_test_accuracy"] = tested["last"][i]["accuracy"]
            row["selected_test_accuracy"] = tested[selected][i]["accuracy"]
            row["selected_test_loss"] = tested[selected][i]["loss"]
            row["folder"] = f"{stacked.FOLDER}/{names[member.name]}"
        if states[i] == "stopped early":
            row["stopped_early"] = monitors.stopping_reason(reasons[i], setup.config.early_stopping)
        rows.append(dict.fromkeys(RUN_COLUMNS) | row)
    return rows
