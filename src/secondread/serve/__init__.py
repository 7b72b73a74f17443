"""Reading scans over HTTP: a small interface for programs and one page for people. Needs the extra ``serve``.

Importing this room raises UsageError where that extra is not installed.
"""

from secondread.errors import UsageError

try:
    from secondread.serve.app import DEFAULT_MAX_UPLOAD_BYTES, create_app, run
except ModuleNotFoundError as error:
    if error.name not in ("anyio", "fastapi", "python_multipart", "starlette"):
        raise
    raise UsageError("reading over HTTP needs more packages: pip install 'secondread[serve]'") from error

__all__ = ["DEFAULT_MAX_UPLOAD_BYTES", "create_app", "run"]
