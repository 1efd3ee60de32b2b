"""The page as a Starlette application: one page, and answers to the pictures that it sends.

Nothing is kept: a picture lies in a temporary file while it is read. Only this machine's own browser is answered: a
foreign page can't send pictures here, as the type of what is sent makes a browser ask first, which is refused.
"""

import contextlib
import pathlib
import tempfile
import threading

import jinja2
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from cifar_jax.analysis.report import page
from cifar_jax.analysis.serving import answering
from cifar_jax.data import image_files
from cifar_jax.errors import UserError

TEMPLATES = pathlib.Path(__file__).parent / "templates"
SENT_AS = "application/octet-stream"
AT_ONCE = 2  # pictures that are decoded at a time: one of 50 million pixels takes some 300 MB
HOSTS = ("127.0.0.1", "localhost")
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; base-uri 'none'"


def make_application(model):
    """Make the application of an answering.Model."""
    html = render(model)
    turns = threading.BoundedSemaphore(AT_ONCE)

    def answered(path):
        with turns:
            return answering.answer(model, answering.read(model, path))

    async def answer(request):
        if request.headers.get("content-type") != SENT_AS:
            return refused(415, f"send the bytes of a picture as {SENT_AS}")
        with tempfile.NamedTemporaryFile() as file:
            if not await received(request, file):
                why = f"over {image_files.MAX_BYTES // 10**6} MB; make it smaller first"
                return refused(413, why)
            try:
                return JSONResponse(await run_in_threadpool(answered, file.name))
            except image_files.Unreadable as error:
                return refused(422, error.why)
            except UserError as error:
                return refused(500, str(error))

    def asset(name, kind):
        text = page.style_sheet() + _text(name) if name.endswith(".css") else _text(name)
        return Route(f"/{name}", lambda request: Response(text, media_type=kind))

    def front(request):
        return HTMLResponse(html, headers={"Content-Security-Policy": POLICY})

    return Starlette(
        routes=[
            Route("/", front),
            asset("trial.css", "text/css"),
            asset("trial.js", "text/javascript"),
            Route("/answer", answer, methods=["POST"]),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(HOSTS))],
    )


def refused(status, why):
    return JSONResponse({"error": why}, status)


async def received(request, file):
    """Write what is sent to a file and return True, or False as soon as it is too much."""
    with contextlib.suppress(KeyError, ValueError):
        if int(request.headers["content-length"]) > image_files.MAX_BYTES:
            return False
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > image_files.MAX_BYTES:
            return False
        file.write(part)
    file.flush()
    return True


def render(model):
    """Render the page's HTML."""
    run, limit = model.run, model.limit
    template = jinja2.Template(
        _text("trial.html"), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    return template.render(
        name=run.config.model.name,
        workdir=str(run.workdir),
        dataset=run.dataset.name,
        step=run.step,
        classes=list(map(str, run.dataset.class_names)),
        suffixes=Markup(",".join(image_files.SUFFIXES)),
        limit=limit,
        sent_as=SENT_AS,
    )


def _text(name):
    return (TEMPLATES / name).read_text(encoding="utf-8")
