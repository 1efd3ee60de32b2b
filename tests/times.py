"""What the tests took, beside what they took at the last commit: a report, never a failure, as machines are noisy.

CIFAR_JAX_RECORD_TIMES=1 pytest -n auto --dist worksteal      writes the record anew, tests/times.json
"""

import collections
import json
import os
import pathlib

RECORD = pathlib.Path(__file__).parent / "times.json"
LONG = 15  # seconds


class Times:
    """A plugin of pytest."""

    def __init__(self, config):
        self.tier = config.option.markexpr or "all"
        self.seconds = collections.Counter()

    def pytest_runtest_logreport(self, report):
        self.seconds[report.nodeid] += report.duration

    def pytest_terminal_summary(self, terminalreporter, config):
        if len(self.seconds) < 2 or hasattr(config, "workerinput"):
            return
        recorded = json.loads(RECORD.read_text()) if RECORD.exists() else {}
        before, now = recorded.get(self.tier, {}), summary(self.seconds)
        terminalreporter.section("seconds of the workers, and at the last record")
        terminalreporter.write_line(f"{now['sum']:8.0f} {before.get('sum', '-'):>8}  all")
        for name, seconds in now["long"].items():
            was = before.get("long", {}).get(name, "-")
            terminalreporter.write_line(f"{seconds:8.0f} {was:>8}  {name}")
        if os.environ.get("CIFAR_JAX_RECORD_TIMES"):
            RECORD.write_text(json.dumps(recorded | {self.tier: now}, indent=1) + "\n")


def summary(seconds):
    """{"sum": of all, "long": those of at least LONG, the longest first}, in whole seconds."""
    ordered = sorted(seconds.items(), key=lambda each: -each[1])
    return {
        "sum": round(sum(seconds.values())),
        "long": {name: round(each) for name, each in ordered if each >= LONG},
    }
