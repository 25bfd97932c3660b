"""VQA by a judge: a served model says whether an answer means what the reference says.

- The judge reads `PROMPT` and says yes or no; what is neither counts as no and is told. An empty answer is wrong and
  not asked about.
- judge_accuracy: the part of all questions that the judge takes for right. judge_agreement: the part on which it agrees
  with `exact_match`, whose metrics stand beside it.
- Prompt and model stand in the result (`judge_prompt`, `judge_model`); answers of the judge are kept by hash, so that
  the same records score the same without asking again.
"""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from ...grounding.served.judge import judge_at
from ...grounding.vocabulary.model_text import answer_text
from ..settings import EvalSettings
from ..statistics.measure import Measures, mean
from . import exact_match
from .vqa_rules import VqaRules

if TYPE_CHECKING:
    from ..tasks.vqa import AnsweredQuestion

PROTOCOL = "judge"
VERSION = "1"
PROMPT = """You judge an answer to a question about a medical image.

Question: {question}
Correct answer: {reference}
Answer to judge: {answer}

Does the answer to judge say the same as the correct answer? Other words, other detail and other spelling are fine as \
long as nothing in it contradicts the correct answer. Reply with yes or no alone."""


def rules(settings: EvalSettings) -> VqaRules:
    """The rules of `exact_match`, and the judge over all questions. Raises `BadInput` without an address."""
    judge_at(settings.judge_endpoint, settings.judge_model)  # fails now, not after reading a million records
    exact = exact_match.rules(settings)
    return VqaRules(
        protocol=PROTOCOL,
        version=VERSION,
        is_yes_no=exact.is_yes_no,
        is_abstention=exact.is_abstention,
        score=exact.score,
        measure_all=partial(judge_all, settings=settings),
        facts={"judge_prompt": PROMPT, "judge_model": settings.judge_model},
    )


def judge_all(questions: "Sequence[AnsweredQuestion]", settings: EvalSettings) -> tuple[Measures, list[str]]:
    """judge_accuracy and judge_agreement of the questions that have a reference, and notes."""
    rows = [row for row, question in enumerate(questions) if question.references]
    asked = {row: to_prompt(questions[row]) for row in rows if answer_text(questions[row].prediction).strip()}
    said = judge_at(settings.judge_endpoint, settings.judge_model).ask(list(asked.values()))
    verdicts = {row: exact_match.read_answer(answer_text(text)) for row, text in zip(asked, said, strict=True)}
    right = [float(verdicts.get(row) == "yes") for row in rows]
    agrees = [float(verdict == _is_exact(questions[row])) for row, verdict in zip(rows, right, strict=True)]
    notes = [
        f"The judge {settings.judge_model} was asked about {len(asked)} of {len(rows)} answers, the rest is empty."
    ]
    if unread := sum(verdict is None for verdict in verdicts.values()):
        notes.append(f"{unread} of its replies are neither yes nor no and count as no.")
    return {"judge_accuracy": mean(right, rows), "judge_agreement": mean(agrees, rows)}, notes


def to_prompt(question: "AnsweredQuestion") -> str:
    """What the judge reads: of the answer what it says, without thoughts and markup."""
    reference = " or ".join(dict.fromkeys(question.references))
    return PROMPT.format(question=question.question, reference=reference, answer=answer_text(question.prediction))


def _is_exact(question: "AnsweredQuestion") -> float:
    """Whether `exact_match` takes the answer for right, as a question of yes or no where the reference is that."""
    scores = (
        exact_match.score(question.prediction, reference, exact_match.is_yes_no(reference))
        for reference in question.references
    )
    return max(score["overall_accuracy"] for score in scores)
