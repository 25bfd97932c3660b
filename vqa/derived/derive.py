"""From studies to lines: draw claims of each study, word them, check them again, balance the answers, write JSONL."""

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from tqdm.auto import tqdm

from ...grounding.bad_input import BadInput, Skipped
from ...grounding.datasets.schema import row_to_image
from ...grounding.files import sha256, write_atomic
from ...grounding.types import AnnotatedImage
from . import captions
from .check import check
from .claims import Claim, claims
from .facts import Facts, facts_of
from .questions import WORDINGS, question_text
from .settings import KINDS, DeriveSettings

Item = dict[str, Any]
_ALWAYS_KEPT = ("modality", "body", "organ", "caption")
"""Kinds whose answers cannot differ within a set."""
_LEAST_OF_ONE = 5


def derive(data: Dataset, settings: DeriveSettings, licences: Mapping[str, str]) -> tuple[list[Item], Skipped]:
    """Items of all studies in order, and studies or items left out: unreadable, or not true when checked again.

    `licences`: data set -> as the recipe gives it. Raises `BadInput` where no study is of the splits.
    """
    chosen, skipped, items = chosen_rows(data, settings), Skipped(), list[Item]()
    for k in tqdm(chosen, desc="derive", unit="image", leave=False, disable=None):
        try:
            image = row_to_image(data[k])
            found = items_of(image, settings, licences.get(image.dataset, ""))
        except BadInput as error:
            skipped.add(f"row {k}", error)
            continue
        for item in found:
            if settings.kinds and item["kind"] not in settings.kinds:
                continue
            if check(item, image):
                items.append(item)
            else:
                skipped.add(item["id"], BadInput("not true by its masks when checked again.", fix="please report it"))
    return (balance(items) if settings.balance else items), skipped


def chosen_rows(data: Dataset, settings: DeriveSettings) -> list[int]:
    """Rows of the splits, at most `limit` of each data set. Raises `BadInput` where no study is of the splits."""
    names, splits = list(data["dataset"]), list(data["split"])
    if unknown := set(settings.splits) - set(splits):
        raise BadInput(f"no image is of split {min(unknown)!r}.", fix=f"splits: {', '.join(sorted(set(splits)))}")
    rows: dict[str, list[int]] = defaultdict(list)
    for k, (name, split) in enumerate(zip(names, splits, strict=True)):
        if not settings.splits or split in settings.splits:
            rows[name].append(k)
    rng = np.random.default_rng(settings.seed)
    size = settings.limit
    cut = (v if size is None or len(v) <= size else rng.choice(v, size, replace=False).tolist() for v in rows.values())
    return sorted(k for part in cut for k in part)


def items_of(image: AnnotatedImage, settings: DeriveSettings, licence: str = "") -> list[Item]:
    """What is asked of one study, worded; the draw depends on the seed and the study's id alone."""
    facts = facts_of(image)
    rng = np.random.default_rng([settings.seed, int(sha256(image.image_id)[:12], 16)])
    by_kind: dict[str, list[Claim]] = {kind: [] for kind in KINDS}
    for claim in claims(facts):
        by_kind[claim.kind].append(claim)
    drawn = [claim for pool in by_kind.values() for claim in _draw(pool, settings.per_kind, rng)]
    caption = captions.caption(facts)
    if caption is not None:
        asks = {**caption.asks, "told": int(rng.integers(captions.NUM_TOLD))}
        answer = captions.text(asks, asks["told"])
        drawn.append(Claim(kind="caption", form="caption", answer=answer, asks=asks, phrases=caption.phrases))
    numbers = Counter[str]()
    items: list[Item] = []
    for claim in drawn:
        items.append(to_item(claim, facts, numbers[claim.kind], int(rng.integers(len(WORDINGS[claim.form]))), licence))
        numbers[claim.kind] += 1
    return items


def _draw(pool: Sequence[Claim], max_items: int, rng: np.random.Generator) -> Iterator[Claim]:
    """Form, then answer, then claim by chance, so that rare answers are as likely; none twice on the same phrases."""
    left = list(pool)
    for _ in range(max_items):
        if not left:
            return
        form = _pick({claim.form for claim in left}, rng)
        answer = _pick({claim.answer for claim in left if claim.form == form}, rng)
        fitting = [claim for claim in left if (claim.form, claim.answer) == (form, answer)]
        chosen = fitting[int(rng.integers(len(fitting)))]
        yield chosen
        left = [c for c in left if c.form != form or set(c.phrases) != set(chosen.phrases)]


def _pick(names: set[str], rng: np.random.Generator) -> str:
    return sorted(names)[int(rng.integers(len(names)))]


def to_item(claim: Claim, facts: Facts, number: int, wording: int, licence: str) -> Item:
    """The claim as a line, in the given wording; `number` counts the items of its kind on this study."""
    image = facts.image
    return {
        "id": f"{image.image_id}#{claim.kind}-{number}",
        "image": portable(image.image_path),
        "image_id": image.image_id,
        "dataset": image.dataset,
        "split": image.split,
        "group": image.group,
        "modality": image.modality,
        "size_px": list(image.size_px),
        "question": question_text(claim.form, wording, claim.asks),
        "answer": claim.answer,
        "answer_type": "closed" if claim.answer in ("yes", "no") else "open",
        "kind": claim.kind,
        "form": claim.form,
        "wording": wording,
        "asks": claim.asks,
        "phrases": list(claim.phrases),
        "provenance": _provenance(claim, facts),
        "licence": licence,
    }


def _provenance(claim: Claim, facts: Facts) -> dict[str, Any]:
    """Regions and numbers that the answer follows from; lengths as parts of the image."""
    places = [facts.places[phrase] for phrase in claim.phrases if phrase in facts.places]
    regions = facts.image.regions
    return {
        "regions": [
            {"index": k, "phrase": place.phrase, "box_xyxy_px": [round(float(v), 2) for v in regions[k].box_xyxy_px]}
            for place in places
            for k in place.indices
        ],
        "measured": {
            place.phrase: {
                "from": "boxes" if place.mask is None else "masks",
                "number": place.number,
                "area": [round(v, 5) for v in place.area],
                "centre": [round(v, 4) for v in place.centres[0]],
                "left_half": round(place.left, 4),
            }
            for place in places
        },
        "absent": [phrase for phrase in claim.phrases if phrase in facts.absent],
    }


def portable(path: Path) -> str:
    """The path below MEDGLIP_DATA where it lies there, so that the lines are of use on another machine."""
    root = os.environ.get("MEDGLIP_DATA", "")
    return str(path.relative_to(root)) if root and path.is_relative_to(root) else str(path)


def balance(items: Sequence[Item]) -> list[Item]:
    """Items in their order, without the surplus: in a set, split and form, yes is as common as no.

    Forms that only ever say one of the two are left out whole. Of open answers, the commonest is at most as common as
    all others together:

        yes 7, no 4           -> yes 4, no 4
        yes 7                 -> nothing
        left 9, right 5       -> left 5, right 5      (`_LEAST_OF_ONE` stay in any case)

    What stays are the answers that tell least from the phrases alone: "liver: yes" goes before "nodule: yes", if a
    liver is nearly always there.
    """
    tally = Counter[tuple[str, str, str]]((i["form"], _names(i), i["answer"]) for i in items)
    totals = Counter[tuple[str, str]]((i["form"], _names(i)) for i in items)
    groups: dict[tuple[str, ...], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for k, item in enumerate(items):
        groups[item["dataset"], item["split"], item["form"], item["answer_type"]][item["answer"]].append(k)
    kept: list[int] = []
    for key, classes in groups.items():
        num_items = sum(map(len, classes.values()))
        is_fixed = key[2].split("-")[0] in _ALWAYS_KEPT and key[3] == "open"
        for rows in classes.values():
            others = num_items - len(rows)
            max_items = len(rows) if is_fixed else others if key[3] == "closed" else max(others, _LEAST_OF_ONE)
            names = [(items[k]["form"], _names(items[k]), items[k]["answer"]) for k in rows]
            order = [(tally[n] / totals[n[:2]], sha256(items[k]["id"]), k) for n, k in zip(names, rows, strict=True)]
            kept += [k for *_, k in sorted(order)[:max_items]]
    return [items[k] for k in sorted(kept)]


def _names(item: Mapping[str, Any]) -> str:
    return "|".join(sorted(item["phrases"]))


def write(file: Path, items: Iterable[Item]) -> None:
    """One JSON object a line, the whole file or none. Raises `BadInput` where there is none."""
    lines = [json.dumps(item, ensure_ascii=False) + "\n" for item in items]
    if not lines:
        raise BadInput("no question to write.", file=file, fix="see what was skipped, or ask of more splits")
    write_atomic(file, "".join(lines))


def summary(items: Iterable[Item]) -> list[dict[str, int | str]]:
    """One row a set, the last one of all: items by kind, and how many of the closed ones say yes."""
    tally: dict[str, Counter[str]] = defaultdict(Counter)
    for item in items:
        columns = [item["kind"], "items"]
        if item["answer_type"] == "closed":
            columns += ["closed", "yes"] if item["answer"] == "yes" else ["closed"]
        for name in (item["dataset"], "all"):
            tally[name].update(columns)
    names = [name for name in tally if name != "all"] + ["all"] * ("all" in tally)
    shown = (*KINDS, "items", "closed", "yes")
    return [{"set": name, **{column: tally[name][column] for column in shown}} for name in names]
