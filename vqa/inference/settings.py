"""How answers are written."""

from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from ...grounding.settings import Settings


class GenerateSettings(Settings):
    """How answers are written."""

    max_new_tokens: int = Field(default=64, ge=1)
    """An answer is cut after this many tokens."""
    num_beams: int = Field(default=1, ge=1)
    """1 is greedy."""
    temperature: float = Field(default=0.0, ge=0)
    """0 takes the best token or beam; above it tokens are drawn, the more freely the higher."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Sampling: only from the likeliest tokens that together have this probability."""
    seed: int = Field(default=0, ge=0)
    """Sampling: the same seed and the same prompts in a batch give the same texts."""
    no_repeat: int = Field(default=0, ge=0)
    """No run of this many tokens is written twice; the prompt's own words may be. 0: no limit."""
    repetition_penalty: float = Field(default=1.0, gt=0)
    """Above 1 tokens that were written already become less likely (Keskar et al. 2019, arXiv 1909.05858)."""
    sections: dict[str, int] = Field(default={})
    """At most this many tokens behind each heading, in their order: `{"Findings:": 110, "Impression:": 40}`. A section
    that has them ends with the next heading, the last one with the text. Left out: only `max_new_tokens`."""
    only: tuple[str, ...] = ()
    """Only these texts can be written, however long they are: the likeliest of them as a whole that `num_beams` beams
    find (with 4 or more nearly always the likeliest of all). Left out: any text."""
    batch_size: int = Field(default=32, ge=1)
    """Prompts at once."""
    merge: bool = True
    """Fold LoRA into the weights meanwhile: about twice as fast, needs room for a copy of the adapted layers."""

    @model_serializer(mode="wrap")
    def _leave_out_unset(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without `only` where it says nothing: records that were begun before it was there go on."""
        return {key: value for key, value in dump(self).items() if key != "only" or value}

    @model_validator(mode="after")
    def _refuse_contradictions(self) -> "GenerateSettings":
        if self.temperature and self.num_beams > 1:
            raise ValueError("key 'temperature': tokens are drawn or beams are searched; leave one of the two out")
        if self.only and (self.temperature or self.no_repeat or self.repetition_penalty != 1 or self.sections):
            raise ValueError("key 'only': the likeliest of given texts is neither drawn nor bounded otherwise")
        if any(limit < 1 for limit in self.sections.values()):
            raise ValueError("key 'sections': a section of less than one token; leave its heading out")
        return self
