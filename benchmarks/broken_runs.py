"""Runs that are killed, damaged and starved: one method a fault."""

import collections
import contextlib
import csv
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from command_line import QUICK, command  # noqa: E402
from damages import DAMAGES, arrays_of, clock_set_back, flip_bit, mount, unmount  # noqa: E402
from outcomes import assert_same, outcome  # noqa: E402
from small_archives import Archives  # noqa: E402

OPTIONS = (*QUICK, "--config.total_epochs=12", "--config.log_every_steps=5")
TEMPORARY = "*.orbax-checkpoint-tmp*"


def started(arguments):
    return subprocess.Popen(
        arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finished(arguments):
    """(exit code, stdout, stderr)."""
    process = started(arguments)
    out, errors = process.communicate(timeout=600)
    return process.returncode, out, errors


def whole(arguments):
    """Runs to the end, which it must reach without a word on stderr; its stdout."""
    code, out, errors = finished(arguments)
    if code or errors:
        raise RuntimeError(f"exit code {code}: {errors}")
    return out


def is_same(workdir, expected):
    try:
        assert_same(outcome(workdir), expected)
    except AssertionError:
        return False
    return True


class Broken:
    """A method for each fault: () -> ([(exit code, stderr) of each hit], whether all ended the same, remark)."""

    def __init__(self, folder, kills, seed):
        self.folder, self.kills, self.moments = folder, kills, random.Random(seed)
        self.count = 0
        whole(command(self.new(), *OPTIONS))  # fills the compilation cache
        began = time.monotonic()
        self.undisturbed = self.new()
        whole(command(self.undisturbed, *OPTIONS))
        self.seconds = time.monotonic() - began
        self.expected = outcome(self.undisturbed)

    def new(self, name="run"):
        self.count += 1
        return self.folder / f"{name}{self.count}"

    def signalled(self, number, times, hit, arguments, same):
        """Runs that are sent a signal again and again, until so many were hit.

        Args:
            hit: (process, workdir) -> None, returns at the moment.
            arguments: of a workdir.
            same: whether a workdir that came to its end is as the undisturbed one.
        """
        exits, ended, workdir = [], [], self.new()
        while len(exits) < times:
            began, process = time.monotonic(), started(arguments(workdir))
            hit(process, workdir)
            process.send_signal(number)
            _, errors = process.communicate(timeout=600)
            if process.returncode == 0:  # too late
                self.seconds = time.monotonic() - began  # of a machine that others use, too
                ended.append(same(workdir))
                workdir = self.new()
                continue
            exits.append((process.returncode, errors))
            self.in_a_write += bool(list(workdir.rglob(TEMPORARY)))
        whole(arguments(workdir))
        return exits, [*ended, same(workdir)]

    def at_random(self, process, _):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(self.moments.uniform(0, self.seconds))

    def in_the_next_write(self, process, workdir):
        checkpoints, wanted = workdir / "checkpoints", self.moments.randrange(8)
        seen = set()
        while process.poll() is None:
            seen |= {each.name for each in checkpoints.glob(TEMPORARY)}
            if len(seen) > wanted:
                time.sleep(self.moments.uniform(0, 0.03))
                return
            time.sleep(0.001)

    def run_signalled(self, number, times, hit):
        self.in_a_write = 0
        return self.signalled(
            number,
            times,
            hit,
            lambda workdir: command(workdir, *OPTIONS),
            lambda workdir: is_same(workdir, self.expected),
        )

    def SIGKILL(self):
        """At random moments from the start of the process on, and while a checkpoint is written."""
        writes = self.kills * 2 // 5
        exits, same = self.run_signalled(signal.SIGKILL, self.kills - writes, self.at_random)
        by_chance = self.in_a_write
        more, again = self.run_signalled(signal.SIGKILL, writes, self.in_the_next_write)
        remark = f"{by_chance + self.in_a_write} of them left a half-written checkpoint"
        return exits + more, all(same + again), f"{remark}; {len(same + again)} runs"

    def SIGTERM(self):
        """At random moments; one before the program's first line, which nothing can answer, ends it with -15."""
        exits, same = self.run_signalled(signal.SIGTERM, max(1, self.kills // 5), self.at_random)
        return exits, all(same), f"{len(same)} runs"

    def SIGINT(self):
        """Ctrl-C, at random moments; one while Python itself starts is answered by Python."""
        exits, same = self.run_signalled(signal.SIGINT, max(1, self.kills // 5), self.at_random)
        return exits, all(same), f"{len(same)} runs"

    def full_disk(self):
        exits, same = [], []
        for kilobytes in (4, 100, 800, 1200):
            disk = self.new("disk")
            disk.mkdir()
            if reason := mount(disk, f"size={kilobytes}k"):
                return [], None, reason
            try:
                code, _, errors = finished(command(disk / "run", *OPTIONS))
                if code == 0:
                    continue
                exits.append((code, errors))
                mount(disk, "remount,size=64m")
                whole(command(disk / "run", *OPTIONS))
                same.append(is_same(disk / "run", self.expected))
            finally:
                unmount(disk)
        return (
            exits,
            all(same),
            "with room for nothing, a config, part of a checkpoint and of two; then there is room",
        )

    def read_only_workdir(self):
        disk = self.new("disk")
        disk.mkdir()
        if reason := mount(disk, "size=64m"):
            return [], None, reason
        try:
            shutil.copytree(self.undisturbed, disk / "run")
            mount(disk, "remount,ro")
            exits = [finished(command(disk / name, *OPTIONS))[::2] for name in ("run", "new")]
            same = is_same(disk / "run", self.expected)
        finally:
            unmount(disk)
        return exits, same, "a finished run, and a new one"

    def damaged_checkpoint(self):
        """The newest one: found, kept under another name, and the run ends as it did."""
        exits, same = [], []
        for damage in DAMAGES:
            workdir = shutil.copytree(self.undisturbed, self.new())
            checkpoints, last = workdir / "checkpoints", self.expected[2]["steps"]
            damage(arrays_of(checkpoints, last))
            before = sorted(path.name for path in (checkpoints / str(last)).rglob("*"))
            code, out, errors = finished(command(workdir, *OPTIONS))
            exits.append((code, errors))
            kept = sorted(path.name for path in (checkpoints / f"{last}.damaged").rglob("*"))
            said = [line for line in out.splitlines() if " is damaged (" in line]
            same.append(kept == before and len(said) == 1 and is_same(workdir, self.expected))
        names = ", ".join(damage.__name__ for damage in DAMAGES)
        return exits, all(same), f"{names}; one line on stdout"

    def clock_set_back(self):
        """By a day at each start, and by a minute each time that it is asked."""
        workdir, exits = self.new(), []
        for days in (1, 2):
            arguments = command(workdir, *OPTIONS)[3:]
            process = started([sys.executable, "-c", clock_set_back(days), *arguments])
            while days == 1 and not any(
                path.name.isdecimal() for path in workdir.glob("checkpoints/*")
            ):
                time.sleep(0.01)
            if days == 1:
                process.kill()
            _, errors = process.communicate()
            exits.append((process.returncode, errors))
        return exits, is_same(workdir, self.expected), "killed, and gone on with a day earlier"

    def two_trainings(self):
        workdir = self.new()
        first = started(command(workdir, *OPTIONS))
        while not (workdir / "metrics.jsonl").exists():
            time.sleep(0.01)
        first.send_signal(signal.SIGSTOP)
        exits = [finished(command(workdir, *OPTIONS))[::2]]
        first.kill()
        first.communicate()
        whole(command(workdir, *OPTIONS))
        return exits, is_same(workdir, self.expected), "the first is killed, then it goes on"

    def damaged_data_cache(self):
        data = self.new("data")
        data.mkdir()
        archive = Archives().make(data / "cifar-10-binary.tar.gz", "cifar10-binary", 40)
        options = (
            *OPTIONS,
            "--config.dataset.name=cifar10",
            f"--config.dataset.data_dir={data}",
            f"--config.dataset.archive={archive}",
            "--config.optimizer.learning_rate=0.001",
        )
        workdir, exits, same = self.new(), [], []
        whole(command(workdir, *options))
        expected, cache = outcome(workdir), data / "cifar10/3.0.2/cifar_jax_cache"
        for damage in DAMAGES:
            damage(cache / "train_images.npy")
            workdir = self.new()
            code, out, errors = finished(command(workdir, *options))
            exits.append((code, errors))
            same.append(out.count(" is damaged (") == 1 and is_same(workdir, expected))
        names = ", ".join(damage.__name__ for damage in DAMAGES)
        return exits, all(same), f"{names}; one line on stdout"

    def tensorboard_unwritable(self):
        workdir = self.new()
        workdir.mkdir()
        (workdir / "tensorboard").write_text("no folder")
        code, out, errors = finished(command(workdir, *OPTIONS, "--config.tensorboard=true"))
        told = out.count("no TensorBoard events") == 1
        return [(code, errors)], told and is_same(workdir, self.expected), "one line on stdout"

    def tensorboard_after_kills(self):
        """No point is there twice. What a killed process had not yet passed on is lost, and counted."""
        from tensorboard.backend.event_processing import event_accumulator

        def points(workdir):
            events = str(workdir / "tensorboard")
            everything = {event_accumulator.TENSORS: 0}  # by default a sample of ten
            accumulator = event_accumulator.EventAccumulator(events, everything).Reload()
            tags = accumulator.Tags()["tensors"]
            return collections.Counter(
                (tag, each.step) for tag in tags for each in accumulator.Tensors(tag)
            )

        def arguments(workdir):
            return command(workdir, *OPTIONS, "--config.tensorboard=true")

        def same(workdir):
            nonlocal lost
            lost += (expected - points(workdir)).total()
            return not points(workdir) - expected and is_same(workdir, self.expected)

        workdir, lost = self.new(), 0
        whole(arguments(workdir))
        expected = points(workdir)
        self.in_a_write = 0
        exits, ended = self.signalled(signal.SIGKILL, 3, self.in_the_next_write, arguments, same)
        points_in_all = expected.total() * len(ended)
        return exits, all(ended), f"no point twice, {lost} of {points_in_all} lost"

    def sweep(self):
        """SIGKILL at random moments; then its newest checkpoint is damaged."""

        def arguments(workdir):
            start = [sys.executable, "-m", "cifar_jax.sweep", "--config"]
            return [*start, "configs/sweeps/quickstart.py", "--workdir", str(workdir)]

        def tables(workdir):
            rows = []
            for name in ("results.csv", "runs.csv"):
                with (workdir / name).open(newline="") as file:
                    rows += [row | {"seconds": None} for row in csv.DictReader(file)]
            return rows

        def same(workdir):
            return tables(workdir) == expected

        workdir, began = self.new("sweep"), time.monotonic()
        whole(arguments(workdir))
        expected, self.seconds = tables(workdir), time.monotonic() - began
        self.in_a_write = 0
        exits, ended = self.signalled(
            signal.SIGKILL,
            5,
            self.at_random,
            arguments,
            same,
        )
        last = max((workdir / "checkpoints/0").glob("[0-9]*"), key=lambda path: int(path.name))
        flip_bit(arrays_of(last.parent, last.name))
        code, out, errors = finished(arguments(workdir))
        told = out.count(" is damaged (") == 1
        remark = "5 kills; then a flipped bit in the newest checkpoint"
        return [*exits, (code, errors)], all(ended) and told and same(workdir), remark
