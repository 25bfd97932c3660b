"""The second task: `Report` -> `Example`, raw text -> sentences with their regions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ..grounding.evidence.evidence import Evidence, EvidenceSettings
from ..grounding.evidence.sources import true_evidence
from ..grounding.records import record_meta
from ..grounding.types import AnnotatedImage
from ..grounding.vocabulary.negation import Negation
from ..grounding.vocabulary.sentences import Sentence
from ..vqa.prompt.context import context_of
from ..vqa.prompt.prompt import Example
from ..vqa.task import Job, record_fields
from .records import ReportTruth, ground_text, judge, read_text, sentences_to_json
from .text.deidentified import as_reference

Section = Literal["findings", "impression", "both"]
"""What is to be written; `both` reads "Findings: ... Impression: ..."."""

INSTRUCTION = "Write the findings of this image as a short report."


@dataclass(frozen=True, kw_only=True, eq=False)
class Report:
    """One report of one study of one image or several.

    `image` is the first one, that of the evidence, `others` follow; `views` names each of them ("PA", "LATERAL"), ""
    where unknown. `text` is what is to be written, the section `section`; `sentences` joined by a blank are `text`,
    their regions empty where unknown. `findings` and `impression` as they are known apart. `indication`, `technique`
    and `comparison` are given to the model, empty where they are not to be; likewise the first image of an earlier
    study (`prior_image`, `prior_others`) and its text. `taken`: digits of date and time, `20180131080556`, so that
    studies of a patient sort by it; "" where unknown. `meta`: what its record keeps besides.
    """

    report_id: str
    image: AnnotatedImage
    text: str
    sentences: tuple[Sentence, ...] = ()
    section: Section = "findings"
    others: tuple[AnnotatedImage, ...] = ()
    views: tuple[str, ...] = ()
    findings: str = ""
    impression: str = ""
    indication: str = ""
    technique: str = ""
    comparison: str = ""
    taken: str = ""
    prior_image: AnnotatedImage | None = None
    prior_others: tuple[AnnotatedImage, ...] = ()
    prior_text: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def item_id(self) -> str:
        """Id of its example and of its record."""
        return self.report_id

    @property
    def phrases(self) -> tuple[str, ...]:
        """None: what is usual in its modality is looked for."""
        return ()

    @property
    def granted(self) -> tuple[str, ...]:
        """None."""
        return ()

    @property
    def own_images(self) -> tuple[AnnotatedImage, ...]:
        """Every image of the study itself, in order."""
        return (self.image, *self.others)

    @property
    def prior_images(self) -> tuple[AnnotatedImage, ...]:
        """Every image of the earlier study."""
        return (*([self.prior_image] if self.prior_image else []), *self.prior_others)

    @property
    def images(self) -> tuple[AnnotatedImage, ...]:
        """Every image of the prompt: those of the study, then those of the earlier one."""
        return self.own_images + self.prior_images  # `instruction` counts them in this order

    def again(self, mark: str, change: Callable[[AnnotatedImage], AnnotatedImage], meta: Mapping[str, Any]) -> "Report":
        """The same report of changed images, those of the earlier study too: `mark` behind its id, `meta` added."""
        prior = change(self.prior_image) if self.prior_image else None
        return replace(
            self,
            report_id=f"{self.report_id}{mark}",
            image=change(self.image),
            others=tuple(map(change, self.others)),
            prior_image=prior,
            prior_others=tuple(map(change, self.prior_others)),
            meta={**self.meta, **meta},
        )

    def to_example(self, evidence: Evidence) -> Example:
        """The prompt's parts; the whole text is the target."""
        return Example(
            example_id=self.report_id,
            image_path=self.image.image_path,
            instruction=instruction(self),
            target=self.text,
            evidence=evidence,
            context=context_of(self.own_images),
            other_paths=tuple(image.image_path for image in self.images[1:]),
        )

    def job(
        self,
        example: Example,
        settings: EvidenceSettings,
        names: Mapping[str, str],
        truth: ReportTruth | None = None,
        negation: Negation = "rules",
    ) -> Job:
        """The fields of its record and how its text is read. `names`: `model` and `adapter` of the record.

        `truth`: what the text is judged with where findings are annotated. `negation`: the engine that decides what
        the written sentences deny, and so which regions they get.
        """
        fields = record_fields("report", self.image, example.instruction, self.text, names)
        meta = record_meta(self.image, (), self.images[1:]) | dict(self.meta)
        if any(sentence.regions for sentence in self.sentences):
            meta |= {"reference_sentences": sentences_to_json(self.sentences)}
        true_regions = true_evidence([self.image])

        def parse(text: str, shown: Evidence) -> dict[str, Any]:
            fields = read_text(text, example.evidence, shown, meta, settings, true_regions, negation)
            if truth and truth.labels and self.image.phrases:
                # A model without evidence is judged with the same regions as one with evidence.
                evidence = truth.evidence.get(self.report_id, example.evidence)
                sentences, _ = ground_text(as_reference(text, meta), evidence, shown, settings, negation)
                fields["meta"] |= judge(self, sentences, truth.labels)
            return fields

        return Job(example=example, fields=fields, parse=parse)


def instruction(report: Report) -> str:
    """What is known of the study, a line each in a fixed order, then what the images are, then what to write.

        Indication: ... | Technique: ... | Comparison: ... | Prior report: ... | Image 1: PA. Image 2: ... | Write ...

    A report of one image with nothing known is asked for by `INSTRUCTION` alone.
    """
    # bytes of the prompt: adapters have learned these words in this order
    given = {
        "Indication": report.indication,
        "Technique": report.technique,
        "Comparison": report.comparison,
        "Prior report": report.prior_text,
    }
    lines = [f"{name}: {text}" for name, text in given.items() if text]
    is_single = len(report.images) == 1
    if not is_single:
        # as many views as images: a missing one is "", which reads "this study"
        views = [*report.views, *[""] * len(report.own_images)][: len(report.own_images)]
        names = [*(view or "this study" for view in views), *["the prior study"] * len(report.prior_images)]
        lines.append(" ".join(f"Image {number}: {name}." for number, name in enumerate(names, 1)))
    sections = {"findings": "the findings", "impression": "the impression", "both": "the findings and the impression"}
    wanted = INSTRUCTION.replace("the findings", sections[report.section])
    return "\n".join([*lines, wanted if is_single else wanted.replace("this image", "this study")])
