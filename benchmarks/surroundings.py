"""Runs in odd surroundings: names, files that are gone, environments and data. One method a case."""

import itertools
import json
import shutil
import sys
import time

import numpy as np
from broken_runs import OPTIONS, ROOT, finished, is_same, signal, started, whole
from command_line import command
from jax_variables import VARIABLES
from nobody import possible, run_as_nobody
from outcomes import outcome
from PIL import Image
from small_archives import Archives

CONSTANT_CHANNEL = f"""
import sys
sys.path[:0] = [{str(ROOT / "tests")!r}]
from test_first_loss import constant_channel
from cifar_jax import data, main
from cifar_jax.console import endings
digits = data.load("digits")
data.load = lambda *_, **__: constant_channel(digits)
endings.run(main.main)
"""


def other(name, *arguments):
    return [sys.executable, "-m", f"cifar_jax.{name}", *map(str, arguments)]


def content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Surroundings:
    """A method for each case: () -> ([(exit code, stderr) of each process], whether all is as it should, remark)."""

    def every_command(self):
        """That opens a run, in a folder whose name has brackets."""
        run, out = self.undisturbed, self.new("out")
        out.mkdir()
        Image.new("RGB", (40, 30)).save(out / "cat.png")
        before = content(run / "checkpoints")
        lines = {
            "main": (),
            "predict": ("--workdir", run, out / "cat.png"),
            "evaluate": ("--workdir", run, "--no-speed", "--out", out / "evaluation"),
            "gradcam": ("--workdir", run, "--images", out / "cat.png", "--out", out / "gradcam"),
            "ood": ("--workdir", run, "--ood", "noise", "--count", 50, "--out", out / "ood"),
            "report": (run, "--out", out / "r.html"),
            "export": ("--workdir", run, "--out", out / "model"),
            "weights": ("--workdir", run, "--target", out / "w.npz"),
        }
        made = [
            finished(command(run, *OPTIONS) if name == "main" else other(name, *arguments))
            for name, arguments in lines.items()
        ]
        same = is_same(run, self.expected)
        kept = content(run / "checkpoints") == before
        return [each[::2] for each in made], same and kept, ", ".join(lines)

    def url_for_a_path(self):
        """Refused at the door; nothing is made."""
        url = "gs://bucket/run"
        lines = [
            command(url, *OPTIONS),
            command(self.new(), *OPTIONS, f"--config.dataset.data_dir={url}"),
            other("predict", "--workdir", url, "cat.png"),
            other("export", "--workdir", self.undisturbed, "--out", url),
        ]
        made = [finished(each)[::2] for each in lines]
        refused = all(code == 2 and " is a URL" in errors for code, errors in made)
        return made, refused and not (ROOT / "gs:").exists(), "nothing is left behind"

    def newer_checkpoint(self):
        """Of a format that this version does not know: whole, so left alone."""
        from cifar_jax.runs import checksums

        run = shutil.copytree(self.undisturbed, self.new())
        for checkpoint in (run / "checkpoints").glob("[0-9]*"):
            (checkpoint / "state/_METADATA").write_text(json.dumps({"format": "newer"}))
            (checkpoint / checksums.LIST).unlink()
            checksums.write_list(checkpoint)
        before = content(run / "checkpoints")
        made = [
            finished(command(run, *OPTIONS))[::2],
            finished(other("evaluate", "--workdir", run))[::2],
        ]
        told = all(code == 2 and "can't be read here" in errors for code, errors in made)
        return made, told and content(run / "checkpoints") == before, "nothing in it was changed"

    def of_archive(self):
        """(workdir, archive, command line's options) of a training on a small archive."""
        data = self.new("data")
        data.mkdir()
        archive = Archives().make(data / "cifar.tar.gz", "cifar10-binary", 40)
        names = {"name": "cifar10", "data_dir": data, "archive": archive}
        options = [f"--config.dataset.{name}={value}" for name, value in names.items()]
        return self.new(), archive, (*OPTIONS, *options, "--config.optimizer.learning_rate=0.001")

    def archive_gone(self):
        """Killed; then goes on, is evaluated and reported without the archive that its data were made from."""
        workdir, archive, options = self.of_archive()
        whole(command(workdir, *options))
        expected, again = outcome(workdir), self.new()
        exits = [self.killed(again, options)]
        archive.unlink()
        out = self.new("out")
        for line in (
            command(again, *options),
            other("evaluate", "--workdir", again, "--no-speed", "--no-figures", "--out", out),
            other("report", again, "--out", f"{out}.html"),
        ):
            exits.append(finished(line)[::2])
        return exits, is_same(again, expected), "killed, gone on with, evaluated, reported"

    def killed(self, workdir, options):
        """A run that is killed once it has a checkpoint: (exit code, stderr)."""
        process = started(command(workdir, *options))
        while process.poll() is None and not any(
            path.name.isdecimal() for path in workdir.glob("checkpoints/*")
        ):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        _, errors = process.communicate()
        return process.returncode, errors

    def weights_gone(self):
        """A fine-tuning that is killed, and goes on without the file that it began with."""
        file, workdir, again = self.new("w").with_suffix(".npz"), self.new(), self.new()
        whole(other("weights", "--workdir", self.undisturbed, "--target", file))
        options = (*OPTIONS, f"--config.model.weights={file}")
        whole(command(workdir, *options))
        expected, exits = outcome(workdir), [self.killed(again, options)]
        file.unlink()
        exits.append(finished(command(again, *options))[::2])
        return exits, is_same(again, expected), "killed, gone on with"

    def no_home(self):
        """User 12345 without an entry in passwd, as in a container."""
        if not possible():
            return [], None, "user namespaces are not to be had here"
        workdir, temporary = self.new(), self.new("tmp")
        temporary.mkdir()
        start = ("--config", "configs/quickstart.py", "--workdir", workdir, *OPTIONS)
        # The programs of the undisturbed run, whose numbers are compared.
        done = run_as_nobody("main", *start, cwd=ROOT, temporary=temporary, XLA_FLAGS="")
        return (
            [(done.returncode, done.stderr)],
            is_same(workdir, self.expected),
            "one line on stderr",
        )

    def jax_variables(self):
        """Which change what JAX computes, and its logs."""
        exits, same = [], []
        for variables in VARIABLES.values():
            workdir = self.new()
            line = command(workdir, *OPTIONS)
            assignments = [f"{name}={value}" for name, value in variables.items()]
            code, _, errors = finished(["env", *assignments, *line])
            exits.append((code, errors))
            same.append(is_same(workdir, self.expected))
        return exits, all(same), ", ".join(itertools.chain(*VARIABLES.values()))

    def constant_channel(self):
        """In all images of the digits: its deviation is 0."""
        arguments = command(self.new(), *OPTIONS)[3:]
        code, out, errors = finished([sys.executable, "-c", CONSTANT_CHANNEL, *arguments])
        told = " ".join(out.split()).count("channel 1 has one value") == 1
        return [(code, errors)], told and not code, "trains, and one line says so"

    def great_weights(self):
        """The loss is not finite before any update; the message names what is."""
        file = self.new("w").with_suffix(".npz")
        whole(other("weights", "--workdir", self.undisturbed, "--target", file))
        with np.load(file) as arrays:
            great = {name: np.full_like(array, 1e30) for name, array in arrays.items()}
        np.savez(file, **great)
        code, _, errors = finished(command(self.new(), *OPTIONS, f"--config.model.weights={file}"))
        told = "weights up to 1e+30" in errors and "learning" not in errors
        return [(code, errors)], told, "the weights are named as the cause"

    def weights_of_torch(self):
        """Under the names that torch.compile and averaging give: the same training as from the plain ones."""
        plain, odd = (self.new("w").with_suffix(".npz") for _ in range(2))
        whole(other("weights", "--workdir", self.undisturbed, "--target", plain))
        with np.load(plain) as arrays:
            names = {f"_orig_mod.module.{name}": array for name, array in arrays.items()}
        np.savez(odd, n_averaged=np.int64(3), **names)
        first, second = self.new(), self.new()
        whole(command(first, *OPTIONS, f"--config.model.weights={plain}"))
        code, _, errors = finished(command(second, *OPTIONS, f"--config.model.weights={odd}"))
        return [(code, errors)], is_same(second, outcome(first)), "_orig_mod.module., n_averaged"

    def range_unknown(self):
        """Pictures of integers of 32 bits: refused, where black was answered with confidence."""
        folder = self.new("pictures")
        folder.mkdir()
        Image.fromarray(np.arange(256, dtype=np.int32).reshape(16, 16)).save(folder / "deep.tiff")
        Image.new("RGB", (40, 30)).save(folder / "cat.png")
        code, out, errors = finished(other("predict", "--workdir", self.undisturbed, folder))
        told = "whose range nothing tells" in errors and out.count("cat.png") == 1
        return [(code, errors)], told and code == 1, "the other picture is answered"
