"""The model card of a shipped adapter: what it is, what it learned from, how well it does, what it is not for.

Markdown with the front matter that model hubs read, `README.md` beside the weights; the data sets with licences and
counts are a file of their own, too.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from ...grounding.bad_input import ROW_ERRORS, explain
from ...grounding.files import read_lines
from ...grounding.foreign import read_yaml
from ...grounding.types import NOTICE
from ...grounding.vocabulary.places import Frame

IMAGE_SETS = ("phantom", "derived", "jsonl")
"""Sets of ours, whose words for places are the image's."""
DERIVED = "questions and captions derived from regions"
FREE = re.compile(r"CC0|CC BY|MIT\b|Apache|BSD|drawn by this package", re.IGNORECASE)
UNFREE = re.compile(r"\b(?:NC|ND)\b|non-?commercial|no ?deriv|research only", re.IGNORECASE)
TEXTS = Path(__file__).with_suffix(".yaml")
"""What a card says, by what the adapter does."""


@dataclass(frozen=True, kw_only=True)
class LearnedSet:
    """One data set of a training. `what`: the kind of its items; `items`, `images`: how many were learned from."""

    name: str
    licence: str
    what: str
    items: int
    images: int
    note: str = ""

    @property
    def is_free(self) -> bool:
        """Whether the licence lets anybody use what was learned from it, for anything."""
        return bool(FREE.search(self.licence)) and not UNFREE.search(self.licence)


def adapter_card(
    kind: str,
    name: str,
    identity: Mapping[str, Any],
    sets: Sequence[LearnedSet],
    training: Mapping[str, Any],
    *,
    licence: str,
    figures: str = "",
    difference: float = 0.0,
    limits: Sequence[str] = (),
) -> str:
    """The text of `README.md`. `kind`: aligned or adapter; `identity`: what `GroundedMLLM.identity` says of it.

    `training`: settings; `figures`: Markdown with scores; `difference`: largest between logits before and after it was
    put into half precision; `licence`: as hubs spell it.
    """
    # an adapter that learned reports writes them, whatever else it learned
    about_reports = kind == "adapter" and any("report" in one.what for one in sets)
    texts = yaml.safe_load(TEXTS.read_text(encoding="utf-8"))
    own = texts["reports" if about_reports else kind]
    what = f"{own['what']} {own['regions']}" if training.get("align", {}).get("regions") else own["what"]
    base, core = str(identity["base"]), identity.get("core", {}).get("name", "")
    front = {
        "license": licence,
        "library_name": "medglip",
        "base_model": "HuggingFaceTB/SmolLM2-135M-Instruct" if base == "smollm2-135m" else base,
        "pipeline_tag": "image-text-to-text",
        "tags": ["medical", own["tag"], "lora"],
    }
    lora = identity["settings"]["lora"]
    about = (
        f"{what} Base: `{base}`{f', behind the shipped core `{core}`' if core else ''}. LoRA rank {lora['r']}, "
        f"alpha {lora['alpha']}, on {', '.join(lora['linears'])}. Weights in half precision, computed in single: the "
        f"largest logit difference from the weights as trained was {difference:.3g} on drawn pictures."
    )
    table = "| set | learned from | items | images | licence |\n|---|---|---|---|---|"
    for one in sets:
        note = f" ({one.note})" if one.note else ""
        table += f"\n| {one.name} | {one.what}{note} | {one.items} | {one.images} | {one.licence} |"
    parts = [
        f"---\n{yaml.safe_dump(front, sort_keys=False)}---",
        f"# {name} ({kind})\n\n**{NOTICE}**\n\n{about}",
        f"## Use\n\n{own['use'].format(name=name, core=core or 'FOLDER')}",
        f"## Data\n\n{texts['data']}\n\n{table}",
        f"## Training\n\n```yaml\n{yaml.safe_dump(dict(training), sort_keys=False)}```",
        f"## Figures\n\n{figures or 'Not measured yet.'}",
        "## Limits\n\n" + "\n".join(f"- {limit}" for limit in (*limits, own["taught"], *texts["limits"])),
    ]
    return "\n\n".join(parts) + "\n"


def taught_frame(facts: Iterable[LearnedSet], task: str) -> Frame:
    """Whose a side is that names no frame, in texts of an adapter: the image's where a set of ours taught it the task.

    What radiologists wrote alone means the patient's. Where nothing tells, the image's: prompts name their places so.
    """
    taught = [fact for fact in facts if {"vqa": "question"}.get(task, task) in fact.what]
    ours = [fact for fact in taught if "derived" in fact.what or fact.name in IMAGE_SETS]
    return "patient" if taught and not ours else "image"


def read_facts(file: Path) -> list[LearnedSet]:
    """The facts of a YAML or JSON list (name, licence, what, items, images, note), or counted in a file of `derived`.

    Raises `BadInput` for a file that is neither.
    """
    fix = "a list of {name, licence, what, items, images}, or derived.jsonl of `medglip vqa align`"
    with explain("no facts", *ROW_ERRORS, file=file, fix=fix):
        if file.suffix == ".jsonl":
            rows = (row for row in read_lines(file) if row["split"] == "train")  # the rest was not learned from
            return count_facts((row["dataset"], row["licence"], DERIVED, str(row["image"])) for row in rows)
        return [LearnedSet(**row) for row in read_yaml(file)]


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
