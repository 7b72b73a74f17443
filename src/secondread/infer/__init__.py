"""A model and a study to findings."""

from secondread.infer.batch import Outcome, Scan, outcome_words, read_all, written_words
from secondread.infer.familiarity import Familiarity, Strangeness, Table, View
from secondread.infer.picture import reading_picture, save_picture
from secondread.infer.predict import predict
from secondread.infer.reader import (
    Probabilities,
    Reader,
    Reading,
    calibrated,
    decide,
    load_model,
    probabilities,
    voxel_probability,
)
from secondread.infer.spec import ClassPromise, ModelSpec, Promise, Thresholds, open_model, save_model
from secondread.infer.starter import Starter, begin_with_starter, fits, reader_for

__all__ = [
    "ClassPromise",
    "Familiarity",
    "ModelSpec",
    "Outcome",
    "Probabilities",
    "Promise",
    "Reader",
    "Reading",
    "Scan",
    "Starter",
    "Strangeness",
    "Table",
    "Thresholds",
    "View",
    "begin_with_starter",
    "calibrated",
    "decide",
    "fits",
    "load_model",
    "open_model",
    "outcome_words",
    "predict",
    "probabilities",
    "read_all",
    "reader_for",
    "reading_picture",
    "save_model",
    "save_picture",
    "voxel_probability",
    "written_words",
]
