"""The HTTP interface: one scan in, its findings out; the mask and the picture are fetched after.

    GET  /                            the page
    GET  /healthz                     {"status": "ok"}
    GET  /v1/model                    what reads here, and what it is not
    POST /v1/read                     multipart files of one study -> findings
    GET  /v1/readings/{id}            the findings again
    GET  /v1/readings/{id}/mask       .nii.gz in the scan's own geometry, or .png for a picture
    GET  /v1/readings/{id}/picture.png

There is no login: who reaches the port may read. Hence loopback unless asked otherwise, random identifiers that no
one can guess, and answers that no browser keeps.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import logging
import re
import secrets
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import anyio
from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from secondread import __version__
from secondread.errors import ResourceError, SecondreadError, UsageError
from secondread.serve.desk import Desk
from secondread.serve.faults import answer_to
from secondread.serve.readings import Kept, Readings
from secondread.serve.uploads import Receiver, check_size

if TYPE_CHECKING:
    from secondread.infer import Reader

DEFAULT_MAX_UPLOAD_BYTES = 1 << 30
"""A brain of four contrasts at 1 mm is 40 MB packed; an enhanced multi-frame series may be ten times that."""

UPLOAD_SECONDS = 900.0
"""A body that takes longer to arrive is given up."""

MOST_AT_ONCE = 8
"""Requests that upload, wait or are read at one time; the next is told to come back."""

_GUARD = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}

_MASK_TYPES = {".nii.gz": "application/gzip", ".png": "image/png"}

_log = logging.getLogger(__name__)


def create_app(
    reader: Reader,
    *,
    max_upload_bytes: int = DEFAULT_MAX_UPLOAD_BYTES,
    allowed_hosts: Sequence[str] = ("*",),
    readings: Readings | None = None,
) -> FastAPI:
    """The application.

    Args:
        reader: reads one study at a time; it is never called twice at once.
        max_upload_bytes: of one request's body.
        allowed_hosts: names that a request's ``Host`` may have; stops a web page from reaching a loopback port under
            a name of its own (DNS rebinding).
        readings: where answers are kept; by default a new one with its default bounds.
    """
    # FastAPI's own documentation pages load scripts from elsewhere; /openapi.json alone stays.
    app = FastAPI(title="secondread", version=__version__, docs_url=None, redoc_url=None)
    desk = Desk(reader, Readings() if readings is None else readings, most_at_once=MOST_AT_ONCE)
    _add_pages(app, desk)
    _add_reading(app, desk, max_upload_bytes)
    _add_faults(app)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(allowed_hosts))
    return app


def run(reader: Reader, host: str = "127.0.0.1", port: int = 8000, *, max_upload_bytes: int | None = None) -> None:
    """Serve until interrupted.

    Args:
        host: an address of this machine; anything but loopback lets others in, without a login.
        port: 1 to 65535.

    Raises:
        UsageError: the port is none.
        ResourceError: the address cannot be bound.
    """
    import socket

    import uvicorn

    if not 1 <= port <= 65535:
        raise UsageError(f"port {port} is not within 1 to 65535")
    quiet_decoders()
    local = _is_loopback(host)
    if not local:
        _log.warning("listening on %s: everyone who reaches this port can send scans, there is no login", host)
    app = create_app(
        reader,
        max_upload_bytes=DEFAULT_MAX_UPLOAD_BYTES if max_upload_bytes is None else max_upload_bytes,
        allowed_hosts=("localhost", "127.0.0.1", "[::1]", "::1", host) if local else ("*",),
    )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise ResourceError(f"cannot listen on {host} port {port}: {error.strerror}; try another --port") from error
        # No access log: a peer's words have no place in ours.
        config = uvicorn.Config(app, access_log=False, log_level="warning", server_header=False, date_header=False)
        uvicorn.Server(config).run(sockets=[listener])


def quiet_decoders() -> None:
    """Have decoders log no details: those that Pillow logs of a picture hold what its header says of a person."""
    for name in ("PIL", "pydicom", "nibabel"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _add_pages(app: FastAPI, desk: Desk) -> None:
    page = files("secondread.serve").joinpath("page.html").read_text(encoding="utf-8")
    app.add_middleware(_Headers, headers=_GUARD | {"Content-Security-Policy": _content_policy(page)})

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def index() -> str:
        return page

    @app.get("/healthz")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/v1/model")
    async def model() -> dict[str, Any]:
        return desk.about()


def _add_reading(app: FastAPI, desk: Desk, max_upload_bytes: int) -> None:
    @app.post("/v1/read", openapi_extra=_BODY)
    async def read(request: Request, contrast: Annotated[list[str] | None, Query()] = None) -> Response:
        if not desk.has_place:
            raise HTTPException(503, "the server is busy with other scans", headers={"Retry-After": "10"})
        with desk.place(), tempfile.TemporaryDirectory(prefix="secondread-", ignore_cleanup_errors=True) as name:
            return await _answer(request, desk, Path(name), tuple(contrast or ()), max_upload_bytes)

    @app.get("/v1/readings/{key}")
    async def findings(key: str) -> dict[str, Any]:
        return _kept(desk, key).findings

    @app.get("/v1/readings/{key}/mask")
    async def mask(key: str) -> Response:
        kept = _kept(desk, key)
        if kept.mask is None:
            raise HTTPException(404, "this reading has no mask: the model says what, not where")
        attachment = {"Content-Disposition": f'attachment; filename="mask{kept.mask_suffix}"'}
        return Response(kept.mask, media_type=_MASK_TYPES[kept.mask_suffix], headers=attachment)

    @app.get("/v1/readings/{key}/picture.png")
    async def picture(key: str) -> Response:
        return Response(_kept(desk, key).picture, media_type="image/png")


async def _answer(
    request: Request, desk: Desk, folder: Path, contrasts: tuple[str, ...], max_upload_bytes: int
) -> Response:
    """Receive, read, keep; every failure becomes an answer that says nothing of ``folder``."""
    names = {str(folder): "the upload"}
    key = secrets.token_hex(16)
    try:
        check_size(_declared_length(request), max_upload_bytes)
        with Receiver(request.headers.get("content-type", ""), folder, max_upload_bytes) as receiver:
            with anyio.fail_after(UPLOAD_SECONDS):
                async for chunk in request.stream():
                    await run_in_threadpool(receiver.feed, chunk)
            uploads = receiver.finish()
        for number, upload in enumerate(uploads, start=1):
            names |= {str(upload.path): f"file {number}", upload.path.name: f"file {number}"}
        kept = await desk.read(key, uploads, contrasts)
    except SecondreadError as error:
        status, body = answer_to(error, names)
        _log.info("reading %s: %s, answered %d", key, type(error).__name__, status)
        return JSONResponse(body, status)
    except TimeoutError as error:
        raise HTTPException(408, "the upload took too long") from error
    except ClientDisconnect:
        return Response(status_code=400)
    except Exception as error:
        # The message stays out of the log: a decoder's may hold what a header says of the patient.
        place = traceback.extract_tb(error.__traceback__)[-1]
        _log.error("reading %s failed: %s at %s:%s", key, type(error).__name__, place.filename, place.lineno)
        status, body = answer_to(_unexpected(error), names)
        return JSONResponse(body, status)
    return JSONResponse(kept.findings)


def _add_faults(app: FastAPI) -> None:
    @app.exception_handler(HTTPException)
    async def refuse(_: Request, error: HTTPException) -> Response:
        body = {"error": str(error.detail), "hint": "See /openapi.json for what can be asked."}
        return JSONResponse(body, error.status_code, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, __: RequestValidationError) -> Response:
        return JSONResponse({"error": "the request is malformed", "hint": "See /openapi.json."}, 422)


class _Headers:
    """Adds headers to every response."""

    def __init__(self, app: ASGIApp, headers: Mapping[str, str]) -> None:
        self._app = app
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        await self._app(scope, receive, send_with if scope["type"] == "http" else send)


def _kept(desk: Desk, key: str) -> Kept:
    kept = desk.readings.get(key)
    if kept is None:
        raise HTTPException(404, "no such reading, or it is no longer kept: send the scan again")
    return kept


def _unexpected(error: Exception) -> SecondreadError:
    return ResourceError("out of memory") if isinstance(error, MemoryError) else SecondreadError()


def _declared_length(request: Request) -> int:
    declared = request.headers.get("content-length", "0")
    return int(declared) if declared.isdecimal() else 0


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _content_policy(page: str) -> str:
    """Nothing from elsewhere, and of scripts and styles only those that stand in the page, by their hash."""

    def hashes(tag: str) -> str:
        blocks = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digests = (base64.b64encode(hashlib.sha256(block.encode()).digest()).decode() for block in blocks)
        return " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"

    return (
        f"default-src 'none'; script-src {hashes('script')}; style-src {hashes('style')}; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"files": {"type": "array", "items": {"type": "string", "format": "binary"}}},
                    "required": ["files"],
                }
            }
        },
    }
}
