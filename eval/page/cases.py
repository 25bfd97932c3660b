"""Which samples the page shows, and how they travel in it: the worst, the best, and a seeded draw of the rest."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...grounding.bad_input import explain
from ...grounding.imaging.drawing import COLOURS
from ...grounding.records import Task
from ..records import Record, meta_of, phrases_of, question_of
from ..statistics.strata import AXES
from .content import TITLES, Case, Content, Picture, System
from .provenance import origin
from .wording import words

LONGEST = 4000
"""Characters of one text that are shown; the rest is counted."""


def pick_cases(systems: Sequence[System], max_cases: int, seed: int) -> list[Case]:
    """At most `max_cases` samples, equal parts of every task; of each a third best, a third worst, a third at random.

    Those with the lowest score come first. The same records and seed give the same cases. Ties are broken by the draw,
    so that no file order shows through.
    """
    tasks: list[Task] = [task for task in TITLES if any(system.task == task for system in systems)]
    samples = {task: _samples([s for s in systems if s.task == task], task) for task in tasks}
    rng, left, cases = np.random.default_rng(seed), max_cases, []
    for index, task in enumerate(sorted(tasks, key=lambda task: len(samples[task]))):  # the smallest first
        share = min(len(samples[task]), left // (len(tasks) - index))  # what a small task leaves the next ones take
        cases += _pick(samples[task], share, rng)
        left -= share
    # failures first: what went wrong is what there is to learn
    return sorted(cases, key=lambda case: (tasks.index(case.task), np.isnan(case.value), case.value))


def _samples(systems: Sequence[System], task: Task) -> list[Case]:
    """Every sample of one task, once, with the records of all systems that hold it."""
    grouped: dict[tuple[str, ...], dict[str, tuple[System, Record]]] = {}
    for system in systems:
        for record in system.records:
            reference = json.dumps(record["answer"], sort_keys=True)
            key = (record["dataset"], record["id"], record["image_id"], question_of(record), reference)
            grouped.setdefault(key, {})[system.name] = (system, record)
    cases = []
    for records in grouped.values():
        record = next(record for _, record in records.values())
        meta = meta_of(record)
        strata = {axis: record.get(axis) or meta.get(axis) for axis in (*AXES, "level")}
        values = [system.values[row["id"]] for system, row in records.values() if row["id"] in system.values]
        cases.append(
            Case(
                task=task,
                id=record["id"],
                image=(record["dataset"], record["image_id"]),
                question=question_of(record),
                reference=record["answer"],
                strata={axis: str(value).strip() for axis, value in strata.items() if value not in (None, "")},
                records={name: row for name, (_, row) in records.items()},
                value=float(np.mean(values)) if values else float("nan"),
                pick="random",
            )
        )
    return cases


def _pick(samples: Sequence[Case], max_cases: int, rng: np.random.Generator) -> list[Case]:
    """Best, worst and random samples, none twice; those without a value come by the draw alone."""
    shuffled = [samples[index] for index in rng.permutation(len(samples))]
    ranked = sorted((case for case in shuffled if np.isfinite(case.value)), key=lambda case: -case.value)
    # with few samples best and worst must not meet: each gets half at most
    third = min(max_cases // 3, len(ranked) // 2)
    best, worst = ranked[:third], ranked[::-1][:third]
    picked = {id(case) for case in (*best, *worst)}
    rest = [case for case in shuffled if id(case) not in picked][: max_cases - 2 * third]
    picks = {"worst": worst, "random": rest, "best": best}
    return [replace(case, pick=pick) for pick, group in picks.items() for case in group]


def page_data(content: Content, score_threshold: float) -> dict[str, Any]:
    """What the page's script reads; every image once, cases refer to it by its index."""
    index_of = {key: index for index, key in enumerate(dict.fromkeys(case.image for case in content.cases))}
    systems: dict[tuple[Task, str], System] = {(system.task, system.name): system for system in content.systems}
    images = []
    for picture in (content.pictures.get(key, Picture(uri="", size_px=(1, 1))) for key in index_of):
        shapes = [
            {"k": s.kind, "f": s.phrase, "b": [round(x, 1) for x in s.box_xyxy_px], "s": round(s.score, 3)}
            | ({"m": s.path} if s.path else {})
            for s in picture.shapes
        ]
        images.append({"uri": picture.uri, "size": list(picture.size_px), "shapes": shapes})
    return {
        "systems": {task: [system.name for system in content.of(task)] for task in content.tasks},
        "threshold": score_threshold,
        "colours": list(COLOURS),
        "values": {system.task: words(system.value_name) for system in content.systems},
        "images": images,
        "cases": [_row(case, index_of[case.image], systems) for case in content.cases],
    }


def _row(case: Case, image: int, systems: Mapping[tuple[Task, str], System]) -> dict[str, Any]:
    """One case under names of one letter, as page.js reads them: thousands of cases repeat them."""
    answers = {name: _answer(record, systems[case.task, name]) for name, record in case.records.items()}
    row = {"t": case.task, "id": case.id, "i": image, "q": cut(case.question), "x": dict(case.strata)}
    row["d"] = origin(case.image[0])
    row |= {"k": case.pick, "v": round(case.value, 4) if np.isfinite(case.value) else None, "a": answers}
    if case.task == "grounding":
        return row | {"f": phrases_of(next(iter(case.records.values()))), "r": _count_regions(case.reference)}
    return row | {"r": cut(str(case.reference))}


def _answer(record: Record, system: System) -> dict[str, Any]:
    prediction, threshold = record["prediction"], float(system.scores.settings.get("score_threshold", 0.5))
    text = _count_regions(prediction, threshold) if system.task == "grounding" else cut(str(prediction))
    answer: dict[str, Any] = {"p": text}
    parsed = record.get("parsed")
    if isinstance(parsed, str) and parsed.strip().lower() not in ("", str(prediction).strip().lower()):
        answer["read"] = cut(parsed)
    if mark := system.marks.get(record["id"]):
        answer["m"] = mark
    if (value := system.values.get(record["id"])) is not None:
        answer["v"] = round(value, 3)
    problem = f"record {record['id']!r}: its regions or sentences cannot be shown"
    odd = (TypeError, ValueError, LookupError, AttributeError, OverflowError)
    with explain(problem, *odd, fix="give a list of regions with `box_xyxy_px`, or none"):
        if regions := list(_boxes(record.get("regions") or ())):
            answer["e"] = regions
        if said := meta_of(record).get("sentences"):
            answer["s"] = [{"p": cut(str(s.get("text", ""))), "e": list(_boxes(s.get("regions") or ()))} for s in said]
    return answer


def _count_regions(regions: Sequence[Mapping[str, Any]], score_threshold: float = 0.0) -> str:
    """Regions in words: how many confident ones there are, and how many others."""
    num = sum(float(region.get("score", 1.0)) >= score_threshold for region in regions)
    text = "no region" if not num else f"{num} region{'s' if num > 1 else ''}"
    return text if num == len(regions) else f"{text} ({len(regions) - num} below {score_threshold:g})"


def _boxes(regions: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for region in regions:
        box = [round(float(x), 1) for x in region["box_xyxy_px"]]
        yield {"f": str(region.get("phrase", "")), "b": box, "s": round(float(region.get("score") or 0), 3)}


def cut(text: str) -> str:
    """The text, or its beginning and how long it is."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} … ({len(text)} characters)"
