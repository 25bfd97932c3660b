"""VQA records -> measures, by the protocol of the settings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...grounding.bad_input import BadInput, nearest
from ...grounding.vocabulary.model_text import has_thoughts
from ..catalog import VQA_PROTOCOLS
from ..metrics import trust
from ..metrics.fields import field_measures
from ..protocols.vqa_rules import VqaRules
from ..records import Record, cluster, first_few, meta_of, question_of
from ..settings import EvalSettings
from ..statistics.measure import Measured, Measures, mean
from ..statistics.strata import labels_of

_OPEN, _CLOSED = ("open", "other", "number"), ("closed", "yes/no")
"""Answer types of records; none ("") is left to the reference."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AnsweredQuestion:
    """One answered question. `references`: acceptable answers, blank ones left out; none: it cannot be scored."""

    id: str
    prediction: str
    references: tuple[str, ...]
    answer_type: str = ""
    question: str = ""


def measure_vqa(records: Sequence[Record], settings: EvalSettings) -> Measured:
    """The metrics that the protocol defines; a kind (open, closed) without questions is left out. Where records hold
    probabilities, `ece` and `aurc` of the protocol's right answers; where they hold citations, the measures of these.

    `counts`, beside those of `vqa_measures`: clustered_by_image (no patient known).
    """
    rules = VQA_PROTOCOLS[settings.protocol].load().rules(settings)
    questions = [
        AnsweredQuestion(
            id=record["id"],
            prediction=record["prediction"] or "",  # empty where the model failed
            references=references_of(record["answer"]),
            answer_type=record.get("answer_type") or "",
            question=question_of(record),
        )
        for record in records
    ]
    chance: Measures = {}
    if rules.read:
        options = [meta_of(record).get("options") for record in records]
        questions = [_chosen(question, given, rules.read) for question, given in zip(questions, options, strict=True)]
        chance = {"chance_accuracy": mean([1 / len(given) for given in options if given])}
    measures, counts = vqa_measures(questions, rules, settings)
    measures |= chance
    notes = [*rules.notes]
    if "overall_accuracy" in measures:
        measures |= trust.measures(records, measures["overall_accuracy"])
    measures |= trust.consistency(records)
    if rules.measure_all:
        more, own_notes = rules.measure_all(questions)
        measures |= more
        notes += own_notes
    if num := sum(has_thoughts(question.prediction) for question in questions):
        what = "are left out" if rules.protocol == "exact_match" else f"{rules.protocol} scores as if they were said"
        notes.append(f"{num} of {len(questions)} predictions hold thoughts (<think> ...), which {what}.")
    if num := counts["closed_by_reference"]:
        some = f"{num} of {counts['n']} questions"
        notes.append(f"{some} have no answer_type: closed where the reference is yes or no.")
    if counts["skipped"]:
        names = [question.id for question in questions if not question.references]
        notes.append(f"{counts['skipped']} questions are skipped, they have no reference answer: {first_few(names)}.")
    by_image = sum((record.get("cluster_id") or record["image_id"]) == record["image_id"] for record in records)
    return Measured(
        protocol=rules.protocol,
        version=rules.version,
        measures=measures | field_measures(records, settings, ["citations"])[0],
        clusters=[cluster(record) for record in records],
        counts=counts | {"clustered_by_image": by_image},
        strata=labels_of(records),
        notes=notes,
        facts=rules.facts,
    )


def _chosen(question: AnsweredQuestion, options: Any, read: Callable[[str, Any, bool], str]) -> AnsweredQuestion:
    """The question with answer and references as the options that they are."""
    if not options:
        fix = "list the options, or take another protocol"
        raise BadInput("no meta.options to choose from.", row=question.id, fix=fix)
    try:
        references = tuple(read(text, options, True) for text in question.references)
        prediction = read(question.prediction, options, False)
    except BadInput as error:
        raise BadInput(error.problem, row=question.id, fix=error.fix) from error
    return replace(question, prediction=prediction, references=references, answer_type="closed")


def references_of(answer: Any) -> tuple[str, ...]:
    """Acceptable answers: a text, or several."""
    answers = [answer] if isinstance(answer, str) else answer
    return tuple(text for text in answers if text.strip())


def vqa_measures(
    questions: Sequence[AnsweredQuestion], rules: VqaRules, settings: EvalSettings
) -> tuple[Measures, dict[str, int]]:
    """Each metric's measure, its rows the indices of its questions; and counts.

    A question with several references takes the best over them in each metric. counts: n = scored + abstained +
    failed + skipped, where abstained is a closed yes/no question from whose answer the protocol reads neither, failed
    an empty prediction (both count as wrong), skipped a question without a reference (counted nowhere); open, closed
    and yes_no (closed, with a yes/no reference) of those not skipped; closed_by_reference: those without an answer
    type, told apart by a yes/no reference, where `closed_def` is `answer_type`. Raises `BadInput` naming the question
    for an unknown answer type, and where no question has a reference.
    """
    names = ("scored", "abstained", "failed", "skipped", "open", "closed", "yes_no", "closed_by_reference")
    counts = {"n": len(questions)} | dict.fromkeys(names, 0)
    scored: dict[str, tuple[list[float], list[int]]] = {}  # each metric's values, and the rows they are of
    known: dict[tuple[str, tuple[str, ...], bool], dict[str, float]] = {}
    for row, question in enumerate(questions):
        if not question.references:
            counts["skipped"] += 1
            continue
        closed = is_closed(question, rules, settings)
        yes_no = closed and _is_yes_no(question, rules)  # only of these an answer can abstain
        kind = "abstained" if yes_no and rules.is_abstention(question.prediction) else "scored"
        counts[kind if question.prediction.strip() else "failed"] += 1
        counts["closed" if closed else "open"] += 1
        counts["yes_no"] += yes_no
        counts["closed_by_reference"] += settings.closed_def == "answer_type" and not question.answer_type.strip()
        key = question.prediction, question.references, closed
        if key not in known:  # a run says the same few answers again and again
            parts = [rules.score(question.prediction, reference, closed) for reference in question.references]
            known[key] = {name: max(part[name] for part in parts) for name in parts[0]}
        for name, value in known[key].items():
            values, rows = scored.setdefault(name, ([], []))
            values.append(value)
            rows.append(row)
    if not scored:
        raise BadInput("no question has a reference answer.", fix="`answer` holds the reference")
    return {name: mean(values, rows) for name, (values, rows) in sorted(scored.items())}, counts


def is_closed(question: AnsweredQuestion, rules: VqaRules, settings: EvalSettings) -> bool:
    """By the answer type (`open`, `other`, `number`, `closed`, `yes/no`, any case) where that is the definition and
    the question has one; else by its references: all yes or no.
    """
    if settings.closed_def == "answer_type":
        kind = question.answer_type.strip().lower()
        if kind not in (*_OPEN, *_CLOSED, ""):
            fix = nearest(kind, (*_OPEN, *_CLOSED))
            raise BadInput(f"unknown answer_type {question.answer_type!r} of {question.id!r}.", fix=fix)
        if kind:
            return kind in _CLOSED
    return _is_yes_no(question, rules)


def _is_yes_no(question: AnsweredQuestion, rules: VqaRules) -> bool:
    return all(map(rules.is_yes_no, question.references))
