"""The smallest DICOM series in each compressed transfer syntax, to see whether a decoder works.

The encoded bytes stand here, so that nothing need be able to encode: a decoder is tried, not a pair.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Frame:
    """One encoded slice of 8 x 8 pixels.

    Attributes:
        syntax: its transfer syntax UID.
        step: pixel (row, column) is ``step * (4 * row + column)``, give or take half a step where it is lossy.
        bits: stored per pixel.
        data: the bytes in base 85.
    """

    name: str
    syntax: str
    step: int
    bits: int
    data: str


def write_series(frame: Frame, folder: Path) -> None:
    """Write two equal slices, 1 mm apart, as one MR series in ``folder``."""
    for number in range(2):
        _write_slice(frame, folder, number)


def _write_slice(frame: Frame, folder: Path, number: int) -> None:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import UID, MRImageStorage, generate_uid

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = UID(frame.syntax)
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(number)])
    data = Dataset()
    data.file_meta = meta
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.SeriesInstanceUID = data.FrameOfReferenceUID = data.StudyInstanceUID = generate_uid(entropy_srcs=["series"])
    data.Modality, data.InstanceNumber = "MR", number + 1
    data.ImageOrientationPatient, data.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, number]
    data.PixelSpacing, data.SliceThickness = [1, 1], 1
    data.Rows = data.Columns = 8
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 0
    data.BitsAllocated = 8 if frame.bits == 8 else 16
    data.BitsStored, data.HighBit = frame.bits, frame.bits - 1
    data.PixelData = encapsulate([base64.b85decode(frame.data)])
    data.save_as(folder / f"{number}.dcm", enforce_file_format=True)


_JPEG_LOSSLESS = (
    "|JeV;02crO0RaI30000000000000082?r4W!vG5q00;mG0RRyI|Jncu0RR97008ZiWZ5=NlVsT}gCUT}WHK2Hiy+8kG8qhpLn6pB"
    "84QL)A&|(j42DA?kjP{*EQ2AC$Ye4Z42vMhWHK2HhC?FAG8qhpLm`mJ|Je"
)

FRAMES = (
    Frame(
        "JPEG",
        "1.2.840.10008.1.2.4.50",
        7,
        8,
        "|JeWF01!$>Nk#wx0RR9200961|JwjV00IF40RaI50RaI50s;a81OoyB0s;jD1Oo&H1qKEN1qKEN2MGuU2MGrT1_%oX2?`1d3JL}Y"
        "3k(Yi3<(Mf3je?W3kU!R00;pA5di<h03QGV0R;g80RaI400000000000RjUA1qKHQ2?`7U!~nGr00IF60|EpC1qB2I0004f0RjU6"
        "1Q7)iAu&M)6H#FYB5@QlfsvsIBSNvk6;jdgBr{@if(Z&17Z@2DB_<~*DJnEIHa9pqIzvQ7Mn_0VN>fx-"
        "R##YAT4Q8oW@l(=YIAgTc6WGrdV_?8hKGoWijtF*m6n&7nVO=bq@|{(sHv*5v$VCgx45~w!o$SH#>dFX%F@%+)z;V8+1laa<K*S$"
        "=jiF`@$&QZ_4fDp`TGCb00;pA002J#$^D=I0N{W>>ObO&^#1^tfBv<9|Je",
    ),
    Frame(
        "JPEG, 12 bit",
        "1.2.840.10008.1.2.4.51",
        100,
        12,
        "|JeWF01!$>Nk#wx0RR9200961|JwjV009930RaI40RaI40RaI40RaI40RaI40RaI40RaI40RaI40RaI40RaI40RaI40RaI40RaI4"
        "0RaI40RaI40sp}O3k(1V00;pA5di<h02BZL0000000000000000000C|HJ?s5C8xM0{{R30000000000000XODmX}1W_17B00;pA"
        "002J#HF+E;aM1yvxHTK#(TD%p",
    ),
    Frame(
        "JPEG lossless",
        "1.2.840.10008.1.2.4.57",
        100,
        16,
        _JPEG_LOSSLESS,
    ),
    Frame(
        "JPEG lossless, first order",
        "1.2.840.10008.1.2.4.70",
        100,
        16,
        _JPEG_LOSSLESS,
    ),
    Frame(
        "JPEG-LS",
        "1.2.840.10008.1.2.4.80",
        100,
        16,
        "|JeWN03cIPNk&Eh0ssI300008000083J?YX0003j0003j|L6b+00001|JeWc01FTR2mlBH0TBTI_y7$7|Nj6I07C&306_oR00;pA"
        "00000raZ@(vmRpDb`Kz#6B@*@tPS+Y<QvV_<88FrOm01}*K0LejWvnKG@302dpMe~xYA)Plu0BJ)(03yB9RDWA`5)QkRRWlUmn}Q"
        "|Je",
    ),
    Frame(
        "JPEG-LS, near lossless",
        "1.2.840.10008.1.2.4.81",
        100,
        16,
        "|JeWN03cIPNk&Eh0ssI300008000083J?YX0003j0003j|L6b+00001|JeWc01FTR2mlBH0TBTI_y7$7|Nj6L07wBF06_oR00;pA"
        "00961q!|u_Akb(x_*98PpkZKNNSI~y_4m)8C`ebYUc7kmKteor>D#9)BrBILTsUyRLN{*Rvu4ZW8)mH<v}VBn*#",
    ),
    Frame(
        "JPEG 2000, lossless",
        "1.2.840.10008.1.2.4.90",
        100,
        16,
        "|4;u>04V?f0000800008000000000000008000080000000000009pH0sm3}3;+NC0RR951ONg5TmS?>fd6CwB>(|Ka%Ew3Wn>^?"
        "c_2@4Wo}APMMofZWpZ<AZ*CwmE;TMR|BwI*000000CWHW|C8VNlMoUsXBLl-"
        "p@J9|Qd7Y=;D4L$ZoMG66&pMCO5HER5~0_!3JiGhE|q0p$RlVVap)WENq@wVhUloo*p(cnkQr-"
        "3Q;B@6144ur1%M8%rPZ{$wwG4M-#5+keBU?D0f_&9|Je",
    ),
    Frame(
        "JPEG 2000",
        "1.2.840.10008.1.2.4.91",
        100,
        16,
        "|4;u>04V?f0000800008000000000000008000080000000000009pH0sm3}4FLiG0RR951ONbt|6BkCLVy7OWB?@q0Yh?SVRU6="
        "AYyqSPjF>!N>D{dAa-SPb7^mGATlmBE;Rp;015yA0000~00IA#-@+IYD`ysukD-"
        "DX7E)8eIN*Pq?ryyxxfL5b^-A3@!xEv_vI-1%@h+8RU&te9AaUp$?MZ*ck%s7~#MqS_rjQwHLsS3R",
    ),
    Frame(
        "HTJ2K, lossless",
        "1.2.840.10008.1.2.4.201",
        100,
        16,
        "|4;u>04YEK0000800008000000000000008000080000000000009pH0sl|{2mk^A000XAQUDA90ssL31q1{@0smY86Cj9?kdTm&"
        "kdTm&kdTmwh=~7W02crOPjF>!N>E53R%LP^FfKASE;BCwkN^q*00000S^xq6lfVEb754=PbN~PVzyK1!022U?0ta*eK>h;<bO68r"
        "6F>kHfWW{3f^+}|H~0XfQ~<yLDqsK=U`C_S_^NRNbpRfF^yu-xLILcy0RPz",
    ),
    Frame(
        "RLE",
        "1.2.840.10008.1.2.5",
        100,
        16,
        "0ssI2KmY&$dH?_b00000000000000000000000000000000000000000000000000000000000000000{s8^~{{sI3{{sF400jO6"
        "{{;R800jO8{|5gD{|5dC{s;gE{s{jG{|f&J{tEvK01N;M{|o*M{|yHKWXLR#^jN$Hkn~u*AcW{l2Oxy#Ot2Jq+y}4}c-"
        "%mw2y6#HqzG)#G?@Gc&@`C*V8kel2Vle~jPO*r90%}JxEz4wNUQ",
    ),
)
"""One for each compressed transfer syntax that is read."""
