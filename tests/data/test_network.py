"""The probe is quick, believes any answer, and honours proxies."""

import contextlib
import http.server
import socket
import threading
import time

import pytest

from cifar_jax.data import network


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@contextlib.contextmanager
def server(status):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.mark.parametrize("status", [200, 403, 404, 500])
def test_any_answer_is_an_answer(status):
    with server(status) as host:
        assert network.unreachable([f"http://{host}/a", f"http://{host}/b"]) == {}


def test_closed_port():
    reasons = network.unreachable(["http://127.0.0.1:9/a"])
    assert "refused" in reasons["127.0.0.1:9"]


@pytest.mark.parametrize("status, reached", [(200, True), (503, False), (407, False)])
def test_proxy(monkeypatch, status, reached):
    with server(status) as host:
        monkeypatch.setenv("http_proxy", f"http://{host}")
        assert (network.unreachable(["http://example.invalid/a"]) == {}) is reached


def test_proxy_that_is_not_there(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    assert "refused" in network.unreachable(["https://example.invalid/a"])["example.invalid"]


def test_a_silent_host_costs_the_timeout_only():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        start = time.monotonic()
        assert "within 0.3 seconds" in network.unreachable([f"http://{host}/a"] * 3, 0.3)[host]
        assert time.monotonic() - start < 1.5


def test_a_hanging_name_look_up_costs_the_timeout_only(monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(5))
    start = time.monotonic()
    assert network.unreachable(["http://example.invalid/"], 0.3)
    assert time.monotonic() - start < 1.5


def test_nothing_to_ask():
    assert network.unreachable([]) == {}
