"""Ask whether download hosts answer, before a downloader spends minutes on retries."""

import threading
import time
import urllib.error
import urllib.parse
import urllib.request

# What a proxy answers, instead of the host, when it cannot or may not reach it.
PROXY_FAILURES = (407, 502, 503, 504)


def unreachable(urls, timeout=5.0) -> dict[str, str]:
    """Send one HEAD request to each host of `urls`, all at once, through the usual proxies.

    Every request runs in a daemon thread: a hanging name look-up, which no socket timeout covers,
    neither outlives `timeout` here nor keeps the process from ending.

    Args:
      urls: http(s) or ftp URLs.
      timeout: seconds for all of it.
    Returns:
      {host: reason} of the hosts that did not answer.
    """
    first = {}
    for url in urls:
        first.setdefault(urllib.parse.urlsplit(url).netloc, url)
    answers = {host: f"no answer within {timeout:g} seconds" for host in first}

    def ask(host, url):
        # Longer than anyone waits for it, so that a timeout is always reported as such.
        answers[host] = _head(url, 2 * timeout)

    threads = [threading.Thread(target=ask, args=item, daemon=True) for item in first.items()]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + timeout
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
    return {host: reason for host, reason in dict(answers).items() if reason}


def _head(url: str, timeout: float) -> str:
    """Say why the host of `url` gave no answer; "" if it gave one, be it an error of its own."""
    request = urllib.request.Request(url, method="HEAD")
    try:
        # An opener of its own: the shared one keeps the proxies of its first use.
        urllib.request.build_opener().open(request, timeout=timeout).close()
    except urllib.error.HTTPError as error:
        return f"HTTP status {error.code}" if error.code in PROXY_FAILURES else ""
    except Exception as error:  # Malformed replies raise any of many types.
        return str(getattr(error, "reason", error)) or type(error).__name__
    return ""
