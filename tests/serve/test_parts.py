"""The parts behind the interface, one by one."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from secondread.errors import ResourceError, SecondreadError, TooLarge, UsageError
from secondread.serve import create_app, run
from secondread.serve.faults import answer_to, public
from secondread.serve.readings import Kept, Readings
from secondread.serve.uploads import SUFFIXES, Receiver
from tests.serve.fakes import picture_reader

PAGE = files("secondread.serve").joinpath("page.html").read_text(encoding="utf-8")


def kept(size: int = 1) -> Kept:
    return Kept({}, b"m" * size, ".png", b"")


def test_readings_are_bounded_in_number_age_and_bytes() -> None:
    now = [0.0]
    readings = Readings(most=3, most_bytes=100, most_seconds=10, clock=lambda: now[0])
    for key in "abcd":
        readings.add(key, kept())
    assert [readings.get(key) is not None for key in "abcd"] == [False, True, True, True]
    readings.add("large", kept(99))
    assert [readings.get(key) is not None for key in ("b", "c", "d", "large")] == [False, False, True, True]
    readings.add("larger", kept(1000))
    assert len(readings) == 1
    assert readings.get("larger") is not None
    now[0] = 10.5
    assert readings.get("larger") is None


def multipart(names: list[str], contents: list[bytes]) -> bytes:
    parts = [
        b'--xyz\r\nContent-Disposition: form-data; name="files"; filename="%s"\r\n\r\n%s\r\n'
        % (name.encode(), content.replace(b"--xyz", b""))
        for name, content in zip(names, contents, strict=True)
    ]
    return b"".join(parts) + b"--xyz--\r\n"


NAMES = st.text(st.characters(codec="utf-8", exclude_characters='"\r\n\\\0', exclude_categories=["Cs"]), max_size=40)


@settings(max_examples=40, deadline=None)
@given(
    stems=st.lists(NAMES, min_size=1, max_size=3),
    content=st.binary(max_size=600),
    suffix=st.sampled_from(SUFFIXES),
    chunk=st.integers(1, 300),
)
def test_whatever_the_names_files_stay_in_the_folder(
    stems: list[str], content: bytes, suffix: str, chunk: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outer = tmp_path_factory.mktemp("outer")
    folder = outer / "inner"
    folder.mkdir()
    names = [f"../../{stem}{suffix}" for stem in stems]
    body = multipart(names, [content] * len(names))
    with Receiver("multipart/form-data; boundary=xyz", folder, 10**6) as receiver:
        for start in range(0, len(body), chunk):
            receiver.feed(body[start : start + chunk])
        uploads = receiver.finish()
    assert [upload.path.read_bytes() for upload in uploads] == [content.replace(b"--xyz", b"")] * len(names)
    assert list(outer.iterdir()) == [folder]
    for upload in uploads:
        assert upload.path.parent in (folder, folder / "series")
        assert re.fullmatch(r"[0-9a-f]{32}" + re.escape(suffix), upload.path.name)
    shutil.rmtree(outer)


def test_too_large_is_refused_before_it_is_written(tmp_path: Path) -> None:
    with Receiver("multipart/form-data; boundary=xyz", tmp_path, 5_000) as receiver:
        receiver.feed(b'--xyz\r\nContent-Disposition: form-data; name="f"; filename="a.nii"\r\n\r\n')
        for _ in range(4):
            receiver.feed(b"x" * 1000)
        with pytest.raises(TooLarge):
            receiver.feed(b"x" * 1000)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) == 4_000


def test_a_full_disk_is_a_resource_error(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full on this system")
    with Receiver("multipart/form-data; boundary=xyz", tmp_path, 10**6) as receiver:
        receiver.feed(b'--xyz\r\nContent-Disposition: form-data; name="f"; filename="a.nii"\r\n\r\n')
        part = receiver._part
        assert part.file is not None
        part.file.close()
        part.file = full.open("wb", buffering=0)
        with pytest.raises(ResourceError, match="disk is full"):
            receiver.feed(b"x" * 100)


def test_too_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secondread.serve.uploads.MAX_FILES", 2)
    receiver = Receiver("multipart/form-data; boundary=xyz", tmp_path, 10**6)
    with pytest.raises(UsageError, match="more than 2 files"):
        receiver.feed(multipart(["a.nii", "b.nii", "c.nii"], [b"", b"", b""]))


def test_what_is_public() -> None:
    names = {"/tmp/private": "the upload", "/tmp/private/ab12.nii": "file 1", "ab12.nii": "file 1"}
    assert public("/tmp/private/ab12.nii is empty (0 bytes)", names) == "file 1 is empty (0 bytes)"
    assert public("shape 240/240/155, T1 W/O contrast", names) == "shape 240/240/155, T1 W/O contrast"
    assert public("cannot write /srv/store/x.zarr: full", names) == "cannot write a file of the server: full"
    assert answer_to(TooLarge("large"), names)[0] == 413
    assert answer_to(SecondreadError("secret"), names) == (500, answer_to(SecondreadError(), names)[1])


def test_the_page_asks_nothing_from_elsewhere() -> None:
    client = TestClient(create_app(picture_reader()))
    answer = client.get("/")
    assert answer.text == PAGE
    assert not re.search(r"https?://|//\w+\.|@import|url\(", PAGE)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert policy.count("'sha256-") == 2
    assert "unsafe" not in policy
    assert client.get("/healthz").headers["x-content-type-options"] == "nosniff"


LIMIT = 200_000


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def address() -> str:
    """A server on loopback, in a thread that ends with the tests."""
    port = free_port()
    options = {"max_upload_bytes": LIMIT}
    threading.Thread(target=run, args=(picture_reader(), "127.0.0.1", port), kwargs=options, daemon=True).start()
    for _ in range(100):
        try:
            httpx.get(f"http://127.0.0.1:{port}/healthz")
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return f"http://127.0.0.1:{port}"
    raise TimeoutError("the server did not start")


def test_a_real_server_answers_and_guards_its_name(address: str) -> None:
    answer = httpx.get(f"{address}/healthz")
    assert answer.json() == {"status": "ok"}
    assert "server" not in answer.headers
    assert httpx.get(f"{address}/healthz", headers={"host": "evil.example"}).status_code == 400


def test_a_body_of_unstated_size_is_cut_off(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def body() -> Iterator[bytes]:
        yield b'--xyz\r\nContent-Disposition: form-data; name="f"; filename="a.nii"\r\n\r\n'
        for _ in range(3):
            yield b"x" * (LIMIT // 2)

    headers = {"content-type": "multipart/form-data; boundary=xyz"}
    answer = httpx.post(f"{address}/v1/read", content=body(), headers=headers)
    assert answer.status_code == 413
    assert list(tmp_path.iterdir()) == []


def test_a_port_in_use_says_so(address: str) -> None:
    with pytest.raises(ResourceError, match="another --port"):
        run(picture_reader(), "127.0.0.1", int(address.rsplit(":", 1)[1]))
    with pytest.raises(UsageError, match="70000"):
        run(picture_reader(), port=70000)


def test_a_browser_runs_the_page(address: str, tmp_path: Path) -> None:
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("chromium is not installed")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}"]
    shown = subprocess.run(
        [*command, "--virtual-time-budget=5000", "--dump-dom", address],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if shown.returncode != 0:
        pytest.skip(f"chromium does not start here: {shown.stderr.strip().splitlines()[-1:]}")
    # The script ran under the policy, and put the model's name and what it is not into the page.
    assert "fake 1" in shown.stdout
    assert "must not be used to diagnose" in shown.stdout


def test_without_the_extra_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['fastapi'] = None\nimport secondread.serve"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "UsageError" in done.stderr
    assert "secondread[serve]" in done.stderr
