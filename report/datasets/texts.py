"""The words of a report as prompts and scores have them: `ReportRow` -> `ReportText`, no image needed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ...grounding.bad_input import BadInput, Skipped
from ...grounding.datasets.corpus import of_split
from ...grounding.evidence.evidence import Evidence
from ...grounding.vocabulary.sentences import split_sentences
from ...vqa.prompt.prompt import Example
from ..task import Section
from ..text.deidentified import apply_policy, note
from ..text.sections import Sections
from .rows import CONTEXT, ReportRow, ReportSettings, list_bad


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
