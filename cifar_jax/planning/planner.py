"""A plan, or what would make it fit."""

from cifar_jax.errors import ConfigError
from cifar_jax.planning import plans


def plan_or_advise(job, devices, say, fit=False, dropout_from_hyper=False):
    """Plan a job; where memory does not suffice say what would help, and plan the first that does.

    Args:
        job: jobs.Job.
        devices: devices.Devices.
        say: is told what is done, a line each.
        fit: whether to find the largest batch too: `largest_batch` of the result.
        dropout_from_hyper: of plans.plan.
    Returns:
        of plans.plan, with `changes`, {} where none are needed; None where nothing that is tried fits.
    """
    say(f"{devices.name}: compiling")
    result = attempt(job, devices, say, dropout_from_hyper)
    if result is not None:
        result["changes"] = {}
    for changes, words, other in () if result else plans.smaller(job, devices.count):
        listed = ", ".join(f"--config.{name}={value}" for name, value in changes.items())
        say(f"{devices.name}: trying {listed}: {words}")
        try:
            result = attempt(other, devices, say, dropout_from_hyper)
        except ConfigError as error:  # such as parts that the batch does not divide into
            say(f"{devices.name}: not so: {error}")
            continue
        if result is not None:
            say(f"{devices.name}: it fits with {listed}; planned so")
            result["changes"], job = changes, other
            break
    if fit and result is not None:
        result["largest_batch"] = plans.largest_batch(job, devices, say, dropout_from_hyper)
    return result


def attempt(job, devices, say, dropout_from_hyper):
    """Return plans.plan, or None, said, where it does not fit."""
    try:
        result = plans.plan(job, devices, dropout_from_hyper)
    except plans.TooLarge as error:
        used = f"{error.used / 1e9:.1f} GB" if error.used else "more memory than there is"
        say(f"{devices.name}: the compiler finds no room: {used} a device")
        return None
    if not plans.fits(result):
        memory = result["memory"]
        say(
            f"{devices.name}: {memory['used'] / 1e9:.1f} GB a device, of {memory['there'] / 1e9:.0f}"
        )
        return None
    return result
