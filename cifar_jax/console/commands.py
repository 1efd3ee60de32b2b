"""The program `cifar-jax`: every command by its name, each as `python -m cifar_jax.NAME` is."""

import ast
import pathlib
import runpy
import sys

from cifar_jax import __version__
from cifar_jax.console import endings, program
from cifar_jax.errors import UserError, nearest

# Name -> module, in the order in which they are met.
COMMANDS = {
    "main": "main",
    "plan": "plan",
    "sweep": "sweep.__main__",
    "prepare": "data.prepare",
    "evaluate": "evaluate",
    "predict": "predict",
    "serve": "serve",
    "gradcam": "gradcam",
    "ood": "ood",
    "report": "report",
    "export": "export",
    "weights": "weights",
    "summary": "summary",
    "experiments": "experiments",
    "reproduce": "reproduce",
}
PACKAGE = pathlib.Path(__file__).parents[1]


def main():
    """Run the command that sys.argv names, and end the process as it does."""
    program.called_by_script()
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in COMMANDS:
        sys.exit(endings.guarded(_without_command)(name))
    del sys.argv[1]
    runpy.run_module(
        f"cifar_jax.{COMMANDS[name].removesuffix('.__main__')}", run_name="__main__", alter_sys=True
    )


def _without_command(name):
    if name in ("--help", "-h"):
        print(overview())
    elif name == "--version":
        print(f"{program.SCRIPT} {__version__}")
    elif name:
        raise UserError(f"there is no command {name!r}; {nearest(name, COMMANDS)}")
    else:
        raise UserError(f"no command is named; {program.SCRIPT} --help lists them")


def overview():
    """List the commands with the first lines of their helps, which are read without importing them."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {_first_line(module)}" for name, module in COMMANDS.items()]
    return "\n".join(
        [
            f"usage: {program.SCRIPT} COMMAND ...",
            "",
            *lines,
            "",
            f"{program.SCRIPT} COMMAND --help says more of each.",
        ]
    )


def _first_line(module):
    path = PACKAGE.joinpath(*module.split(".")).with_suffix(".py")
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    return text.partition("\n")[0].rstrip(":.")
