"""The words of a report as prompts and scores have them: `ReportRow` -> `ReportText`, no image needed."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ...grounding.bad_input import BadInput, Skipped
from ...grounding.evidence.evidence import Evidence
from ...grounding.vocabulary.sentences import split_sentences
from ...vqa.prompt.prompt import Example
from ..task import Section
from ..text.deidentified import note, treated
from ..text.sections import Sections
from .rows import CONTEXT, ReportRow, ReportSettings, place, placed


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


def to_texts(rows: Iterable[ReportRow], settings: ReportSettings, skipped: Skipped) -> list[ReportText]:
    """The rows' words, in order.

    To `skipped` go rows without a usable text or of an id that was there before, and priors newer than their study.
    """
    found: list[ReportText] = []
    counts: Counter[str] = Counter()
    first: dict[str, ReportRow] = {}
    for row in rows:
        if settings.limit is not None and counts[row.part] >= settings.limit:
            continue
        try:
            if (other := first.setdefault(row.report_id, row)) is not row:
                raise BadInput(f"id {row.report_id!r} stands in row {other.row} already.", fix="one id a study")
            found.append(to_text(row, settings, skipped))
            counts[row.part] += 1
        except BadInput as error:
            skipped.add(place(row), placed(row, error))
    return found


def to_text(row: ReportRow, settings: ReportSettings, skipped: Skipped) -> ReportText:
    """The words of one row. Raises `BadInput` where there is no text to write, or more than `max_words`."""
    written, section, source = _target(row.sections, settings)
    policy = settings.deidentified
    text = treated(written, policy)
    if not any(letter.isalnum() for letter in text):
        raise BadInput(f"no word left of {written!r}.", fix="deidentified: keep leaves marks in")
    if (words := len(text.split())) > settings.max_words:
        raise BadInput(f"{source} of {words} words, {settings.max_words} are read.", fix="raise max_words")
    context = {name: getattr(row.sections, name) if name in settings.context else "" for name in CONTEXT}
    prior = _prior(row, settings, skipped)
    given = context | {"prior_text": _told_of(prior, settings)}
    whole = {name: treated(words, policy) for name, words in given.items()}
    shown = {name: _cut(words, settings.max_context_words) for name, words in whole.items()}
    cut = [name for name, words in shown.items() if words != whole[name]]
    told = {"section": source, "deidentified": note(written, policy)} | ({"cut": cut} if cut else {})
    return ReportText(
        row=row,
        section=section,
        text=text,
        findings=treated(row.sections.findings, policy),
        impression=treated(row.sections.impression, policy),
        prior=prior,
        meta={**row.meta, **told},
        **shown,
    )


def _target(sections: Sections, settings: ReportSettings) -> tuple[str, Section, str]:
    """What is to be written, which section that is for the prompt, and where it was taken from."""
    has = {"findings": sections.findings, "impression": sections.impression}
    if settings.target == "both" and all(has.values()):
        return f"Findings: {has['findings']} Impression: {has['impression']}", "both", "both"
    order: tuple[Literal["findings", "impression"], ...] = ("findings", "impression")
    wanted = order[::-1] if settings.target == "impression" else order
    for name in wanted if settings.fallback else wanted[: 0 if settings.target == "both" else 1]:
        if has[name]:
            return has[name], name, name
    if sections.last_paragraph and settings.fallback:
        return sections.last_paragraph, "findings", "last_paragraph"
    problem = f"no {settings.target if settings.target != 'both' else 'findings and impression'}"
    raise BadInput(f"{problem}.", fix="nothing to do" if settings.fallback else "fallback: true takes what there is")


def _prior(row: ReportRow, settings: ReportSettings, skipped: Skipped) -> ReportRow | None:
    """The study before, where it is wanted; one that is newer is listed, and the study goes on without."""
    prior = row.prior if settings.prior != "none" else None
    if prior and row.taken and prior.taken > row.taken:
        problem = f"its prior is of {prior.taken}, the study of {row.taken}."
        error = BadInput(problem, fix="swap them, or mend the dates")
        skipped.add(f"prior of {place(row)}", placed(row, error))
        return None
    return prior


def _told_of(prior: ReportRow | None, settings: ReportSettings) -> str:
    """Findings and impression of the study before, where the prompt is to hold them."""
    if prior is None or settings.prior == "image":
        return ""
    parts = prior.sections
    return " ".join(filter(None, [parts.findings, parts.impression])) or parts.last_paragraph


def _cut(text: str, max_words: int) -> str:
    """The first sentences of at most so many words; of a longer first sentence its first words."""
    words = text.split()
    if len(words) <= max_words:
        return " ".join(words)
    kept: list[str] = []
    for sentence in split_sentences(text):
        if len(kept) + len(more := sentence.split()) > max_words:
            break
        kept += more
    return " ".join(kept or words[:max_words])


def text_example(found: ReportText) -> Example:
    """An example without image, to warm up a language model on reports alone.

    Findings are summed up into their impression; of a report with one of them, or neither, the text is to be written
    from what is known of the study. For families whose prompts may go without an image (`Family.needs_image`).
    """
    given = {name.capitalize(): getattr(found, name) for name in CONTEXT}
    target, wanted = found.text, found.section
    if found.findings and found.impression:
        given, target, wanted = given | {"Findings": found.findings}, found.impression, "impression"
    lines = [f"{name}: {text}" for name, text in given.items() if text]
    asked = {"both": "findings and the impression"}.get(wanted, wanted)
    return Example(
        example_id=found.row.report_id,
        image_path=Path(),
        instruction="\n".join([*lines, f"Write the {asked} of this study as a short report."]),
        target=target,
        evidence=Evidence.none(),
        transform="no_image",
    )
