"""Fields and values that were called otherwise: who types the old name is told the new one, records are read by it."""

FIELDS = {"optimizer.decay": "optimizer.weight_decay_mode"}
VALUES = {("schedule.name", "piecewise"): "step"}
GONE = ("schedule.mode",)  # follows from schedule.monitor


def of_record(flat):
    """A config of an earlier version, as of `loading.flatten`, by today's names; today's as it is."""
    values = {
        FIELDS.get(name, name): VALUES.get((name, value), value) if _hashable(value) else value
        for name, value in flat.items()
        if name not in GONE
    }
    # Milestones went with `step`, which today takes none.
    if values.get("schedule.name") == "step" and values.get("schedule.milestones"):
        values["schedule.name"] = "multistep"
    return values


def _hashable(value):
    return not isinstance(value, (list, dict))
