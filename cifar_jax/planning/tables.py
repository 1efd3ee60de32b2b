"""A plan as a table: a column for each kind of devices."""

from cifar_jax.console.progress import duration
from cifar_jax.console.tables import Table, percent


def of_plans(title, results):
    """Tabulate plans.

    Args:
        title: str.
        results: of plans.plan; those that do not fit may be None, beside their name: [(name, dict or None)].
    """
    rows = {}
    for place, (_, result) in enumerate(results):
        for name, text in lines(result):
            rows.setdefault(name, ["-"] * len(results))[place] = text
    columns = ("", *(name for name, _ in results))
    return Table(title, columns, [(name, *cells) for name, cells in rows.items()])


def lines(result):
    """Yield (name, text) of a plan."""
    if result is None:
        yield "memory a device", "not enough"
        return
    train, memory, seconds = result["train"], result["memory"], result["seconds"]
    yield "devices", f"{result['device_count']:,}"
    if result["runs"]:
        yield (
            "runs, a device",
            f"{result['runs']:,}, {-(-result['runs'] // result['device_count']):,}",
        )
    yield "batch, a device", f"{result['batch_size']:,}, {result['batch_a_device']:,}"
    there = (
        f" of {memory['there'] / 1e9:.0f} GB, {percent(memory['share'], 1)}"
        if memory["there"]
        else " MB"
    )
    used = memory["used"] / 1e9
    yield (
        "memory a device",
        f"{used:.3f}{there}" if memory["there"] else f"{1e3 * used:,.0f}{there}",
    )
    yield "  data set", f"{memory['data'] / 1e6:,.1f} MB"
    yield "  arguments", f"{train['argument_bytes'] / 1e6:,.1f} MB"
    yield "  temporaries", f"{train['temporary_bytes'] / 1e6:,.1f} MB"
    sent = [
        f"{each['count']} {kind}, {each['bytes'] / 1e6:,.3f} MB"
        for kind, each in train["collectives"].items()
    ]
    yield "sent a step", "; ".join(sent) or "nothing"
    if result["formula_bytes"]:
        yield "  by docs/scaling.md", f"{result['formula_bytes'] / 1e6:,.3f} MB"
    yield "operations a step, a device", f"{train['flops'] / 1e9:,.3f} GFLOP"
    if train["cycles"]:
        yield "cycles a step *", f"{train['cycles']:,}"
    if seconds:
        yield "a step *", f"{1e3 * seconds['step']:,.3f} ms"
        yield "  of it sending *", f"{1e3 * seconds['communication']:,.3f} ms"
        yield "an epoch *", duration(seconds["epoch"])
        yield "the whole training *", duration(seconds["total"])
        yield "  * estimated by", seconds["basis"]
    compiling = train["compile_seconds"] + result.get("evaluate", {}).get("compile_seconds", 0)
    yield "compilation took", f"{compiling:.1f} s"
