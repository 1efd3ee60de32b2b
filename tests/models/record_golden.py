"""Records the golden values of tests/models/golden from PyTorch, in float64:

  python tests/models/record_golden.py [MODEL ...]

One file a case, a few kB: logits (of the first ten classes) and loss, and for batch statistics,
gradients and the changes by three steps of each optimizer the digests of their leaves.
"""

import pathlib
import sys

import numpy as np

FOLDER = pathlib.Path(__file__).parent / "golden"
sys.path += [str(FOLDER.parent), str(FOLDER.parent.parent)]

import cases  # noqa: E402
import torch_side  # noqa: E402
from digests import digest  # noqa: E402


def record(case):
    variables = cases.variables(case)
    outputs = torch_side.outputs(case, variables)
    values = {
        "evaluation": outputs.evaluation[:, :10],
        "logits": outputs.logits[:, :10],
        "loss": outputs.loss,
        "batch_stats": digest(outputs.batch_stats),
        "gradients": digest(outputs.gradients),
    }
    for optimizer in cases.optimizers(case):
        values[optimizer] = digest(torch_side.changes(case, variables, optimizer))
    np.savez_compressed(FOLDER / f"{case.id}.npz", **values)


if __name__ == "__main__":
    for each in cases.CASES:
        if each.name in sys.argv[1:] or not sys.argv[1:]:
            record(each)
            print(each.id, flush=True)
