"""Does the model look at the image? Drops under probes, and questions that score only with their partner."""

from collections import Counter, defaultdict
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, cast

import numpy as np

from ..grounding.bad_input import BadInput
from .catalog import tested_metrics
from .compare import add_holm, differences
from .protocols import exact_match, probmed
from .records import Record, check_run, cluster, data_sha256, first_few, meta_of
from .score import EvalSettings, measure
from .statistics.bootstrap import Difference, Estimate, estimates
from .statistics.measure import Measured, Measures, mean

PROTOCOL = "probes"
VERSION = "1"

IMAGE_PROBES = ("blank", "blank_kept", "shuffled", "text_only", "flipped")
"""What may stand in for the image: a blank one, a blank one beside the evidence of the image, another's, none at all, a
mirrored one. (`vqa/probes.py` also asks for what is absent; these questions are on the original images, and are scored
by their own metrics.)"""

SEVERAL = ("corrupt", "rephrased")
"""Probes that ask a question several times; each time is a source of its own: `corrupt-1` by its severity,
`rephrased-1` by the order of the ids."""
PROBES = (*IMAGE_PROBES, *SEVERAL)

ORIGINAL = "original"


@dataclass(frozen=True, kw_only=True)
class ProbeResult:
    """Scores of the original and of each probe, and the drops: original less probe on the questions that both have.

    `metrics`: source -> metric -> estimate; `drops`: probe -> metric -> difference; `upstream`: source -> ProbMed's
    totals with upstream's weights; `counts`: source -> records, pairs, and questions without their partner. `curves`:
    metric -> its value of the originals, then at each severity of `corrupt`, on the originals that it has.
    `consistency`: `corrupt`, `rephrased` -> the part of the questions that have one answer all times, right or wrong.
    """

    protocol: str
    version: str
    metrics: dict[str, dict[str, Estimate]]
    drops: dict[str, dict[str, Difference]]
    upstream: dict[str, dict[str, float]]
    counts: dict[str, dict[str, int]]
    settings: dict[str, Any]
    data_sha256: dict[str, str]
    family: str = ""
    notes: list[str] = field(default_factory=list)
    curves: dict[str, list[float]] = field(default_factory=dict)
    consistency: dict[str, Estimate] = field(default_factory=dict)


def probe(
    records: Sequence[Sequence[Record]], names: Sequence[str], settings: EvalSettings = EvalSettings()
) -> ProbeResult:
    """Scores of record files of the same questions under the original image and under probes.

    A record's source is its `meta.probe` (with the severity, where it has one), else an `evidence` named like a probe,
    else `original`. `names`: of the files, for messages. A probe's record is paired with the original whose id is its
    own id, its `meta.original`, what its id begins with, or its `meta.pair_id`, the first that is there; it is scored
    against its own reference (a flipped question has another answer). Raises `BadInput` for no originals, for ids that
    come twice in a source, and for probes without their original.
    """
    grouped: defaultdict[str, list[Record]] = defaultdict(list)
    for record in chain(*records):
        grouped[source_of(record)].append(record)
    known = {record["id"] for record in grouped[ORIGINAL]}
    times: Counter[str] = Counter()  # how often an original was asked in other words so far
    for record in sorted(grouped.pop("rephrased", []), key=lambda record: record["id"]):
        times[name := original_id(record, known)] += 1
        grouped[f"rephrased-{times[name]}"].append(record)
    file = ", ".join(names)
    if not known:
        raise BadInput("no records of the original images.", file=file, fix="give their file too")
    if len({record["task"] for rows in grouped.values() for record in rows}) > 1:
        raise BadInput("records of several tasks.", file=file, fix="give one task's at a time")
    for rows in grouped.values():
        check_run(rows, file)
        rows.sort(key=lambda record: record["id"])
    # the original first, whatever the order of the files
    order = [ORIGINAL, *IMAGE_PROBES, *sorted(set(grouped) - {ORIGINAL, *IMAGE_PROBES})]
    sources = {source: grouped[source] for source in order if source in grouped}
    original = sources[ORIGINAL]
    full = {source: _measure(rows, settings) for source, rows in sources.items()}
    drops, notes = {}, [f"{source}: {note}" for source, part in full.items() for note in part.notes]
    for source, rows in sources.items():
        if source != ORIGINAL:
            drops[source], more = _drops(original, rows, source, settings)
            notes += more
    corrected, family = add_holm(drops, tested_metrics(original[0]["task"])) if drops else ({}, "")
    return ProbeResult(
        protocol=PROTOCOL,
        version=VERSION,
        metrics={name: estimates(part.measures, part.clusters, **settings.intervals) for name, part in full.items()},
        drops=corrected,
        upstream={
            source: probmed.upstream_weighted(images)
            for source, rows in sources.items()
            if rows[0]["task"] == "vqa" and (images := probmed.image_marks(rows))
        },
        counts={source: dict(part.counts) for source, part in full.items()},
        settings=settings.model_dump(mode="json"),
        data_sha256={source: data_sha256(rows) for source, rows in sources.items()},
        family=family,
        notes=notes,
        curves=_curves(drops),
        consistency=_consistency(sources, settings) if original[0]["task"] == "vqa" else {},
    )


def source_of(record: Record) -> str:
    """`original`, a probe, or `corrupt` and its severity: `corrupt-3`.

    Raises `BadInput` for an unknown probe, and for `corrupt` without a severity from 1 to 5.
    """
    meta = meta_of(record)
    name = meta.get("probe")
    if name not in (None, "", ORIGINAL, *PROBES):
        raise BadInput(f"{record['id']!r} names the probe {name!r}.", fix=f"known are {', '.join(PROBES)}")
    name = name or record.get("evidence")
    if name == "corrupt":
        severity = meta.get("severity")
        if type(severity) is not int or not 1 <= severity <= 5:
            raise BadInput(f"{record['id']!r}: meta.severity is {severity!r}.", fix="a whole number from 1 to 5")
        return f"{name}-{severity}"
    return name if name in PROBES else ORIGINAL


def original_id(record: Record, known: Container[str]) -> str:
    """The id of a probe's original; one that is not known where there is none."""
    name, meta = record["id"], meta_of(record)
    if name in known or str(meta.get("original")) in known:
        return name if name in known else str(meta["original"])
    # "q1/corrupt-3" begins with "q1", and so does "q12", which is another question
    starts = (name[:end] for end in range(len(name) - 1, 0, -1) if not name[end].isalnum())
    return next((start for start in starts if start in known), _pair_id(record))


def _consistency(sources: Mapping[str, Sequence[Record]], settings: EvalSettings) -> dict[str, Estimate]:
    """By probe of `SEVERAL`, over the originals that were asked again."""
    originals = {record["id"]: record for record in sources[ORIGINAL]}
    parts: dict[str, Estimate] = {}
    for name in SEVERAL:
        again: defaultdict[str, set[str | None]] = defaultdict(set)
        for record in chain(*(rows for source, rows in sources.items() if source.startswith(f"{name}-"))):
            again[original_id(record, originals)].add(_said(record))
        if again:
            same = mean([said == {_said(originals[key])} for key, said in again.items()])
            clusters = [cluster(originals[key]) for key in again]
            parts |= estimates({name: same}, clusters, **settings.intervals)
    return parts


def _said(record: Record) -> str | None:
    return exact_match.meaning(str(record["prediction"]), str(record["answer"]))


def _curves(drops: Mapping[str, Mapping[str, Difference]]) -> dict[str, list[float]]:
    """Each metric's value of the originals, then of each severity that there is."""
    steps = [drop for source, drop in drops.items() if source.startswith("corrupt-")]
    if not steps:
        return {}
    shared = [name for name in steps[0] if all(name in step for step in steps)]
    return {name: [steps[0][name].a, *(step[name].b for step in steps)] for name in shared}


def _drops(
    original: Sequence[Record], rows: Sequence[Record], source: str, settings: EvalSettings
) -> tuple[dict[str, Difference], list[str]]:
    """Original less probe, on the originals that the probe has, with what a reader must know."""
    known = {record["id"] for record in original}
    keyed = {original_id(record, known): record for record in rows}
    lost = [key for key in keyed if key not in known]
    if len(keyed) < len(rows) or lost:
        problem = f"{source}: {len(lost)} records without their original ({first_few(lost)}),"
        problem += f" {len(rows) - len(keyed)} with one used before."
        raise BadInput(problem, fix="a probe's id, or meta.pair_id, is the id of its original")
    both = [record for record in original if record["id"] in keyed]
    a = _measure(both, settings)
    b = _measure([cast(Record, {**keyed[record["id"]], "id": record["id"]}) for record in both], settings)
    ours: Measures = {}
    theirs: Measures = {}
    for name, one in a.measures.items():
        if (other := b.measures.get(name)) is None:
            continue
        # a flipped question may move between kinds (open, closed): only what both count is compared
        in_a, in_b = np.isin(one.rows_N, other.rows_N), np.isin(other.rows_N, one.rows_N)
        if np.array_equal(one.rows_N, other.rows_N):
            ours[name], theirs[name] = one, other
        elif in_a.any() and np.array_equal(one.rows_N[in_a], other.rows_N[in_b]):
            ours[name], theirs[name] = one.subset(in_a), other.subset(in_b)
    part = f"{source}: compared on {len(both)} of {len(original)} questions."
    drops = differences(replace(a, measures=ours), replace(b, measures=theirs), settings)
    return drops, [part] if len(both) < len(original) else []


def _pair_id(record: Record) -> str:
    return str(meta_of(record).get("pair_id") or record["id"])


def _measure(records: Sequence[Record], settings: EvalSettings) -> Measured:
    """The task's measures and, for VQA, those of pairs; records in the order of their ids."""
    measured = measure(records, records[0]["task"], settings)
    if records[0]["task"] != "vqa":
        return measured
    images = probmed.image_marks(records)
    pairs, alone = _pairs(records)
    counts = {
        "images_probmed": len(images),
        "questions_without_partner": sum(image.skipped for image in images) + alone,
        "adversarial_pairs": len(pairs),
    }
    extra = probmed.measures(images)
    if pairs:
        texts = [(str(record["prediction"]), str(record["answer"])) for record in records]
        is_right = [exact_match.read_answer(text) == exact_match.normalize(answer) for text, answer in texts]
        rows = [first for first, _ in pairs]
        # both right; and the first one, whatever its partner
        extra["pair_accuracy"] = mean([is_right[first] and is_right[second] for first, second in pairs], rows)
        extra["pair_first_accuracy"] = mean([is_right[first] for first in rows], rows)
    return replace(measured, measures=dict(measured.measures) | extra, counts=dict(measured.counts) | counts)


def _pairs(records: Sequence[Record]) -> tuple[list[tuple[int, int]], int]:
    """Rows of each pair, the adversarial question second, and how many questions stand alone.

    Second is the one marked `meta.adversarial`, else the one whose id is not the `pair_id`, else the one answered no.
    """

    def comes_late(row: int) -> tuple[bool, bool, bool]:
        record = records[row]
        answers_no = exact_match.normalize(str(record["answer"])) == "no"
        return bool(meta_of(record).get("adversarial")), record["id"] != _pair_id(record), answers_no

    rows: defaultdict[str, list[int]] = defaultdict(list)
    for row, record in enumerate(records):
        if meta_of(record).get("pair_id") and not probmed.qa_type(record):
            rows[_pair_id(record)].append(row)
    ordered = [sorted(group, key=comes_late) for group in rows.values()]
    pairs = [(group[0], group[1]) for group in ordered if len(group) == 2]
    return pairs, sum(map(len, rows.values())) - 2 * len(pairs)
