"""The bar of a sweep: the steps of all its runs."""

import io

from rich.console import Console

from cifar_jax.console.sweep_progress import SweepDisplay


def of_terminal():
    console = Console(file=io.StringIO(), force_terminal=True, width=160, highlight=False)
    return SweepDisplay(console)


def shown(display):
    """What the bar says at this moment, but for its times."""
    display._bar.refresh()
    task = display._bar.tasks[0]
    return task.description, task.completed, task.total


def test_it_counts_the_steps_of_all_groups():
    display = of_terminal()
    with display:
        display.plan([80, 20])
        display.group(0, 0)
        assert shown(display) == ("group 1/2 compiling", 0, 100)
        for done in (40, 80):
            display.interval(done, done // 40, 2)
        assert shown(display) == ("group 1/2 epoch 2/2", 80, 100)
        assert display._bar.tasks[0].time_remaining is not None
        display.group_ended(80)
        display.group(1, 0)
        assert shown(display) == ("group 2/2 compiling", 80, 100)
        assert display._bar.tasks[0].time_remaining is not None  # the speed is known still
        display.say("a line above it")
        display.interval(20, 1, 1)
        assert display._bar.finished
    said = display.console.file.getvalue()
    assert "80/100 steps" in said and "a line above it" in said and "ETA" in said


def test_a_group_that_stops_early_leaves_fewer_to_do():
    display = of_terminal()
    with display:
        display.plan([80, 20])
        display.group(0, 0)
        display.interval(30, 1, 2)
        display.group_ended(30)
        assert shown(display)[1:] == (30, 50)
        display.group(1, 0)
        display.interval(10, 1, 2)
        assert shown(display)[1:] == (40, 50)


def test_what_an_earlier_process_did_is_no_speed():
    display = of_terminal()
    with display:
        display.plan([80, 20])
        display.group(0, 80)
        display.group_ended(80)
        display.group(1, 10)
        assert shown(display) == ("group 2/2 compiling", 90, 100)
        display.interval(15, 2, 2)
        assert display._bar.tasks[0].time_remaining is None  # by one interval none is known


def test_elsewhere_there_are_lines_alone():
    display = SweepDisplay(Console(file=io.StringIO(), width=160))
    with display:
        display.plan([80])
        display.group(0, 40)
        display.interval(80, 2, 2)
        display.say("[x] a line")
        display.group_ended(80)
    assert display.console.file.getvalue() == "[x] a line\n"
