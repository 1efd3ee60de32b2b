"""Shows a page to try a trained model in, in the browser of this machine:

  python -m cifar_jax.serve                          the model in the box
  python -m cifar_jax.serve --workdir runs/resnet18  that of a run

A picture that is dropped, pasted or chosen there is answered with the three likeliest classes, Grad-CAM of the
first, and whether it is like the run's data set at all: its energy is compared with that of the validation images,
for which a run's data set has to be there. Pictures are read as `python -m cifar_jax.predict` reads them, by this
program alone, and not kept; other machines can't reach the page. Ctrl-C ends it. Needs the extra `serve`.
"""

import socket
import sys

from cifar_jax.console import endings, flags
from cifar_jax.errors import UserError

HOST = "127.0.0.1"


def listen(port):
    """Open a socket of this machine alone; port 0 takes a free one.

    Raises:
        UserError: the port is taken or can't be had.
    """
    if not 0 <= port < 2**16:
        raise UserError(f"--port is 0 to {2**16 - 1}, not {port}")
    opened = socket.socket()
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((HOST, port))
    except OSError as error:
        why = (
            f"port {port} can't be had ({error.strerror}); give another --port, or 0 for a free one"
        )
        raise UserError(why) from error
    opened.listen()
    return opened


def _parse(argv):
    parser = flags.make_parser("serve", __doc__)
    flags.add_model_arguments(parser, "--checkpoint", "--data_dir")
    parser.add_argument("--port", type=int, default=8000, metavar="N", help="8000; 0 = a free one")
    return parser.parse_args(argv)


def _open(arguments):
    """Open the run with its data set where that is there: (Trained, Limit or None)."""
    from cifar_jax import trained
    from cifar_jax.analysis.serving import answering
    from cifar_jax.models import box

    workdir = trained.named_or_best(arguments.workdir)
    if box.is_named(workdir):
        run = trained.open_model(workdir, arguments.checkpoint)
        print(f"note: {box.introduction(run.card)}")
        return run, run.limit
    try:
        run = trained.open_run(workdir, arguments.checkpoint, arguments.data_dir)
        return run, answering.find_limit(run)
    except UserError as error:
        run = trained.open_model(workdir, arguments.checkpoint)
        print(f"note: no word on whether a picture is like {run.dataset.name}: {error}")
        return run, None


@endings.guarded
def main(argv=None):
    """Run a command line and return its exit code."""
    arguments = _parse(argv)
    try:
        import uvicorn

        from cifar_jax.analysis.serving import answering, application
    except ModuleNotFoundError as error:
        if error.name not in ("uvicorn", "starlette"):
            raise
        raise UserError(f"no {error.name} is installed: pip install 'cifar_jax[serve]'") from error
    from cifar_jax.machine import runtime

    runtime.enable_compilation_cache("auto")
    with listen(arguments.port) as opened:
        model = answering.make_model(*_open(arguments))
        host, port = opened.getsockname()
        print(f"http://{host}:{port} is ready; Ctrl-C ends it", flush=True)
        options = {"log_level": "warning", "timeout_graceful_shutdown": 1}
        settings = uvicorn.Config(application.make_application(model), lifespan="off", **options)
        uvicorn.Server(settings).run([opened])


if __name__ == "__main__":
    sys.exit(main())
