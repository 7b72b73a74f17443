"""An S3 server on loopback, and the weather on the way to it."""

from __future__ import annotations

import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

BUCKET = "scans"


@dataclass
class Weather:
    """A WSGI layer that delays, refuses or cuts answers to GET.

    Attributes:
        delay: seconds before each answer.
        refuse, cut: so many answers to come are 503, or lose the second half of their body.
        only: the harm is done to paths that hold this.
        seen: requests by method.
    """

    app: Callable[..., Iterable[bytes]]
    delay: float = 0.0
    refuse: int = 0
    cut: int = 0
    only: str = ""
    seen: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        time.sleep(self.delay)
        with self._lock:
            self.seen[method] += 1
            hit = method == "GET" and self.only in environ.get("PATH_INFO", "")
            refuse, cut = hit and self.refuse > 0, hit and self.refuse <= 0 and self.cut > 0
            self.refuse -= refuse
            self.cut -= cut
        if refuse:
            start_response("503 Slow Down", [("Content-Length", "0")])
            return [b""]
        body = b"".join(self.app(environ, start_response))
        # The header promises all of it.
        return [body[: len(body) // 2]] if cut else [body]


@contextmanager
def serving() -> Iterator[tuple[str, Weather]]:
    """The server's URL, with an empty bucket in it, and its weather."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    weather = Weather(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, weather, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    urllib.request.urlopen(urllib.request.Request(f"{url}/moto-api/reset", method="POST")).read()
    urllib.request.urlopen(urllib.request.Request(f"{url}/{BUCKET}", method="PUT")).read()
    try:
        yield url, weather
    finally:
        server.shutdown()
        thread.join()
