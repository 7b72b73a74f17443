"""Files to and from the types of :mod:`secondread.volume`: NIfTI, NRRD, MetaImage, DICOM and pictures.

Every reader checks what a header promises before it allocates, keeps geometry in LPS mm, and raises from
:class:`secondread.errors.FormatError` with the file's path. What it had to mend is in ``warnings``, never silent.

The libraries behind each format are imported when the first file of that kind is met.
"""

from secondread.formats.contrast import contrast_of
from secondread.formats.find import find_scans
from secondread.formats.header import MAX_PIXELS, MAX_VOXELS, MIN_PICTURE_SIDE, Found, Header, Kind
from secondread.formats.masks import read_mask
from secondread.formats.read import probe, read_picture, read_study, read_volume
from secondread.formats.write import write_mask, write_picture_mask, write_volume

__all__ = [
    "MAX_PIXELS",
    "MAX_VOXELS",
    "MIN_PICTURE_SIDE",
    "Found",
    "Header",
    "Kind",
    "contrast_of",
    "find_scans",
    "probe",
    "read_mask",
    "read_picture",
    "read_study",
    "read_volume",
    "write_mask",
    "write_picture_mask",
    "write_volume",
]
