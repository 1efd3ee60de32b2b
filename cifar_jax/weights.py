"""Weights of a model between files, and out of a run:

  python -m cifar_jax.weights --model resnet18 --source kuangliu.safetensors --target resnet18.npz
  python -m cifar_jax.weights --workdir runs/resnet18 --target resnet18.safetensors --names torchvision

The source is a PyTorch state dict saved as .safetensors or .npz, in our names, kuangliu/pytorch-cifar's or
torchvision's; it is checked against the model, entry by entry. A .pt file holds arbitrary Python code; in
PyTorch, `safetensors.torch.save_file(model.state_dict(), "weights.safetensors")` makes one that does not.
To train from the weights: python -m cifar_jax.main ... --config.model.weights=weights.safetensors
"""

import sys

from cifar_jax.console import endings, flags
from cifar_jax.errors import UserError


@endings.guarded
def main(argv=None):
    """Run a command line and return its exit code."""
    parser = flags.make_parser("weights", __doc__)
    parser.add_argument("--model", metavar="NAME", help="of the source; see cifar_jax.summary")
    parser.add_argument("--source", metavar="FILE", help=".safetensors or .npz")
    parser.add_argument("--num_classes", type=int, metavar="N", help="of the source's last layer")
    instead = "a run, or pretrained:NAME, instead of model and source"
    parser.add_argument("--workdir", metavar="FOLDER", help=instead)
    flags.add_run_arguments(parser, "--checkpoint")
    parser.add_argument("--target", metavar="FILE", required=True, help=".safetensors or .npz")
    parser.add_argument(
        "--names",
        help="of the target: cifar_jax, kuangliu or torchvision, where the model has such",
    )
    arguments = parser.parse_args(argv)
    from cifar_jax import models, trained
    from cifar_jax.models import weight_files

    name = arguments.model
    if arguments.workdir and not (name or arguments.source):
        run = trained.open_model(arguments.workdir, arguments.checkpoint)
        name, variables = run.config.model.name, run.variables
    elif name and arguments.source and not arguments.workdir:
        variables = weight_files.load(arguments.source, name, arguments.num_classes)
    else:
        raise UserError("give --model and --source, or --workdir")
    arrays = models.to_torch(name, variables, arguments.names)
    weight_files.write(arguments.target, arrays)
    count = sum(array.size for array in arrays.values())
    print(f"{arguments.target}: {len(arrays)} arrays, {count:,} numbers")


if __name__ == "__main__":
    sys.exit(main())
