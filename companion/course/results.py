"""What an executed notebook says about its claims: the findings in its outputs' metadata."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from companion.errors import CompanionError
from companion.lab import Lesson

Notebook = dict[str, Any]


def read(path: Path) -> Notebook:
    """A notebook as plain data."""
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise CompanionError(f"There is no notebook {path}.") from error
    except ValueError as error:
        raise CompanionError(f"{path} is no notebook ({error}); restore it from version control.") from error


def judgements(notebook: Notebook) -> list[dict[str, Any]]:
    """Every judgement in a notebook's outputs: lesson, claim, scale, verdict, findings."""
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    found = [output.get("metadata", {}).get("companion", {}) for output in outputs]
    return [judgement for judgement in found if "claim" in judgement]


def verdicts(notebook: Notebook) -> dict[str, str]:
    """Claim -> verdict."""
    return {judgement["claim"]: judgement["verdict"] for judgement in judgements(notebook)}


def summary(found: dict[str, str], lesson: Lesson | None, scale: str) -> str:
    """ "4 holds, 1 fails", and which verdicts differ from the expected ones."""
    counted = ", ".join(f"{n} {verdict}" for verdict, n in Counter(found.values()).items())
    return "; ".join(filter(None, [counted, *surprises(found, lesson, scale)]))


def surprises(found: dict[str, str], lesson: Lesson | None, scale: str) -> list[str]:
    """A sentence for each claim whose verdict is not the expected one of this scale."""
    wanted = {c.id: c.expected[scale] for c in lesson.claims if scale in c.expected} if lesson else {}
    missing = [f"{id} was not judged" for id in wanted if id not in found]
    return missing + [
        f"{id} {found[id]}, expected {wanted[id]}" for id in wanted if found.get(id, wanted[id]) != wanted[id]
    ]


def compare(committed: list[dict[str, Any]], fresh: list[dict[str, Any]], lesson: Lesson) -> list[str]:
    """What differs between two runs of one notebook: verdicts, and means by more than each claim's tolerance."""
    now = {judgement["claim"]: judgement for judgement in fresh}
    problems = [
        f"{id}: the committed notebook holds no judgement of it" for id in sorted(_ids(lesson) - _seen(committed))
    ]
    for then in committed:
        id, claim = then["claim"], lesson.claim(then["claim"])
        if id not in now:
            problems.append(f"{id}: the fresh run did not judge it")
            continue
        if now[id]["verdict"] != then["verdict"]:
            problems.append(f"{id}: committed verdict {then['verdict']!r}, fresh verdict {now[id]['verdict']!r}")
        for old, new in zip(then["findings"], now[id]["findings"], strict=True):
            if not abs(new["mean"] - old["mean"]) <= claim.tolerance:
                pair = f"{old['method']} against {old['baseline']}"
                problems.append(
                    f"{id}, {pair}: committed {old['mean']:g}, fresh {new['mean']:g}, tolerance {claim.tolerance:g}"
                )
    return problems


def _ids(lesson: Lesson) -> set[str]:
    return {claim.id for claim in lesson.claims}


def _seen(found: list[dict[str, Any]]) -> set[str]:
    return {judgement["claim"] for judgement in found}
