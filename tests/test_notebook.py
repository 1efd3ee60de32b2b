"""docs/notebook.ipynb runs from its first cell to its last, and a notebook's bar moves."""

import os
import sys
import types

import pytest
from command_line import ROOT

from cifar_jax.console import notebook_bar


@pytest.fixture
def handle(monkeypatch):
    """What a notebook is asked to write anew, in order; every writing is due."""
    written = []

    def display(first, display_id):
        written.append(first)
        return types.SimpleNamespace(update=written.append)

    module = types.SimpleNamespace(display=display)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(display=module))
    monkeypatch.setattr(notebook_bar, "LEAST", 0.0)
    return written


def test_the_bar_is_written_anew_at_every_step(handle):
    bar = notebook_bar.NotebookBar()
    task = bar.add_task("compiling", total=40)
    bar.start()
    bar.update(task, description="loss <1>")
    bar.update(task, completed=7)
    bar.stop()
    assert [repr(each) for each in handle] == [
        "compiling  0/40 steps", "loss <1>  0/40 steps", "loss <1>  7/40 steps", "loss <1>  7/40 steps",
    ]  # fmt: skip
    assert (
        '<progress value="7" max="40">' in handle[2]._repr_html_()
        and "loss &lt;1&gt;" in handle[2]._repr_html_()
    )


def test_a_program_is_no_notebook():
    assert not notebook_bar.in_notebook()


@pytest.mark.thorough
def test_every_cell_of_the_notebook_runs(tmp_path, monkeypatch):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    path = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), path])))
    notebook = nbformat.read(ROOT / "docs/notebook.ipynb", 4)
    where = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=where).execute()
    shown = [cell.outputs[-1] for cell in notebook.cells if cell.cell_type == "code"]
    assert all(len(each.data["text/plain"]) < 700 for each in shown)
    assert sum("image/png" in each.data for each in shown) == 3
    bars = [
        each
        for cell in notebook.cells
        for each in cell.get("outputs", ())
        if "<progress" in each.get("data", {}).get("text/html", "")
    ]
    assert len(bars) == 2 and all("800/800 steps" in each.data["text/html"] for each in bars)
    assert "mine on digits: test accuracy" in shown[-1].data["text/plain"]
