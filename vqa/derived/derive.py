"""From images to lines: draw claims of each image, word them, check them again, balance the answers, write JSONL."""

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from tqdm.auto import tqdm

from ...grounding.bad_input import BadInput, Skipped
from ...grounding.datasets.schema import row_to_image
from ...grounding.files import sha256, write_atomic
from ...grounding.types import AnnotatedImage
from .check import check
from .claims import Claim, claims
from .facts import Facts, facts_of
from .settings import KINDS, DeriveSettings
from .wordings import NUM_RENDERINGS, WORDINGS, caption, caption_text, question_text

Item = dict[str, Any]
_NEVER_BALANCED = ("modality", "body", "organ", "caption")
"""Kinds whose answers cannot differ within a set."""
_MIN_OF_ONE = 5


def derive(data: Dataset, settings: DeriveSettings, licences: Mapping[str, str]) -> tuple[list[Item], Skipped]:
    """Items of all images in order, and images or items left out: unreadable, or not true when checked again.

    `licences`: data set -> as the recipe gives it. Raises `BadInput` where no image is of the splits.
    """
    skipped, items = Skipped(), list[Item]()
    for k in tqdm(chosen_rows(data, settings), desc="derive", unit="image", leave=False, disable=None):
        try:
            image = row_to_image(data[k])
            image_items = items_of(image, settings, licences.get(image.dataset, ""))
        except BadInput as error:
            skipped.add(f"row {k}", error)
            continue
        for item in image_items:
            if settings.kinds and item["kind"] not in settings.kinds:
                continue
            if check(item, image):
                items.append(item)
            else:
                skipped.add(item["id"], BadInput("not true by its masks when checked again.", fix="please report it"))
    return (balance(items) if settings.balance else items), skipped


def chosen_rows(data: Dataset, settings: DeriveSettings) -> list[int]:
    """Rows of the splits, at most `limit` of each data set. Raises `BadInput` where no image is of the splits."""
    names, splits = list(data["dataset"]), list(data["split"])
    if unknown := set(settings.splits) - set(splits):
        raise BadInput(f"no image is of split {min(unknown)!r}.", fix=f"splits: {', '.join(sorted(set(splits)))}")
    rows: dict[str, list[int]] = defaultdict(list)
    for k, (name, split) in enumerate(zip(names, splits, strict=True)):
        if not settings.splits or split in settings.splits:
            rows[name].append(k)
    rng, size = np.random.default_rng(settings.seed), settings.limit
    for name, indices in rows.items():
        if size is not None and len(indices) > size:
            rows[name] = rng.choice(indices, size, replace=False).tolist()
    return sorted(k for indices in rows.values() for k in indices)


def items_of(image: AnnotatedImage, settings: DeriveSettings, licence: str = "") -> list[Item]:
    """What is asked of one image, worded; the draw depends on the seed and the image's id alone."""
    facts = facts_of(image)
    rng = np.random.default_rng([settings.seed, int(sha256(image.image_id)[:12], 16)])
    by_kind: dict[str, list[Claim]] = {kind: [] for kind in KINDS}
    for claim in claims(facts):
        by_kind[claim.kind].append(claim)
    drawn: list[Claim] = []
    for pool in by_kind.values():
        # form, then answer, then claim by chance, so that rare answers are as likely; none twice on the same phrases
        for _ in range(settings.per_kind):
            if not pool:
                break
            form = _pick({claim.form for claim in pool}, rng)
            answer = _pick({claim.answer for claim in pool if claim.form == form}, rng)
            fitting = [claim for claim in pool if (claim.form, claim.answer) == (form, answer)]
            drawn.append(chosen := fitting[int(rng.integers(len(fitting)))])
            pool = [c for c in pool if c.form != form or set(c.phrases) != set(chosen.phrases)]
    if (claim := caption(facts)) is not None:
        asks = {**claim.asks, "told": int(rng.integers(NUM_RENDERINGS))}
        drawn.append(replace(claim, answer=caption_text(asks, asks["told"]), asks=asks))
    numbers, items = Counter[str](), list[Item]()
    for claim in drawn:
        items.append(to_item(claim, facts, numbers[claim.kind], int(rng.integers(len(WORDINGS[claim.form]))), licence))
        numbers[claim.kind] += 1
    return items


def _pick(names: set[str], rng: np.random.Generator) -> str:
    return sorted(names)[int(rng.integers(len(names)))]


def to_item(claim: Claim, facts: Facts, number: int, wording: int, licence: str) -> Item:
    """The claim as a line, in the given wording; `number` counts the items of its kind on this image.

    `provenance`: regions and numbers that the answer follows from, lengths as parts of the image. The path is one below
    MEDGLIP_DATA where the image lies there, so that the lines are of use on another machine.
    """
    image, root = facts.image, os.environ.get("MEDGLIP_DATA", "")
    path = image.image_path
    places = [facts.places[phrase] for phrase in claim.phrases if phrase in facts.places]
    boxes = [[round(float(v), 2) for v in region.box_xyxy_px] for region in image.regions]
    return {
        "id": f"{image.image_id}#{claim.kind}-{number}",
        "image": str(path.relative_to(root) if root and path.is_relative_to(root) else path),
        **{name: getattr(image, name) for name in ("image_id", "dataset", "split", "group", "modality")},
        "size_px": list(image.size_px),
        "question": question_text(claim.form, wording, claim.asks),
        "answer": claim.answer,
        "answer_type": "closed" if claim.answer in ("yes", "no") else "open",
        "kind": claim.kind,
        "form": claim.form,
        "wording": wording,
        "asks": claim.asks,
        "phrases": list(claim.phrases),
        "provenance": {
            "regions": [
                {"index": k, "phrase": place.phrase, "box_xyxy_px": boxes[k]} for place in places for k in place.indices
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
        },
        "licence": licence,
    }


def balance(items: Sequence[Item]) -> list[Item]:
    """Items in their order, without the surplus: in a set, split and form, yes is as common as no.

    Forms that only ever say one of the two are left out whole. Of open answers, the commonest is at most as common as
    all others together:

        yes 7, no 4           -> yes 4, no 4
        yes 7                 -> nothing
        left 9, right 5       -> left 5, right 5      (`_MIN_OF_ONE` stay in any case)

    What stays are the answers that tell least from the phrases alone: "liver: yes" goes before "nodule: yes", if a
    liver is nearly always there.
    """
    named = [(item["form"], "|".join(sorted(item["phrases"])), item["answer"]) for item in items]
    tally, totals = Counter(named), Counter(names[:2] for names in named)
    groups: dict[tuple[str, ...], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for k, item in enumerate(items):
        groups[item["dataset"], item["split"], item["form"], item["answer_type"]][item["answer"]].append(k)
    chosen: list[int] = []
    for (_, _, form, answer_type), classes in groups.items():
        num_items = sum(map(len, classes.values()))
        is_fixed = form.split("-")[0] in _NEVER_BALANCED and answer_type == "open"
        for rows in classes.values():
            others = num_items - len(rows)
            max_items = len(rows) if is_fixed else others if answer_type == "closed" else max(others, _MIN_OF_ONE)
            # the rarer an answer for its form and phrases, the sooner it stays; equal ones by hash
            order = [(tally[named[k]] / totals[named[k][:2]], sha256(items[k]["id"]), k) for k in rows]
            chosen += [k for *_, k in sorted(order)[:max_items]]
    return [items[k] for k in sorted(chosen)]


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
    names = sorted(tally, key="all".__eq__)  # the row of all comes last
    columns = (*KINDS, "items", "closed", "yes")
    return [{"set": name, **{column: tally[name][column] for column in columns}} for name in names]
