"""Small scans for the tests of this room: grids, NIfTI files with any header, DICOM series, classic and enhanced."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom import Dataset, FileDataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid
from scipy.spatial.transform import Rotation

from secondread.volume import RAS_TO_LPS, Geometry

SHARED = Path(__file__).parents[2] / "../shared/data"
NAME = "Doe^Jane"
PATIENT = "4711-JD"

PLANES = {
    "axial": (1, 0, 0, 0, 1, 0),
    "sagittal": (0, 1, 0, 0, 0, -1),
    "coronal": (1, 0, 0, 0, 0, -1),
    "oblique": tuple(
        float(c) for c in Rotation.from_euler("xyz", [12, -7, 30], degrees=True).as_matrix().T[:2].ravel()
    ),
}


@st.composite
def geometries(draw: st.DrawFn, min_side: int = 2, max_side: int = 7) -> Geometry:
    """Grids of any orientation, handedness, spacing and origin."""
    shape = draw(st.tuples(*[st.integers(min_side, max_side)] * 3))
    angles = draw(st.tuples(*[st.floats(-180, 180)] * 3))
    spacing = draw(st.tuples(*[st.floats(0.2, 6)] * 3))
    flip = draw(st.sampled_from([1.0, -1.0]))
    origin = draw(st.tuples(*[st.floats(-300, 300)] * 3))
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() * np.array(spacing) * [flip, 1, 1]
    affine[:3, 3] = origin
    return Geometry(shape, affine)


def noise(shape: Sequence[int], dtype: Any = np.int16, seed: int = 0) -> NDArray[Any]:
    return np.random.default_rng(seed).integers(0, 120, shape).astype(dtype)


def save_nifti(path: Path, voxels: NDArray[Any], affine_lps: NDArray[np.float64] | None = None, **fields: Any) -> Path:
    """A NIfTI file by nibabel; ``fields`` go into its header as they are. No affine: both codes are 0."""
    affine = None if affine_lps is None else RAS_TO_LPS @ affine_lps
    data = bytearray(nib.Nifti1Image(voxels, affine, dtype=voxels.dtype).to_bytes())
    header = np.frombuffer(data, nib.nifti1.header_dtype, count=1)
    for name, value in fields.items():
        header[name] = value
    path.write_bytes(gzip.compress(data) if path.name.endswith(".gz") else data)
    return path


def dataset(path: Path, sop_class: str, series: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(sop_class)
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = UID(sop_class), meta.MediaStorageSOPInstanceUID
    data.SeriesInstanceUID, data.StudyInstanceUID = series, generate_uid()
    data.PatientName, data.PatientID, data.Modality = NAME, PATIENT, "MR"
    return data


def set_pixels(data: Dataset, pixels: NDArray[np.uint16]) -> None:
    """``pixels`` is (row, column) or (frame, row, column)."""
    data.Rows, data.Columns = pixels.shape[-2:]
    if pixels.ndim == 3:
        data.NumberOfFrames = len(pixels)
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
    data.PixelData = pixels.astype("<u2").tobytes()


def position(k: int, plane: str, step: float) -> list[float]:
    cosines = np.array(PLANES[plane], dtype=float)
    normal = np.cross(cosines[:3], cosines[3:])
    return [round(float(c), 10) for c in np.array([-100.0, 20.5, 3.25]) + k * step * normal]


def write_series(
    folder: Path,
    voxels: NDArray[np.uint16],
    *,
    plane: str = "axial",
    step: float = 2.5,
    spacing: tuple[float, float] = (0.8, 0.9),
    series: str | None = None,
    suffix: str = ".dcm",
    **tags: Any,
) -> list[Path]:
    """A classic series, a file per k of ``voxels`` (i, j, k). Files are numbered against the order of k."""
    folder.mkdir(parents=True, exist_ok=True)
    uid = series or generate_uid()
    depth = voxels.shape[2]
    paths = []
    for k in range(depth):
        path = folder / f"IM{depth - k:04d}{suffix}"
        data = dataset(path, MRImageStorage, uid)
        set_pixels(data, voxels[:, :, k].T)
        data.ImageOrientationPatient = list(PLANES[plane])
        data.ImagePositionPatient = position(k, plane, step)
        data.PixelSpacing, data.InstanceNumber = list(spacing), k + 1
        for name, value in tags.items():
            setattr(data, name, value)
        data.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def item(**values: Any) -> list[Dataset]:
    one = Dataset()
    for name, value in values.items():
        setattr(one, name, value)
    return [one]


def write_enhanced(
    path: Path,
    voxels: NDArray[np.uint16],
    *,
    times: int = 1,
    plane: str = "axial",
    planes: Sequence[str] | None = None,
    slope: float = 1.0,
) -> Path:
    """An enhanced file, frames from the last k to the first; ``planes`` gives each k its own orientation."""
    data = dataset(path, EnhancedMRImageStorage, generate_uid())
    depth = voxels.shape[2]
    order = [(k, t) for t in range(times) for k in reversed(range(depth))]
    set_pixels(data, np.stack([voxels[:, :, k].T for k, _ in order]))
    shared = Dataset()
    shared.PixelMeasuresSequence = item(PixelSpacing=[0.8, 0.9], SliceThickness=2.5)
    shared.MRImageFrameTypeSequence = item(AcquisitionContrast="T2")
    data.SharedFunctionalGroupsSequence = [shared]
    data.PerFrameFunctionalGroupsSequence = []
    for k, t in order:
        frame = Dataset()
        of_frame = planes[k] if planes else plane
        frame.PlanePositionSequence = item(ImagePositionPatient=position(k, of_frame, 2.5))
        frame.PlaneOrientationSequence = item(ImageOrientationPatient=list(PLANES[of_frame]))
        frame.FrameContentSequence = item(TemporalPositionIndex=t + 1)
        frame.PixelValueTransformationSequence = item(RescaleSlope=slope, RescaleIntercept=0)
        data.PerFrameFunctionalGroupsSequence.append(frame)
    data.save_as(path, enforce_file_format=True)
    return path


def expected_affine(plane: str, step: float = 2.5, spacing: tuple[float, float] = (0.8, 0.9)) -> NDArray[np.float64]:
    """The affine of :func:`write_series`, from DICOM PS3.3 C.7.6.2.1.1, equation C.7.6.2.1-1."""
    cosines = np.array(PLANES[plane], dtype=float)
    affine = np.eye(4)
    affine[:3, 0] = cosines[:3] * spacing[1]
    affine[:3, 1] = cosines[3:] * spacing[0]
    affine[:3, 2] = np.cross(cosines[:3], cosines[3:]) * step
    affine[:3, 3] = position(0, plane, step)
    return affine
