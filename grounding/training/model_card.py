"""The model card beside every trained core: what it learned from, how, how well, and what it is not for.

Markdown with the front matter that model hubs read; `README.md` beside the weights.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from datasets import Dataset
from pydantic import BaseModel

from ..datasets.schema import region_phrases, tables
from ..datasets.settings import DataSettings
from ..files import write_atomic
from ..model.medglip import MedGlipModel
from ..types import NOTICE
from ..vocabulary.labels import VERSION as LABELS_VERSION
from .settings import ADDED_PATHS

FILE = "README.md"
_LABELS_SHOWN = 12


@dataclass
class SetFacts:
    """One data set of a training: modalities, images a split, regions, labels, licence as its owner states it."""

    name: str
    licence: str = ""
    modalities: set[str] = field(default_factory=set)
    images: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)


def facts_of(images: Dataset, sets: Sequence[DataSettings] = ()) -> list[SetFacts]:
    """Facts of every set among the images (`IMAGE_FEATURES`), in order; `sets` name the licences."""
    licences = {settings.name: settings.licence for settings in sets}
    by_name: dict[str, SetFacts] = {}
    for part in tables(images, ["dataset", "modality", "split", "regions"]):
        names, modalities, splits = (part[name].to_pylist() for name in ("dataset", "modality", "split"))
        for name, modality, split, phrases in zip(names, modalities, splits, region_phrases(part), strict=True):
            facts = by_name.setdefault(name, SetFacts(name, licences.get(name, "")))
            facts.modalities.add(modality)
            facts.images[split] += 1
            facts.labels.update(phrases)
    return list(by_name.values())


def write_card(
    folder: Path,
    sets: Sequence[SetFacts],
    model: MedGlipModel,
    settings: BaseModel,
    *,
    name: str = "",
    licence: str = "other",
    figures: str = "",
    limits: Sequence[str] = (),
) -> None:
    """Write `README.md` into the folder of a checkpoint, of the data and the settings it was trained with.

    `figures`: Markdown with scores and how they were taken; `licence`: as hubs spell it.
    """
    values = settings.model_dump(mode="json")
    if values.get("start_from"):  # sizes are those of the core that this one goes on from
        values["model"] = {key: values["model"][key] for key in ("image_size", "frozen_rows", *ADDED_PATHS)}
    calibration = "None: fewer than eight validation images. Scores are as the model gives them."
    if model.config.calibration:
        calibration = (
            "Platt scaling on the validation images: a score is the chance that a region overlaps a true one by an IoU "
            f"of 0.5. Regions from {model.config.calibration['threshold']:.2f} on give the best F1."
        )
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    about = (
        "A Med-GLIP grounding core (arXiv 2508.10528, written anew): phrases in, boxes, masks, presence and calibrated "
        f"scores out. {num_parameters / 1e6:.1f} million parameters, {model.config.vision_config.image_size} pixels "
        f"wide, version {LABELS_VERSION} of the label tree."
    )
    parts = [
        f"---\nlicense: {licence}\nlibrary_name: medglip\ntags: [medical, visual-grounding, object-detection]\n---",
        f"# {name or 'A grounding core'}\n\n**{NOTICE}**\n\n{about}",
        f"## Use\n\n{_USE.format(folder=name or 'this folder')}",
        f"## Data\n\n{_data_table(sets)}",
        f"## Training\n\n```yaml\n{yaml.safe_dump(values, sort_keys=False)}```",
        f"## Figures\n\n{figures or _NO_FIGURES}",
        f"## Calibration\n\n{calibration}",
        "## Limits\n\n" + "\n".join(f"- {limit}" for limit in (*limits, *_LIMITS)),
    ]
    write_atomic(folder / FILE, "\n\n".join(parts) + "\n")


_NO_FIGURES = "Not measured yet; `medglip grounding evaluate` scores a checkpoint on any COCO-style set."
_USE = """```python
from medglip.grounding.grounders.pretrained import load_grounder

grounder = load_grounder("{folder}")
```"""
_LIMITS = (
    "It knows the labels of its data sets and their synonyms; any other phrase is a guess.",
    "Its scores are calibrated on the validation images of the same sets: on other hospitals' images they may be off.",
    "The sets are small and public; nothing is known of fairness over age, sex, or makers of machines.",
)


def _data_table(sets: Iterable[SetFacts]) -> str:
    rows = ["| set | modality | licence | train | val | test | regions | labels |", "|---|---|---|---|---|---|---|---|"]
    for one in sets:
        ordered = sorted(one.labels, key=lambda label: (-one.labels[label], label))
        more = f" and {len(ordered) - _LABELS_SHOWN} more" if len(ordered) > _LABELS_SHOWN else ""
        rows.append(
            f"| {one.name} | {', '.join(sorted(one.modalities))} | {one.licence or 'not stated'} "
            f"| {one.images['train']} | {one.images['val']} | {one.images['test']} | {one.labels.total()} "
            f"| {', '.join(ordered[:_LABELS_SHOWN])}{more} |"
        )
    parts = "Images that teach (split `train`), select (`val`) and are reported on (`test`)"
    return f"{parts}, whole patients where the set names them.\n\n" + "\n".join(rows)
