"""What a notebook stands on: scales, evidence, exercises, figures, and `Lab`, the object that binds them."""

from companion.lab.evidence import Claim, Judgement, Measurement, judge, values
from companion.lab.exercises import Exercise, NotYet, require_close
from companion.lab.lesson import Lesson, load_lesson
from companion.lab.notebook import Lab
from companion.lab.records import Record, load_record, source_hash
from companion.lab.scales import SCALES, Config, Plan

__all__ = [
    "SCALES",
    "Claim",
    "Config",
    "Exercise",
    "Judgement",
    "Lab",
    "Lesson",
    "Measurement",
    "NotYet",
    "Plan",
    "Record",
    "judge",
    "load_lesson",
    "load_record",
    "require_close",
    "source_hash",
    "values",
]
