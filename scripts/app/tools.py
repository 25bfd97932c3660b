"""The one table of tools: `TOOLS`. HTTP, MCP and the page read names, words and schemas from it.

A tool is a function of the desk and its arguments, each with a description; it gives what JSON can hold. Pictures come
as files that `call` brought in.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from ...grounding.bad_input import BadInput, check_name
from ...grounding.geometry import clip_box
from ...grounding.imaging.drawing import data_uri
from ...grounding.imaging.read import read_image
from ...grounding.types import MIN_SCORE, NOTICE
from ...report.describe import parse_box
from ..inference.answers import as_json
from ..inference.trust.knowledge import know
from ..inference.user_image import user_image
from .desk import Desk, only_forms
from .regions import (
    as_row,
    best_of_each,
    changed,
    cosine,
    find,
    measured,
    notes_of,
    spacing_mm,
    split_phrases,
)
from .switch import SWITCHES, ask_switched, parse_boxes, prompt_of
from .written import FORMS, Wanted, as_address, write_files

Picture = Annotated[
    Path,
    Field(description="The picture: PNG, JPEG, TIFF, DICOM or NIfTI, as a file or a data:...;base64, address"),
]
MaybePicture = Annotated[Path | None, Field(description="A second picture, as the first one")]
Phrase = Annotated[
    str,
    Field(
        description="What to look for, several with ; or , between: left lung; effusion. Left out: what is usual",
        max_length=2000,
    ),
]
ModalityName = Annotated[
    str, Field(description="xray, ct, mr ...; left out: read from DICOM, else unknown", max_length=100)
]
Score = Annotated[
    float,
    Field(
        description="Regions below this score are left out; of those at .7 seven of ten are "
        "right, where the core is calibrated",
        ge=0,
        le=1,
    ),
]
ModelName = Annotated[str, Field(description="A name of the tab Models; left out: the first of them", max_length=200)]
Boxes = Annotated[
    str, Field(description="Boxes in pixels with their phrases: 12,20,80,96 left lung; 30,40,50,60", max_length=4000)
]
Box = Annotated[str, Field(description="One box in pixels of the picture: x0,y0,x1,y1", max_length=200)]


def ground(
    desk: Desk,
    image: Picture,
    phrase: Phrase = "",
    modality: ModalityName = "",
    min_score: Score = MIN_SCORE,
    masks: Annotated[bool, Field(description="Whether masks come along, as uncompressed COCO RLE")] = False,
    model: ModelName = "",
) -> dict[str, Any]:
    """Find phrases in a medical image: a box, a score and, where there is one, a mask for each region."""
    system, read = desk.system(model), user_image(image, modality)
    regions, phrases = find(system, read, phrase, min_score)
    return {
        "image": image.name,
        "modality": read.modality,
        "size_px": list(read.size_px),
        "phrases": phrases,
        "regions": [as_row(region, with_mask=masks) for region in regions],
        **know(system.finder, read, system.vocabulary).to_json(),
        "notes": notes_of(system, read, split_phrases(phrase), regions),
        "notice": NOTICE,
    }


def zoom(
    desk: Desk,
    image: Picture,
    box: Box,
    margin: Annotated[float, Field(description="Part of the box's size added on each side", ge=0, le=4)] = 0.25,
) -> dict[str, Any]:
    """Cut a box out of a medical image, with some margin, as a picture of its own at full resolution."""
    picture = read_image(image)
    x0, y0, x1, y1 = parse_box(box, picture.size).box_xyxy_px
    grown = np.array(
        [x0 - margin * (x1 - x0), y0 - margin * (y1 - y0), x1 + margin * (x1 - x0), y1 + margin * (y1 - y0)]
    )
    left, top, right, bottom = clip_box(grown.astype(np.float32), picture.size)
    corners = [int(np.floor(left)), int(np.floor(top)), int(np.ceil(right)), int(np.ceil(bottom))]
    cut = picture.crop((corners[0], corners[1], corners[2], corners[3]))
    return {"box_xyxy_px": corners, "size_px": list(cut.size), "picture": data_uri(cut, 1024), "notice": NOTICE}


def measure(
    desk: Desk,
    image: Picture,
    phrase: Phrase = "",
    boxes: Boxes = "",
    modality: ModalityName = "",
    min_score: Score = MIN_SCORE,
    model: ModelName = "",
) -> dict[str, Any]:
    """Measure regions of a medical image, found or given: width, height, area; in mm where DICOM tells."""
    read = user_image(image, modality)
    given = parse_boxes(boxes, read.size_px)
    found = [] if given else find(desk.system(model), read, phrase, min_score)[0]
    spacing = spacing_mm(image)
    rows = [measured(region, read.size_px, spacing) for region in [*given, *found]]
    widths = [(row["phrase"], row["width_px"]) for row in rows]
    ratio = {"ratio_of_widths": round(widths[0][1] / widths[1][1], 4)} if len(widths) == 2 else {}
    told = list(spacing) if spacing else None
    return {"size_px": list(read.size_px), "spacing_mm": told, "measures": rows, **ratio, "notice": NOTICE}


def compare(
    desk: Desk,
    image: Picture,
    other: Picture,
    phrase: Phrase = "",
    modality: ModalityName = "",
    min_score: Score = MIN_SCORE,
    model: ModelName = "",
) -> dict[str, Any]:
    """Compare two images, such as an earlier and a later one: which regions both have, and how they differ."""
    system, reads = desk.system(model), [user_image(one, modality) for one in (image, other)]
    first, second = (best_of_each(find(system, read, phrase, min_score)[0]) for read in reads)
    rows = [
        changed(name, first.get(name), second.get(name), reads[0].size_px, reads[1].size_px)
        for name in dict.fromkeys([*first, *second])
    ]
    return {"images": [image.name, other.name], "regions": rows, "notice": NOTICE}


def similar(
    desk: Desk,
    image: Picture,
    phrase: Annotated[str, Field(description="Which region of the picture is compared", max_length=200)],
    modality: ModalityName = "",
    limit: Annotated[int, Field(description="At most so many", ge=1, le=14)] = 5,
    model: ModelName = "",
) -> dict[str, Any]:
    """Find regions of the bundled samples that look like a region of this image to the grounding core."""
    system, read = desk.system(model), user_image(image, modality)
    own = system.grounder.ground([read], [[phrase]])[0][:1]
    if not own:
        return {"region": None, "similar": [], "notes": [f"{phrase}: not seen"], "notice": NOTICE}
    rows: list[dict[str, Any]] = []
    for name, sample in desk.samples.items():
        usual = [] if sample.image_id == read.image_id else list(system.vocabulary.get(sample.modality, ()))
        found = system.grounder.ground([sample], [usual])[0]
        for region in (region for region in found if region.score >= MIN_SCORE):
            rows.append(as_row(region) | {"image": name, "similarity": round(cosine(own[0], region), 4)})
    rows.sort(key=lambda row: -row["similarity"])
    return {"region": as_row(own[0]), "similar": rows[:limit], "notice": NOTICE}


def ask(
    desk: Desk,
    image: Picture,
    question: Annotated[str, Field(description="The question, in plain words", min_length=1, max_length=2000)],
    modality: ModalityName = "",
    evidence: Annotated[
        Literal["predicted", "none", "withheld", "own", "shuffled"],
        Field(description="; ".join(f"{name}: {what}" for name, (_, what) in SWITCHES.items())),
    ] = "predicted",
    boxes: Boxes = "",
    forms: Annotated[str, Field(description="Forms of evidence: text+crops; left out: all it learned")] = "",
    model: ModelName = "",
) -> dict[str, Any]:
    """Answer a question about a medical image, with its probability, the regions it was shown and the prompt."""
    if not question.strip():
        raise BadInput("there is no question.", fix="write one")
    system, read = desk.system(model), user_image(image, modality)
    with only_forms(system, forms):
        asked = ask_switched(desk, system, [read], question.strip(), "own" if boxes.strip() else evidence, boxes)
        told: dict[str, Any] = as_json(asked) | {
            "evidence": "own" if boxes.strip() else evidence,
            "prompt": prompt_of(system, asked),
        }
    for region in told["regions"]:
        region.pop("mask_rle")
    return told | {"looked_for": list(asked.query.first.phrases), "model": system.model_name}


def report(
    desk: Desk,
    image: Picture,
    modality: ModalityName = "",
    indication: Annotated[str, Field(description="Why the image was taken", max_length=2000)] = "",
    prior: MaybePicture = None,
    prior_report: Annotated[str, Field(description="The text of the earlier report", max_length=20_000)] = "",
    evidence: Annotated[
        Literal["predicted", "none", "withheld"], Field(description="What the model is shown of the regions")
    ] = "predicted",
    box: Annotated[str, Field(description="x0,y0,x1,y1: describe this box alone", max_length=200)] = "",
    files: Annotated[
        str, Field(description="Further forms as data: addresses, joined by +: html+pdf+dicom", max_length=100)
    ] = "",
    model: ModelName = "",
) -> dict[str, Any]:
    """Write a report of a medical image: sentences with their regions, and what somebody should check."""
    forms = [check_name(form.strip(), FORMS, "form") for form in files.split("+") if form.strip()]
    wanted = Wanted(
        images=(image,),
        modality=modality,
        indication=indication,
        prior=(prior,) if prior else (),
        prior_report=prior_report,
        evidence=evidence,
        box=box,
        forms=forms,
    )
    with desk.scratch() as folder:
        told, written = write_files(desk.system(model, "report"), wanted, folder)
        endings = {".html": "html", ".pdf": "pdf", ".dcm": "dicom"}
        sent = {file.name: as_address(file) for file in written if endings.get(file.suffix) in forms}
    for region in told["regions"]:
        region.pop("mask_rle", None)
    return told | ({"files": sent} if forms else {})


TOOLS: dict[str, Callable[..., dict[str, Any]]] = {
    tool.__name__: tool for tool in (ground, zoom, measure, compare, similar, ask, report)
}
"""Name -> function; a new tool is a function and a name here."""
