"""What a notebook stands on: configuration, evidence, exercises, figures, and `Lab`, the object that binds them."""

from companion.lab.config import SCALES, BaseConfig, Study, TrainConfig
from companion.lab.evidence import Claim, Judgement, Measurement, judge, values
from companion.lab.exercises import Exercise, NotYet, require_close
from companion.lab.lesson import Lesson, load_lesson
from companion.lab.notebook import Lab
from companion.lab.records import Record, load_record

__all__ = [
    "SCALES",
    "BaseConfig",
    "Claim",
    "Exercise",
    "Judgement",
    "Lab",
    "Lesson",
    "Measurement",
    "NotYet",
    "Record",
    "Study",
    "TrainConfig",
    "judge",
    "load_lesson",
    "load_record",
    "require_close",
    "values",
]
