"""What the tests took, beside what they took at the last record: a report, never a failure.

CPU time, their processes' included, so that what else the machine does counts for little.

CIFAR_JAX_RECORD_TIMES=1 pytest -n auto --dist worksteal      writes the record anew, tests/times.json
"""

import collections
import json
import os
import pathlib

import pytest

RECORD = pathlib.Path(__file__).parent / "times.json"
LONG = 15  # seconds


class Times:
    """A plugin of pytest."""

    def __init__(self, config):
        self.tier = config.option.markexpr or "all"
        self.seconds = collections.Counter()
        self.before = 0.0

    def pytest_collection_finish(self):
        self.before = cpu_seconds()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self):
        report = yield
        now = cpu_seconds()
        report.cpu_seconds = now - self.before  # xdist sends a report's attributes along
        self.before = now
        return report

    def pytest_runtest_logreport(self, report):
        self.seconds[report.nodeid] += getattr(report, "cpu_seconds", report.duration)

    def pytest_terminal_summary(self, terminalreporter, config):
        if len(self.seconds) < 2 or hasattr(config, "workerinput"):
            return
        recorded = json.loads(RECORD.read_text()) if RECORD.exists() else {}
        before, now = recorded.get(self.tier, {}), summary(self.seconds)
        terminalreporter.section("seconds of CPU time, and at the last record")
        terminalreporter.write_line(f"{now['sum']:8.0f} {before.get('sum', '-'):>8}  all")
        for name, seconds in now["long"].items():
            was = before.get("long", {}).get(name, "-")
            terminalreporter.write_line(f"{seconds:8.0f} {was:>8}  {name}")
        if os.environ.get("CIFAR_JAX_RECORD_TIMES"):
            RECORD.write_text(json.dumps(recorded | {self.tier: now}, indent=1) + "\n")


def cpu_seconds():
    """Return the seconds of CPU time that this process, its ended children and, on Linux, the living ones took."""
    threads = pathlib.Path("/proc/self/task").glob("*/children")
    living = [int(pid) for each in threads for pid in _text(each).split()]
    return sum(os.times()[:4]) + sum(map(_of_child, living))


def _of_child(pid):
    """Of a living child, and of its own ended ones: the fork server's are the commands that tests run."""
    fields = _text(pathlib.Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _text(path):
    """What /proc says of a thread or a process; nothing where it has ended meanwhile."""
    try:
        return path.read_text()
    except OSError:
        return ""


def summary(seconds):
    """{"sum": of all, "long": those of at least LONG, the longest first}, in whole seconds."""
    ordered = sorted(seconds.items(), key=lambda each: -each[1])
    return {
        "sum": round(sum(seconds.values())),
        "long": {name: round(each) for name, each in ordered if each >= LONG},
    }
