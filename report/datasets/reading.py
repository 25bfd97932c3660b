"""`ReportRow` -> `ReportText`, its words as prompts and scores have them -> `Report`, with its images opened."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tqdm.auto import tqdm

from ...grounding.bad_input import BadInput, Skipped
from ...grounding.datasets.corpus import of_split
from ...grounding.evidence.evidence import Evidence
from ...grounding.imaging.read import image_size, read_image
from ...grounding.types import AnnotatedImage
from ...grounding.vocabulary.labels import load_labels
from ...grounding.vocabulary.sentences import ground_sentences, split_sentences
from ...vqa.prompt.prompt import Example
from ..task import Report, Section
from ..text.deidentified import apply_policy, note
from ..text.sections import Sections
from .rows import CONTEXT, ReportRow, ReportSettings, View, list_bad
from .sets import ReportContext

RowReader = Callable[[Any, int, Skipped], list[ReportRow]]
"""`read_rows(settings, seed, skipped)` of a set."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ReportText:
    """The words of one report as prompts and scores have them; its fields as those of `Report`.

    `prior`: the study before, where the prompt is to hold something of it.
    """

    row: ReportRow
    section: Section
    text: str
    findings: str
    impression: str
    indication: str
    technique: str
    comparison: str
    prior_text: str
    prior: ReportRow | None
    meta: Mapping[str, Any]


def rows_to_reports(
    name: str, read_rows: RowReader, settings: ReportSettings, context: ReportContext, skipped: Skipped
) -> list[Report]:
    """The rows of the set `name` as reports with their images, in order; studies without one go to `skipped`.

    `read` of a set of rows: `partial(rows_to_reports, name, read_rows)`. Of a study some of whose images are missing or
    torn the others are taken, and those listed; without its prior's image it goes on without. Raises `BadInput` as
    `read_rows`, and where no row of the split has a usable text.
    """
    rows = read_rows(settings, context.seed, skipped)
    texts = to_split_texts(rows, settings, context.only_split, name, skipped)
    reports: list[Report] = []
    for text in tqdm(texts, desc="images of reports", unit="report", disable=None):
        with list_bad(skipped, text.row.file, text.row.row):
            reports.append(_to_report(text, settings, skipped))
    return reports


def _to_report(text: ReportText, settings: ReportSettings, skipped: Skipped) -> Report:
    row, prior_image = text.row, None
    opened = _open_images(row, settings, skipped, settings.max_views)
    if not opened:
        raise BadInput("no image of the study can be read.", fix="put its images there, or leave it out")
    if text.prior and text.prior.images and settings.prior in ("image", "both"):
        with list_bad(skipped, row.file, row.row, "prior of "):
            prior_image = next((image for _, image in _open_images(text.prior, settings, skipped, 1)), None)
    first, *others = (image for _, image in opened)
    sentences = ground_sentences(text.text, first.regions, load_labels(), first.size_px, is_patient_side=True)
    views = [view.name for view, _ in opened]
    return Report(
        report_id=row.report_id,
        image=first,
        others=tuple(others),
        views=tuple(views),
        text=" ".join(sentence.text for sentence in sentences),
        sentences=sentences,
        section=text.section,
        taken=row.taken,
        prior_image=prior_image,
        meta={**text.meta, "views": views},
        **{name: getattr(text, name) for name in ("findings", "impression", "prior_text", *CONTEXT)},
    )


def _open_images(
    row: ReportRow, settings: ReportSettings, skipped: Skipped, max_images: int
) -> list[tuple[View, AnnotatedImage]]:
    """The first readable images of a study, frontal ones first. Raises `BadInput` where none is known to be frontal."""
    opened: list[tuple[View, AnnotatedImage]] = []
    # R2Gen's files are called 0.png and 1.png in every folder: the index keeps ids of one study apart.
    stems = [view.path.stem for view in row.images]
    for view in sort_frontal_first(row.images, settings.needs_frontal):
        if len(opened) == max_images:
            break
        stem = view.path.stem
        name = stem if stems.count(stem) == 1 else f"{row.images.index(view)}-{stem}"
        with list_bad(skipped, row.file, row.row, f"image {view.path.name} of "):
            size = read_image(view.path).size if settings.decode_images else image_size(view.path)
            image = AnnotatedImage(
                image_id=f"{row.dataset}/{row.report_id}/{name}",
                image_path=view.path,
                modality=row.modality,
                group=row.group,
                dataset=row.dataset,
                split=row.split,
                size_px=size,
                regions=tuple(view.outline(size)) if view.outline else (),
                is_lateral=view.is_frontal is False,
            )
            opened.append((view, image))
    return opened


def sort_frontal_first(views: Iterable[View], needs_frontal: bool) -> list[View]:
    """The views as a prompt shows them: frontal ones, those not known, the rest, each in their first order.

    Raises `BadInput` for none at all, and, if a frontal one is needed, where all are known and none is.
    """
    views = sorted(views, key=lambda view: {True: 0, None: 1, False: 2}[view.is_frontal])
    if not views:
        raise BadInput("no image.", fix="give its images, or read the set as text")
    if needs_frontal and views[0].is_frontal is False:
        names = ", ".join(view.name for view in views)
        raise BadInput(f"no frontal view ({names}).", fix="needs_frontal: false takes the study as it is")
    return views


# --- words ------------------------------------------------------------------------------------------------------------


def to_split_texts(
    rows: Sequence[ReportRow], settings: ReportSettings, split: str | None, name: str, skipped: Skipped
) -> list[ReportText]:
    """The words of the rows of a split, all for None, in order. `name`: of the set.

    To `skipped` go rows without a usable text or of an id that was there before, and priors newer than their study.
    Raises `BadInput` where none is usable.
    """
    texts: list[ReportText] = []
    counts: Counter[str] = Counter()
    first: dict[str, ReportRow] = {}
    for row in of_split(rows, [row.split for row in rows], split, "report", name, skipped):
        if settings.limit is not None and counts[row.split] >= settings.limit:
            continue
        with list_bad(skipped, row.file, row.row):
            if (other := first.setdefault(row.report_id, row)) is not row:
                raise BadInput(f"id {row.report_id!r} stands in row {other.row} already.", fix="one id a study")
            texts.append(to_text(row, settings, skipped))
            counts[row.split] += 1  # a row without a usable text does not count against the limit
    return of_split(texts, [text.row.split for text in texts], split, "report", name, skipped)


def to_text(row: ReportRow, settings: ReportSettings, skipped: Skipped) -> ReportText:
    """The words of one row. Raises `BadInput` where there is no text to write, or more than `max_words`."""
    written, section, source = _choose_target(row.sections, settings)
    policy = settings.deidentified
    text = apply_policy(written, policy)
    if not any(letter.isalnum() for letter in text):
        raise BadInput(f"no word left of {written!r}.", fix="deidentified: keep leaves marks in")
    if (words := len(text.split())) > settings.max_words:
        raise BadInput(f"{source} of {words} words, {settings.max_words} are read.", fix="raise max_words")
    prior = row.prior if settings.prior != "none" else None
    if prior and row.taken and prior.taken > row.taken:  # listed, and the study goes on without
        problem, fix = f"its prior is of {prior.taken}, the study of {row.taken}.", "swap them, or mend the dates"
        prior = None
        with list_bad(skipped, row.file, row.row, "prior of "):
            raise BadInput(problem, fix=fix)
    context = {name: getattr(row.sections, name) if name in settings.context else "" for name in CONTEXT}
    context["prior_text"] = ""
    if prior and settings.prior != "image":
        before = prior.sections
        context["prior_text"] = " ".join(filter(None, [before.findings, before.impression])) or before.last_paragraph
    whole = {name: apply_policy(words, policy) for name, words in context.items()}
    shortened = {name: _shorten(words, settings.max_context_words) for name, words in whole.items()}
    cut = [name for name, words in shortened.items() if words != whole[name]]
    meta = {"section": source, "deidentified": note(written, policy)} | ({"cut": cut} if cut else {})
    return ReportText(
        row=row,
        section=section,
        text=text,
        findings=apply_policy(row.sections.findings, policy),
        impression=apply_policy(row.sections.impression, policy),
        prior=prior,
        meta={**row.meta, **meta},
        **shortened,
    )


def _choose_target(sections: Sections, settings: ReportSettings) -> tuple[str, Section, str]:
    """What is to be written, which section that is for the prompt, and where it was taken from.

    target       with fallback                               without
    findings     findings, impression, last paragraph        findings
    impression   impression, findings, last paragraph        impression
    both         both, findings, impression, last paragraph  both
    """
    texts = {"findings": sections.findings, "impression": sections.impression}
    if settings.target == "both" and all(texts.values()):
        return f"Findings: {texts['findings']} Impression: {texts['impression']}", "both", "both"
    order: tuple[Literal["findings", "impression"], ...] = ("findings", "impression")
    if settings.target == "impression":
        order = order[::-1]
    if not settings.fallback:
        order = order[:0] if settings.target == "both" else order[:1]
    for name in order:
        if texts[name]:
            return texts[name], name, name
    if sections.last_paragraph and settings.fallback:
        return sections.last_paragraph, "findings", "last_paragraph"
    missing = settings.target if settings.target != "both" else "findings and impression"
    raise BadInput(f"no {missing}.", fix="nothing to do" if settings.fallback else "fallback: true takes what there is")


def _shorten(text: str, max_words: int) -> str:
    """The first sentences of at most `max_words` words together; of a longer first sentence its first words."""
    words = text.split()
    if len(words) <= max_words:
        return " ".join(words)
    whole: list[str] = []
    for sentence in split_sentences(text):
        if len(whole) + len(more := sentence.split()) > max_words:
            break
        whole += more
    return " ".join(whole or words[:max_words])


def text_example(report: ReportText) -> Example:
    """An example without image, to warm up a language model on reports alone.

    The impression is to be written from the findings; of a report with one of them, or neither, the text is to be
    written from what is known of the study. For families whose prompts need no image (`Family.needs_image`).
    """
    context = {name.capitalize(): getattr(report, name) for name in CONTEXT}
    target, section = report.text, report.section
    if report.findings and report.impression:
        context["Findings"] = report.findings
        target, section = report.impression, "impression"
    lines = [f"{name}: {text}" for name, text in context.items() if text]
    wanted = "findings and the impression" if section == "both" else section
    return Example(
        example_id=report.row.report_id,
        image_path=Path(),
        instruction="\n".join([*lines, f"Write the {wanted} of this study as a short report."]),
        target=target,
        evidence=Evidence.none(),
        transform="text_only",
    )
