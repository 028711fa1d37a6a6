"""What a notebook stands on: configuration, evidence, exercises, figures, and `Lab`, the object that binds them."""

from companion.lab.config import SCALES, BaseConfig, Study, TrainConfig
from companion.lab.evidence import Claim, Evaluation, Measurement, evaluate, values
from companion.lab.exercises import Exercise, NotYet, require_close
from companion.lab.lesson import Lesson, load_lesson
from companion.lab.notebook import Lab
from companion.lab.records import Record, load_record

__all__ = [
    "SCALES",
    "BaseConfig",
    "Claim",
    "Evaluation",
    "Exercise",
    "Lab",
    "Lesson",
    "Measurement",
    "NotYet",
    "Record",
    "Study",
    "TrainConfig",
    "evaluate",
    "load_lesson",
    "load_record",
    "require_close",
    "values",
]
