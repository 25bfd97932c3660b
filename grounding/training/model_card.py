"""The model card that every trained core carries: what it learned from, how, how well, and what it is not for.

Markdown with the front matter that model hubs read; `README.md` beside the weights.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from datasets import Dataset
from pydantic import BaseModel

from ..datasets.schema import region_phrases, tables
from ..datasets.settings import DataSettings
from ..files import write_atomic
from ..model.medglip import MedGlipModel
from ..types import NOTICE
from ..vocabulary.labels import VERSION as LABELS_VERSION

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
    """Facts of every set among the studies (`IMAGE_FEATURES`), in order; `sets` tell the licences."""
    licences = {settings.name: settings.licence for settings in sets}
    found: dict[str, SetFacts] = {}
    for part in tables(images, ["dataset", "modality", "split", "regions"]):
        names, modalities, splits = (part[name].to_pylist() for name in ("dataset", "modality", "split"))
        for name, modality, split, phrases in zip(names, modalities, splits, region_phrases(part), strict=True):
            facts = found.setdefault(name, SetFacts(name, licences.get(name, "")))
            facts.modalities.add(modality)
            facts.images[split] += 1
            facts.labels.update(phrases)
    return list(found.values())


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
    parts = [
        f"---\nlicense: {licence}\nlibrary_name: medglip\ntags: [medical, visual-grounding, object-detection]\n---",
        f"# {name or _NAMELESS}\n\n**{NOTICE}**\n\n{_about(model)}",
        f"## Use\n\n{_USE.format(folder=name or 'this folder')}",
        f"## Data\n\n{_data(sets)}",
        f"## Training\n\n```yaml\n{yaml.safe_dump(_counted(settings), sort_keys=False)}```",
        f"## Figures\n\n{figures or _NO_FIGURES}",
        f"## Calibration\n\n{_calibration(model.config.calibration)}",
        "## Limits\n\n" + "\n".join(f"- {limit}" for limit in (*limits, *_LIMITS)),
    ]
    write_atomic(folder / FILE, "\n\n".join(parts) + "\n")


_NAMELESS = "A grounding core"
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


def _about(model: MedGlipModel) -> str:
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return (
        "A Med-GLIP grounding core (arXiv 2508.10528, written anew): phrases in, boxes, masks, presence and calibrated "
        f"scores out. {parameters / 1e6:.1f} million parameters, {model.config.vision_config.image_size} pixels wide, "
        f"version {LABELS_VERSION} of the label tree."
    )


def _counted(settings: BaseModel) -> dict[str, Any]:
    """The settings; of a core that went on from another without the sizes, which are that one's."""
    values = settings.model_dump(mode="json")
    if values.get("start_from"):
        values["model"] = {name: values["model"][name] for name in ("image_size", "frozen_rows", "fine_masks")}
    return values


def _calibration(found: Mapping[str, Any] | None) -> str:
    if not found:
        return "None: fewer than eight validation images. Scores are as the model gives them."
    return (
        "Platt scaling on the validation images: a score is the chance that a region overlaps a true one by an IoU of "
        f"0.5. Regions from {found['threshold']:.2f} on give the best F1."
    )


def _data(sets: Iterable[SetFacts]) -> str:
    rows = ["| set | modality | licence | train | val | regions | labels |", "|---|---|---|---|---|---|---|"]
    rows += [
        f"| {s.name} | {', '.join(sorted(s.modalities))} | {s.licence or 'not stated'} | {s.images['train']} "
        f"| {s.images['val']} | {s.labels.total()} | {_labels(s.labels)} |"
        for s in sets
    ]
    return "Images a split, whole patients where the set names them.\n\n" + "\n".join(rows)


def _labels(labels: Mapping[str, int]) -> str:
    ordered = sorted(labels, key=lambda label: (-labels[label], label))
    more = f" and {len(ordered) - _LABELS_SHOWN} more" if len(ordered) > _LABELS_SHOWN else ""
    return ", ".join(ordered[:_LABELS_SHOWN]) + more
