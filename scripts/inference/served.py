"""A served model as what answers: `ServedSystem`; its regions are found here, its texts are written there."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Unpack

from ...grounding.bad_input import BadInput
from ...grounding.evidence.names import FORMS, Form, Source, needs_vectors
from ...grounding.grounder import Grounder
from ...grounding.grounders.pretrained import SELF, load_grounder
from ...grounding.records import Task
from ...grounding.served.client import Endpoint, Reply, ask_each
from ...vqa.inference.generate import Generated, ScoredAnswer
from ...vqa.inference.settings import GenerateSettings
from ...vqa.model.grounded_mllm import resolve
from ...vqa.prompt.prompt import Example
from ...vqa.served.chat import ChatPrompt, decoding, to_chat
from ...vqa.served.notation import notation_of
from ...vqa.served.predict import predict_served
from ...vqa.task import Job
from .self_finder import Refusal, SelfFinder
from .system import How, TrainedSystem
from .systems import AdapterSystem, load_system

ASK_TOKENS = 256
"""After how many tokens one answer is cut: a model that was not tuned for it answers in sentences."""


def words_only(forms: Sequence[Form]) -> tuple[Form, ...]:
    """The forms that a model of another house can be shown, words at least: vectors of regions cannot be sent."""
    return tuple(form for form in forms if not needs_vectors([form])) or ("text",)


class ServedSystem(TrainedSystem):
    """The model of an endpoint. `own`: whose prompts it is asked with (a run's, an adapter's, a base's) and who finds.

    `boxes`: see `notation_of`. `is_known`: the served model is `own`, so its base tells how it reads boxes.
    """

    reads_vectors = False

    def __init__(self, endpoint: Endpoint, own: TrainedSystem, boxes: str | None = None, *, is_known: bool = False):
        self.endpoint, self.own, self.num_unanswered = endpoint, own, 0
        self.folder, self.recipe = Path(endpoint.model), own.recipe
        self.mllm = own.mllm.model_copy(update={"base": endpoint.model})
        self.shown = own.shown.model_copy(update={"forms": words_only(own.shown.forms)})
        self.core_name, self.checkpoint = own.core_name, own.checkpoint
        base = resolve(own.mllm.base, own.core) if is_known else None
        self.notation = notation_of(endpoint.model, boxes, base)

    @property
    def core(self) -> Path:
        """That of the prompts."""
        return self.own.core

    @cached_property
    def vocabulary(self) -> dict[str, list[str]]:
        """The finder's."""
        return self.own.vocabulary

    @cached_property
    def finder(self) -> Grounder:
        """The run's core, else by name a core, a detector, a file, the served model itself: nobody needs vectors."""
        if self.checkpoint == SELF:
            return SelfFinder(self, self.notation.family.boxes, self.notation.frame)
        name = self.checkpoint or self.core_name
        return load_grounder(name) if isinstance(self.own, AdapterSystem) else self.own.finder

    def adapter(self, source: Source) -> Path | None:
        """None: one model answers, whatever it is shown."""
        return None

    @property
    def learned_forms(self) -> tuple[Form, ...]:
        """All that need no vectors."""
        return tuple(form for form in FORMS if not needs_vectors([form]))

    def has_learned(self, task: Task) -> bool | None:
        """Nobody here knows."""
        return None

    def write(self, example: Example, source: Source, settings: GenerateSettings) -> Generated:
        """The text that the served model writes. Raises `BadInput` where it refuses or does not answer."""
        prompt, reply = self._ask(example, source, settings)
        fields: dict[str, Any] = {"prompt_sha256": prompt.sha256, "seconds": reply.seconds, "evidence": prompt.evidence}
        return Generated(text=reply.text.strip(), **fields)

    def answer(self, question: str, example: Example, source: Source, *, is_closed: bool) -> ScoredAnswer:
        """The answer, with its probability where the server gives one."""
        prompt, reply = self._ask(example, source, GenerateSettings(max_new_tokens=ASK_TOKENS))
        return ScoredAnswer(text=reply.text.strip(), probability=reply.probability, evidence=prompt.evidence)

    def predict(
        self, jobs: Sequence[Job], source: Source, settings: GenerateSettings, path: Path, **how: Unpack[How]
    ) -> None:
        """Write one record a job to `path`; called again, it continues. `num_unanswered`: how many lack one then."""
        shown, left = self.evidence_settings(source), [job for job in jobs if job.id not in how.get("done", ())]
        _, self.num_unanswered = predict_served(self.endpoint, self.notation, left, shown, settings, path)

    def _ask(self, example: Example, source: Source, settings: GenerateSettings) -> tuple[ChatPrompt, Reply]:
        prompt, replies = to_chat(example, self.evidence_settings(source), self.notation), list[Reply]()
        request = {"messages": prompt.messages, **decoding(settings)}
        unanswered = ask_each(self.endpoint, [request], lambda one: one, lambda _, reply: replies.append(reply))
        if unanswered.items:
            raise BadInput(f"{self.endpoint.model!r} does not answer: {unanswered.why}", fix="call again")
        if replies[0].is_refusal:
            raise Refusal(f"{self.endpoint.model!r} refuses to answer: {replies[0].text}", fix="ask otherwise")
        return prompt, replies[0]


def load_served(
    endpoint: Endpoint,
    place: Path | None = None,
    checkpoint: str | None = None,
    base: str | None = None,
    boxes: str | None = None,
) -> ServedSystem:
    """The served model, asked with the prompts of a run or an adapter (`place`) or of a base, else in words alone."""
    own = load_system(place, checkpoint, base)
    return ServedSystem(endpoint, own, boxes, is_known=bool(place or base))
