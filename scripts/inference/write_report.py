"""One grounded report, or the description of one region, of one unseen image: sentences with regions, in every form."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Any

from ...grounding.evidence.citable import numbers_shown
from ...grounding.evidence.evidence import Evidence, EvidenceSettings
from ...grounding.evidence.names import Source
from ...grounding.files import locked
from ...grounding.imaging.read import read_image
from ...grounding.modalities import MODALITIES
from ...grounding.settings import validate
from ...grounding.types import MIN_SCORE, NOTICE, AnnotatedImage, Region
from ...grounding.vocabulary.attribution import attribute, sentences_of
from ...grounding.vocabulary.contradictions import ContradictionSettings, find_contradictions
from ...grounding.vocabulary.labels import load_labels
from ...grounding.vocabulary.negation import Negation, engine_named
from ...grounding.vocabulary.places import Frame, name_sides
from ...grounding.vocabulary.remarks import Remark, correct_title, find_misplaced, other_modalities
from ...report import describe
from ...report.output.grounded import MARKED, GroundedReport, score_in_words
from ...report.output.write import write, write_dicom
from ...report.task import Report
from ...report.text.backing import drop_strangers
from ...vqa.inference.generate import Generated, generate
from ...vqa.inference.settings import GenerateSettings
from .system import TrainedSystem
from .trust.knowledge import Known, know, modality_lines
from .trust.sides import bare_frame, patient_left, side_note

LOCK_S = 300
"""How long a report waits for another one that is being written into the same folder."""
NEVER_LEARNED = "note: this adapter was not trained to write reports, only to answer; its text is no report"


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """Where a report goes and in which forms beside JSON and HTML; `heading`: the title of the text on its page.

    `keep_descriptive`: DICOM objects carry comments, institution and station of the image, see `write_dicom`.
    `limits`: presence probabilities that contradict a sentence. `negation`: how denied findings are recognised; None:
    as in the run's recipe. `decoding`: values of `GenerateSettings` over those of the recipe. `side`: whose left and
    right sentences tell; None: the image's, and the patient's where the text says so.
    """

    folder: Path
    pdf: bool = False
    dicom: bool = False
    keep_descriptive: bool = False
    heading: str = "Findings"
    limits: ContradictionSettings | None = None
    negation: Negation | None = None
    decoding: Mapping[str, Any] = field(default_factory=dict)
    side: Frame | None = None


def write_grounded(run: TrainedSystem, study: Report, source: Source, outputs: Outputs) -> list[str]:
    """Write the report of a study; return the lines for the terminal, which first say of several images that they are
    one study.

    One text is written from all images, those of the previous study among them. Each image of the study itself has a
    report of its own, in which the text is grounded and which names the other images.
    """
    engine_named(outputs.negation or run.negation)  # fails now, not after minutes of writing
    settings = run.evidence_settings(source)
    evidence = run.evidence(run.query(study.image, others=study.images[1:]), source)
    example = replace(study.to_example(evidence), may_cite=settings.cite)
    written = run.write(example, source, _generate_settings(run, outputs))
    num_images = len(study.own_images)
    lines = [f"{num_images} images as one study: one text for all"] if num_images > 1 else []
    lines += [NEVER_LEARNED] if run.has_learned("report") is False else []
    # one text, grounded once in each image of the study; images of the study before get no report
    reports = [
        grounded_report(run, image, written, evidence, settings, outputs, view)
        for view, image in enumerate(study.own_images)
    ]
    for image, report in zip(study.own_images, reports, strict=True):
        others = tuple(other.image_path.stem for other in study.own_images if other is not image)
        prior = (*(one.image_path.name for one in study.prior_images), *(["report"] if study.prior_text else []))
        facts = {"other_views": others, "elsewhere": _elsewhere(report, reports), "date": f"{date.today()}"}
        told = replace(report, indication=study.indication, prior=prior, **facts)
        lines += write_all(told, image, outputs)
    return lines


def _elsewhere(report: GroundedReport, reports: Sequence[GroundedReport]) -> dict[int, tuple[str, ...]]:
    """Sentences that have no region in the report's image, and the reports of one text in which they have one."""
    names: dict[int, tuple[str, ...]] = {}
    for index, sentence in enumerate(report.sentences):
        # a title that was changed may have other sentences
        others = [one for one in reports if len(one.sentences) == len(report.sentences)]
        found = tuple(one.report_id for one in others if one.sentences[index].regions)
        if found and not sentence.regions:
            names[index] = found
    return names


def write_description(run: TrainedSystem, image: AnnotatedImage, box: str, outputs: Outputs) -> list[str]:
    """Write the model's text on the region in a box, `x0,y0,x1,y1` in pixels; return the lines for the terminal.

    The region is named by the best phrase that the grounder finds at the same place; the model is asked only if there
    is one.
    """
    # box -> region without a phrase -> named by the grounder -> with the grounder's vector
    marked = describe.parse_box(box, image.size_px)
    is_cut = not describe.is_whole(box, marked)
    found = run.regions(image, run.query(image).first.phrases)
    marked = describe.name_region(marked, found)
    marked = run.grounder.embed([image], [[marked]])[0][0]
    example, settings = describe.to_example(image, marked), describe.show_region(run.shown)
    if marked.phrase == MARKED:  # nothing could back what the model says: it is not asked
        written = Generated(text="", prompt_sha256="", seconds=0, evidence=example.evidence)
    else:
        written = generate(run.model("predicted"), [example], settings, _generate_settings(run, outputs))[0]
    report = grounded_report(run, image, written, example.evidence, settings, outputs)
    there = describe.what_is_there(marked, found, image.size_px)
    sentences, remarks = describe.tell(there, marked, report.sentences)
    corner = "-".join(f"{value:.0f}" for value in marked.box_xyxy_px)
    cut = (f"the box reaches outside the image: cut at its edge to {corner.replace('-', ',')}",) if is_cut else ()
    report = replace(
        report,
        report_id=f"{image.image_path.stem}-{corner}",
        sentences=sentences,
        attributions=(),
        contradictions=(),
        remarks=remarks,
        notes=(*cut, *report.notes),
    )
    return write_all(report, image, replace(outputs, heading="Description of region 1"))


def grounded_report(
    run: TrainedSystem,
    image: AnnotatedImage,
    written: Generated,
    evidence: Evidence,
    settings: EvidenceSettings,
    outputs: Outputs,
    view: int = 0,
) -> GroundedReport:
    """The text grounded in one image in both ways: by what it cites, and by what the grounder finds for its phrases.

    `evidence`: of all images of the prompt, more than it showed; `view`: the index of `image` among them. Sentences are
    compared with presence scores only of phrases that a calibrated grounder was trained on in this modality.
    """
    tree, negation, adapter = load_labels(), outputs.negation or run.negation, run.adapter(evidence.source)
    # the regions that the prompt held, those of all evidence, and those of the phrases of the text, looked for now
    (in_prompt, here), (known, _) = regions_of_view(written.evidence, view), regions_of_view(evidence, view)
    of_text, all_presences = run.finder.ground_with_presence([image], [tree.phrases_in(written.text)])[0]
    knows, bare = know(run.finder, image, run.vocabulary), bare_frame(run.recipe, adapter, "report")
    text, was = correct_title(written.text, image.modality)
    left = patient_left(image, [*known, *of_text])
    text = name_sides(text, bare, outputs.side, left)
    # a presence can be trusted where the grounder is calibrated and learned the phrase in this modality
    usual = run.vocabulary.get(image.modality, chain.from_iterable(run.vocabulary.values()))
    trusted = set(usual) if run.finder.is_presence_calibrated else set()
    presences = {phrase: presence for phrase, presence in all_presences.items() if phrase in trusted}
    # regions of the prompt first, as they are numbered, the rest of the evidence, then regions of further phrases
    phrases = {region.phrase for region in known}
    further = [region for region in of_text if region.phrase not in phrases and region.score >= MIN_SCORE]
    regions = tuple({id(region): region for region in [*in_prompt, *known, *further]}.values())
    num_shown = len(numbers_shown(written.evidence, settings)) if settings.cite else None
    sentences = attribute(text, regions, tree, image.size_px, num_shown=num_shown, here=here, negation=negation)
    texts, limits = [one.text for one in sentences], outputs.limits or ContradictionSettings()
    remarks = find_misplaced(texts, regions, tree, image.size_px, is_patient_side=bare == "patient", negation=negation)
    told = " ".join([text, *(remark.words for remark in remarks)])
    has_sides = outputs.side is not None or re.search(r"\b(?:left|right)\b", told, re.IGNORECASE) is not None
    notes = [*knows.lines, *modality_lines(image.modality, run.vocabulary)]
    notes += [side_note(outputs.side, left)] if has_sides else []
    backed, strange = drop_strangers(sentences_of(sentences, regions), tree)
    return GroundedReport(
        report_id=image.image_path.stem,
        image=image.image_path.name,
        modality="" if knows.modality == "unknown" else knows.modality,
        notes=tuple(notes),
        in_distribution=knows.in_distribution,
        ood_score=knows.ood_score,
        remarks=(*_of_modality(texts, was, knows), *remarks, *strange),
        limits=limits,
        size_px=image.size_px,
        sentences=backed,
        regions=regions,
        model=run.mllm.base,
        adapter=f"{adapter.parent.name}/{adapter.name}" if adapter else "",
        grounder=run.checkpoint or run.core_name,
        evidence=evidence.source,
        forms=settings.forms,
        attributions=sentences,
        negation=negation,
        contradictions=find_contradictions(texts, presences, tree, limits, negation, regions),
        presences=presences,
    )


def _of_modality(texts: Sequence[str], was: str, knows: Known) -> list[Remark]:
    """Remarks on sentences that name another modality; `was`: the words of the title that were changed."""
    spoken = MODALITIES[knows.modality].spoken
    words = f"said “{was}”; file or user told {spoken}, so the words were changed"
    who = "the core's own guess is" if knows.is_guess else "file or user told"
    return [Remark(sentence=0, words=words)] * bool(was) + other_modalities(texts, knows.modality, who)


def regions_of_view(evidence: Evidence, view: int) -> tuple[tuple[Region, ...], range]:
    """The regions of one image of a prompt, from 0, and their numbers, which run through all images."""
    first = 1 + sum(len(part.regions) for part in evidence.images[:view])
    regions = evidence.images[view].regions if view < len(evidence.images) else ()  # nothing was looked for there
    return regions, range(first, first + len(regions))


def write_all(report: GroundedReport, annotated: AnnotatedImage, outputs: Outputs) -> list[str]:
    """Write every requested form; return the lines for the terminal."""
    about = (report, annotated.image_path, outputs.folder, outputs.keep_descriptive)
    with locked(outputs.folder / ".lock", "reports", wait_s=LOCK_S):
        dicom_files = write_dicom(*about) if outputs.dicom else []
        image = read_image(annotated.image_path)
        files = write(report, image, outputs.folder, pdf=outputs.pdf, heading=outputs.heading) + dicom_files
    lines = [
        " ".join([sentence.text, *map(_in_brackets, sentence.regions), *(f"[in {name}]" for name in elsewhere)])
        for index, sentence in enumerate(report.sentences)
        for elsewhere in [report.elsewhere.get(index, ())]
    ]
    lines += [f"to check: {check[0].lower()}{check[1:]}" for check in report.all_checks]
    return [*report.notes, *lines, NOTICE, f"written: {', '.join(str(path) for path in files)}"]


def _in_brackets(region: Region) -> str:
    """`[nodule 0.96]`; `[marked region]` of a box that a user drew."""
    return f"[{f'{region.phrase} {score_in_words(region)}'.rstrip()}]"


def _generate_settings(run: TrainedSystem, outputs: Outputs) -> GenerateSettings:
    return validate(GenerateSettings, run.generate_settings("report").model_dump() | dict(outputs.decoding))
