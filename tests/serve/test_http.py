"""The interface from outside, over a reader without a network."""

from __future__ import annotations

import gzip
import io
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from secondread.errors import DataError, ResourceError
from secondread.formats import read_volume
from secondread.serve import create_app
from secondread.serve.readings import Readings
from secondread.volume import Study
from tests.serve.fakes import picture_bytes, picture_reader, series_bytes, volume, volume_bytes, volume_reader

pytestmark = pytest.mark.usefixtures("scratch")

NAME = "Mustermann_Erika"
"""A name as an upload may carry it; it must turn up nowhere."""


def test_health_and_model() -> None:
    client = TestClient(create_app(volume_reader()))
    assert client.get("/healthz").json() == {"status": "ok"}
    about = client.get("/v1/model").json()
    assert (about["name"], about["version"], about["sha256"]) == ("fake", "1", "f" * 64)
    assert about["categories"] == ["glioma", "meningioma"]
    assert about["contrasts"] == ["t1", "flair"]
    assert about["medical_device"] is False
    assert "not a medical device" in about["intended_use"]


def test_a_volume_gives_findings_a_mask_in_its_geometry_and_a_picture(tmp_path: Path, scratch: Path) -> None:
    client = TestClient(create_app(volume_reader()))
    answer = client.post("/v1/read", files={"files": (f"{NAME}_T1.nii.gz", volume_bytes(tmp_path))})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["presence"] == {"probability": 0.97, "decision": "abnormal"}
    assert found["categories"][0] == {"name": "glioma", "probability": 0.8}
    assert NAME not in answer.text
    assert found["study"] == found["id"]

    mask = client.get(found["mask"])
    path = tmp_path / "mask.nii.gz"
    path.write_bytes(mask.content)
    back = read_volume(path)
    assert back.geometry.matches(volume().geometry, 1e-4)
    assert np.argwhere(back.voxels).tolist() == [[2, 3, 4]]

    picture = client.get(found["picture"])
    assert picture.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(picture.content)).size[0] > 100
    assert client.get(f"/v1/readings/{found['id']}").json() == found
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("suffix", [".nii", ".nrrd", ".mha"])
def test_other_volumes(suffix: str, tmp_path: Path) -> None:
    client = TestClient(create_app(volume_reader()))
    answer = client.post("/v1/read", files={"files": (f"t1{suffix}", volume_bytes(tmp_path, suffix))})
    assert answer.status_code == 200, answer.text


def test_several_contrasts_are_one_study(tmp_path: Path) -> None:
    reader = volume_reader()
    client = TestClient(create_app(reader))
    scan = volume_bytes(tmp_path)
    client.post("/v1/read", files=[("files", ("a_flair.nii.gz", scan)), ("files", ("a_t1.nii.gz", scan))])
    client.post("/v1/read?contrast=flair", files={"files": ("scan.nii.gz", scan)})
    assert [list(study.series) for study in reader.seen] == [["flair", "t1"], ["flair"]]  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["{}.dcm", "IM{}", "1.2.840.{}"])
def test_a_dicom_series_whatever_its_files_are_called(name: str, tmp_path: Path) -> None:
    client = TestClient(create_app(volume_reader()))
    parts = [("files", (name.format(n), content)) for n, content in enumerate(series_bytes(tmp_path))]
    answer = client.post("/v1/read", files=parts)
    assert answer.status_code == 200, answer.text
    assert client.get(answer.json()["mask"]).headers["content-type"] == "application/gzip"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_a_picture(kind: str) -> None:
    client = TestClient(create_app(picture_reader()))
    found = client.post("/v1/read", files={"files": (f"scan.{kind}", picture_bytes(kind))}).json()
    mask = client.get(found["mask"])
    assert mask.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(mask.content)).size == (24, 20)


def test_a_model_that_marks_no_place_has_no_mask(tmp_path: Path) -> None:
    client = TestClient(create_app(volume_reader(located=False)))
    found = client.post("/v1/read", files={"files": ("t1.nii.gz", volume_bytes(tmp_path))}).json()
    assert found["mask"] is None
    assert client.get(f"/v1/readings/{found['id']}/mask").status_code == 404


BAD_BODIES = {
    "no file": ({"data": {"note": "x"}, "files": {"files": ("", b"")}}, 400),
    "a kind that is not read": ({"files": {"files": (f"{NAME}.exe", b"MZ" * 100)}}, 400),
    "a pickle": ({"files": {"files": (f"{NAME}.pt", b"\x80\x04N.")}}, 400),
    "an empty NIfTI": ({"files": {"files": (f"{NAME}.nii", b"")}}, 400),
    "no NIfTI": ({"files": {"files": (f"{NAME}.nii.gz", gzip.compress(b"x" * 400))}}, 400),
    "half a picture": ({"files": {"files": (f"{NAME}.png", picture_bytes()[:200])}}, 400),
    "two pictures": ({"files": [("files", ("a.png", picture_bytes())), ("files", ("b.png", picture_bytes()))]}, 400),
    "no multipart": ({"content": b"x", "headers": {"content-type": "application/octet-stream"}}, 400),
    "no boundary": ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 400),
    "no body": ({"content": b"", "headers": {"content-type": "multipart/form-data; boundary=b"}}, 400),
    "malformed": ({"content": b"--c\r\n", "headers": {"content-type": "multipart/form-data; boundary=b"}}, 400),
    "unended": (
        {
            "content": b'--b\r\nContent-Disposition: form-data; name="f"; filename="a.nii"\r\n\r\nabc',
            "headers": {"content-type": "multipart/form-data; boundary=b"},
        },
        400,
    ),
    "a contrast that the model does not know": (
        {"params": {"contrast": NAME}, "files": {"files": ("a.png", picture_bytes())}},
        400,
    ),
}


@pytest.mark.parametrize("case", BAD_BODIES)
def test_a_bad_body_is_told_what_to_do_and_leaves_nothing(
    case: str, scratch: Path, caplog: pytest.LogCaptureFixture
) -> None:
    request, status = BAD_BODIES[case]
    caplog.set_level(logging.DEBUG)
    answer = TestClient(create_app(picture_reader())).post("/v1/read", **request)  # type: ignore[arg-type]
    assert answer.status_code == status, answer.text
    assert sorted(answer.json()) == ["error", "hint"]
    for leak in (NAME, str(scratch), "/tmp", "Traceback"):
        assert leak not in answer.text
        assert leak not in "".join(record.getMessage() for record in caplog.records if record.name != "httpx")
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (DataError("study has t2; the model reads t1"), 422),
        (ResourceError("cannot write /srv/secret/place: the disk is full"), 507),
        (MemoryError(), 507),
        (RuntimeError(f"{NAME} in /srv/secret/place"), 500),
    ],
)
def test_what_fails_while_reading(
    error: Exception, status: int, tmp_path: Path, scratch: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Study) -> None:
        raise error

    caplog.set_level(logging.DEBUG)
    client = TestClient(create_app(volume_reader(before=fail)))
    answer = client.post("/v1/read", files={"files": ("t1.nii.gz", volume_bytes(tmp_path))})
    assert answer.status_code == status
    assert sorted(answer.json()) == ["error", "hint"]
    for leak in (NAME, "/srv", str(scratch)):
        assert leak not in answer.text
        assert leak not in caplog.text
    assert list(scratch.iterdir()) == []
    # A failure gives its place back, and the next scan is read.
    assert client.get("/healthz").status_code == 200


def test_a_declared_size_is_refused_unread(scratch: Path) -> None:
    client = TestClient(create_app(picture_reader(), max_upload_bytes=100))
    answer = client.post("/v1/read", files={"files": ("a.png", picture_bytes())})
    assert answer.status_code == 413
    assert "MiB" in answer.json()["error"]
    assert list(scratch.iterdir()) == []


def test_a_full_house_asks_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secondread.serve.app.MOST_AT_ONCE", 0)
    answer = TestClient(create_app(picture_reader())).post("/v1/read", files={"files": ("a.png", picture_bytes())})
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "10"
    assert sorted(answer.json()) == ["error", "hint"]


def test_what_is_not_there() -> None:
    client = TestClient(create_app(picture_reader()))
    for path in ("/v1/readings/0123/mask", "/v1/readings/..%2f..%2fetc%2fpasswd/mask", "/etc/passwd", "/docs"):
        answer = client.get(path)
        assert answer.status_code == 404
        assert sorted(answer.json()) == ["error", "hint"]
    assert client.get("/v1/read").status_code == 405


def test_answers_are_forgotten() -> None:
    client = TestClient(create_app(picture_reader(), readings=Readings(most=1)))
    first, second = (
        client.post("/v1/read", files={"files": ("a.png", picture_bytes())}).json()["picture"] for _ in range(2)
    )
    assert client.get(first).status_code == 404
    assert client.get(second).status_code == 200


def test_another_host_name_is_refused() -> None:
    client = TestClient(create_app(picture_reader(), allowed_hosts=["127.0.0.1"]))
    assert client.get("/healthz").status_code == 400
    assert client.get("/healthz", headers={"host": "127.0.0.1:8000"}).status_code == 200


def test_the_queue_reads_one_at_a_time(tmp_path: Path) -> None:
    import threading
    from concurrent.futures import ThreadPoolExecutor

    busy, most = 0, 0
    lock = threading.Lock()

    def count(_: Study) -> None:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        threading.Event().wait(0.05)
        with lock:
            busy -= 1

    scan = volume_bytes(tmp_path)
    with TestClient(create_app(volume_reader(before=count))) as client, ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(lambda _: client.post("/v1/read", files={"files": ("t1.nii.gz", scan)}).status_code, range(4))
        )
    assert answers == [200] * 4
    assert most == 1
