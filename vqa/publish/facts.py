"""What an adapter learned from, as a file beside its weights: data sets with licences and counts."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import yaml

from ...grounding.bad_input import BadInput
from ...grounding.files import read_lines
from .adapter_card import LearnedSet

DERIVED = "questions and captions derived from regions"


def read_facts(file: Path) -> list[LearnedSet]:
    """The facts of a YAML or JSON list (name, licence, what, items, images, note), or counted in a file of `derived`.

    Raises `BadInput` for a file that is neither.
    """
    try:
        if file.suffix == ".jsonl":
            rows = (row for row in read_lines(file) if row["split"] == "train")
            return count_facts((row["dataset"], row["licence"], DERIVED, str(row["image"])) for row in rows)
        return [LearnedSet(**row) for row in yaml.safe_load(file.read_text(encoding="utf-8"))]
    except (OSError, TypeError, KeyError, yaml.YAMLError) as error:
        fix = "a list of {name, licence, what, items, images}, or derived.jsonl of `medglip vqa align`"
        raise BadInput(f"no facts: {error}", file=file, fix=fix) from error


def facts_json(sets: Sequence[LearnedSet]) -> str:
    """The text of a file that `read_facts` reads back."""
    return json.dumps([asdict(facts) for facts in sets], indent=1) + "\n"


def count_facts(rows: Iterable[tuple[str, str, str, str]]) -> list[LearnedSet]:
    """Items and images counted by set, licence and kind of item; `rows`: those three and the image, one per item."""
    images: dict[tuple[str, str, str], list[str]] = {}
    for name, licence, what, image in rows:
        images.setdefault((name, licence, what), []).append(image)
    return [
        LearnedSet(name=name, licence=licence, what=what, items=len(files), images=len(set(files)))
        for (name, licence, what), files in images.items()
    ]
