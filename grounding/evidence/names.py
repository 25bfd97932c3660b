"""The sources and forms of evidence, one row each in the order they are listed in; a new one is a row and a file.

No torch and no numpy here: recipes, the command line, scores and the page read these tables.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, WithJsonSchema

from ..bad_input import BadInput, check_name


@dataclass(frozen=True, kw_only=True)
class SourceRow:
    """Where evidence comes from.

    `module`: below `grounding.evidence.sources`, holds `gather_images`; "": there is no evidence. `needs_truth`: it is
    made of true regions, not of what a grounder finds. `is_control`: made to be compared with, no system that anybody
    would use; it needs a data set where it has a module. `shown_as`: what the page calls its regions on the image; "":
    they are not drawn.
    """

    title: str
    module: str = ""
    needs_truth: bool = False
    is_control: bool = False
    shown_as: str = ""


@dataclass(frozen=True, kw_only=True)
class FormRow:
    """How evidence is shown.

    `module`: below `grounding.evidence.forms`, holds `FORM`. `order`: its place in a prompt's lines and images.
    `has_numbers`: regions are shown with a number, which an answer may cite. `needs_vectors`: region embeddings of the
    core that the adapter was trained with. `mark`: what is drawn for each region on a copy of the image
    (`forms.marks`).
    """

    title: str
    module: str
    order: int
    has_numbers: bool = False
    needs_vectors: bool = False
    mark: str = ""


MASK_MARKS = ("contour", "mask")
"""The marks that follow a region's mask."""
SOURCES: dict[str, SourceRow] = {
    "none": SourceRow(title="no evidence, of an adapter that learned without"),
    "withheld": SourceRow(title="no evidence, of an adapter that learned with it", is_control=True),
    "predicted": SourceRow(title="regions found", module="predicted", shown_as="evidence"),
    "oracle": SourceRow(title="true regions", module="oracle", needs_truth=True, is_control=True, shown_as="truth"),
    "random": SourceRow(title="random places", module="scattered", is_control=True),
    "shuffled": SourceRow(title="another image's regions", module="shuffled", is_control=True),
}
FORMS: dict[str, FormRow] = {
    "text": FormRow(title="words and boxes", module="text", order=1, has_numbers=True),
    "tokens": FormRow(title="region tokens", module="tokens", order=0, has_numbers=True, needs_vectors=True),
    "crops": FormRow(title="crops", module="crops", order=3),
    "overlay": FormRow(title="numbered boxes", module="overlay", order=2, has_numbers=True, mark="box"),
    "tiles": FormRow(title="parts of the image, as many as crops: their control", module="tiles", order=4),
    "context": FormRow(title="crops with their surroundings", module="context", order=5),
    "ellipse": FormRow(title="numbered ellipses", module="overlay", order=6, has_numbers=True, mark="ellipse"),
    "alpha": FormRow(title="numbered filled boxes", module="overlay", order=7, has_numbers=True, mark="alpha"),
    "arrow": FormRow(title="numbered arrows", module="overlay", order=8, has_numbers=True, mark="arrow"),
    "contour": FormRow(title="numbered outlines", module="overlay", order=9, has_numbers=True, mark="contour"),
    "mask": FormRow(title="numbered masks", module="overlay", order=10, has_numbers=True, mark="mask"),
}


Source = Annotated[
    str,
    AfterValidator(lambda name: check_name(name, SOURCES, "evidence source")),
    WithJsonSchema({"type": "string", "enum": list(SOURCES)}),
]
"""The name of a source: a key of `SOURCES`."""
Form = Annotated[
    str,
    AfterValidator(lambda name: check_name(name, FORMS, "form")),
    WithJsonSchema({"type": "string", "enum": list(FORMS)}),
]
"""The name of a form: a key of `FORMS`."""
TrainSource = Literal["predicted", "oracle", "shuffled"]
"""The sources that an adapter may learn from."""


def usable_sources() -> list[str]:
    """Sources that work on any image, without a data set: no controls."""
    return [name for name, row in SOURCES.items() if not row.is_control]


def asked_sources() -> list[str]:
    """Sources that a single image can be asked with: the usable ones, and controls that show nothing."""
    return [name for name, row in SOURCES.items() if not (row.is_control and row.module)]


def check_usable(source: Source) -> None:
    """Raises `BadInput` for a source that no single image has: its evidence is made of a data set."""
    if source not in asked_sources():
        fix = f"use {' or '.join(asked_sources())} on your own images"
        raise BadInput(f"evidence {source!r} needs a data set.", fix=fix)


def parse_forms(text: str) -> tuple[Form, ...]:
    """Forms as the command line joins them, `text+crops`, none twice. Raises `BadInput` with the nearest valid name."""
    words = (word.strip() for word in text.split("+"))
    return tuple(dict.fromkeys(check_name(word, FORMS, "form") for word in words if word))


def row_name(source: Source, learned: Source = "predicted") -> str:
    """What tables call the answers with a source of an adapter that learned with the source `learned`.

    A name alone is of an adapter that learned what its name says, or, for random and shuffled, predicted evidence:

        asked           predicted             oracle               shuffled
        learned with
        predicted       predicted             predicted → oracle   shuffled
        oracle          oracle → predicted    oracle               oracle → shuffled
        shuffled        shuffled → predicted  shuffled → oracle    shuffled → shuffled
    """
    row = SOURCES[source]
    usual = source if row.needs_truth else "predicted"
    return source if source == "none" or learned == usual else f"{learned} → {source}"


def list_titles(names: Iterable[str]) -> str:
    """Sources or forms with their titles, for a help text: `none (no evidence), predicted (regions found)`."""
    rows = SOURCES | FORMS
    return ", ".join(f"{name} ({rows[name].title})" for name in names)


def needs_vectors(forms: Iterable[str]) -> bool:
    """Whether one of the forms shows region embeddings, which only the core of the adapter's training has."""
    return any(FORMS[form].needs_vectors for form in forms)


def needs_outlines(forms: Iterable[str]) -> bool:
    """Whether one of the forms draws masks."""
    return any(FORMS[form].mark in MASK_MARKS for form in forms)
