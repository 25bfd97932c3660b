"""Does the model look at the image? The same questions with changed images, and questions that a guess fails.

`medglip eval probes` scores their records: `meta.probe` names the change, the id is that of the original question, or
begins with it. Images are changed as prompts are made; those of `corrupt` alone are written to disk, where whatever
finds regions looks at them too. The evidence goes with the image: a blank one has none (but under `blank_kept`), in a
mirrored or corrupted one a grounder looks itself, of another one it is what is in that.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from ..grounding.assets import cache_folder
from ..grounding.bad_input import BadInput
from ..grounding.evidence.controls import donors_for
from ..grounding.imaging.corruptions import SEVERITIES, corrupted, corruption_of
from ..grounding.types import AnnotatedImage
from ..grounding.vocabulary.labels import load_labels
from ..grounding.vocabulary.phrases import mirror
from .derived.wordings import question_text
from .prompt.prompt import Transform
from .rephrasings import rephrasings
from .task import Question, TaskItem

Probe = Literal["blank", "blank_kept", "shuffled", "text_only", "flipped", "absent", "corrupt", "rephrased"]
"""The first two, `text_only` and `flipped` are also the words of `Transform`, for what is done to the images."""
Item = TypeVar("Item", bound=TaskItem)


def probe_questions(
    probe: Probe, questions: Sequence[Question], seed: int = 0, folder: Path | None = None
) -> list[Question]:
    """The questions under one probe, by its name in `PROBES`. `folder`: of corrupted pictures; None: in the cache."""
    return PROBES[probe](questions, seed, folder or cache_folder() / "corrupted")


def corrupt(items: Sequence[Item], folder: Path, seed: int = 0) -> list[Item]:
    """Questions or reports in five severities, one after the other: `meta.severity`, `meta.corruption`.

    `meta.original` is the id of the original. The corruption is drawn for each image from those of its modality
    (`corruptions.BY_MODALITY`).
    """
    return [
        item.again(
            f"/corrupt-{severity}",
            partial(corrupted, severity=severity, folder=folder, seed=seed),
            {
                "probe": "corrupt",
                "severity": severity,
                "corruption": corruption_of(item.image, seed),
                "original": item.item_id,
            },
        )
        for severity in SEVERITIES
        for item in items
    ]


def without_image(questions: Sequence[Question], probe: Literal["blank", "blank_kept", "text_only"]) -> list[Question]:
    """`blank`: every image mid-grey, of the same size, and nothing found in it. `blank_kept`: mid-grey, the evidence of
    the picture stays in every form, its crops too. `text_only`: no image, blank where a family takes no such prompt.
    """
    return [replace(question, transform=probe, meta={**question.meta, "probe": probe}) for question in questions]


def flip(questions: Sequence[Question]) -> list[Question]:
    """Images mirrored, left and right exchanged in question and answer; flipped twice they are as before.

    `phrases.mirror` says what changes sides: a left lung does, a left ventricle, known by its shape, does not.
    """
    other_side: dict[Transform, Transform] = {"": "flipped", "flipped": ""}
    changed: list[Question] = []
    for question in questions:
        transform = other_side.get(question.transform, question.transform)
        meta = {key: value for key, value in question.meta.items() if key != "probe"}
        changed.append(
            replace(
                question,
                question=mirror(question.question),
                answer=mirror(question.answer),
                transform=transform,
                meta=meta | ({"probe": "flipped"} if transform == "flipped" else {}),
            )
        )
    return changed


def shuffle(questions: Sequence[Question], seed: int = 0) -> list[Question]:
    """Every image another of these, the same one for all questions on it: another patient's, of like anatomy.

    As far as there is one (`donors_for`). Raises `BadInput` for fewer than two images.
    """
    images = {image.image_id: image for question in questions for image in question.images}
    if len(images) == 1:
        fix = "leave out the probe 'shuffled', or score more images"
        raise BadInput("one image alone cannot be shuffled.", fix=fix)
    order = list(images.values())
    donors = donors_for(order, np.random.default_rng(seed))
    donor_of = {image.image_id: order[donor] for image, donor in zip(order, donors, strict=True)}
    return [
        replace(
            question,
            image=donor_of[question.image.image_id],
            others=tuple(donor_of[image.image_id] for image in question.others),
            meta={**question.meta, "probe": "shuffled"},
        )
        for question in questions
    ]


def absent_pairs(annotated_images: Sequence[AnnotatedImage], seed: int = 0) -> list[Question]:
    """Pairs "Is there a X?" on each image: a label that is there, and one that is not, of the same kind.

    What is not there is annotated on the image by its set, is seen on other images of the modality, and can be true
    of no region of it; siblings of the present label come first, then labels of its level. The two of a pair have one
    `meta.pair_id`, the second has `meta.adversarial`; so always yes gets no pair right, as always no (ProbMed, Yan et
    al. 2024, https://arxiv.org/abs/2405.20421). Raises `BadInput` where no image allows a pair.
    """
    images = list({image.image_id: image for image in annotated_images}.values())
    seen: dict[str, set[str]] = {}  # by modality
    for image in images:
        seen.setdefault(image.modality, set()).update(region.phrase for region in image.regions)
    rng, tree, questions = np.random.default_rng(seed), load_labels(), list[Question]()
    for image in images:
        present = list(dict.fromkeys(region.phrase for region in image.regions))
        free = [p for p in image.phrases if p in seen[image.modality] and not any(tree.is_near(p, q) for q in present)]
        # each label that is absent is asked for once: pairs end where none is left; siblings go before others
        for phrase in present[: len(free)]:
            siblings, level = tree.siblings(phrase), tree.level(phrase)
            ranks = [0 if tree.label(p) in siblings else 1 if tree.level(p) == level else 2 for p in free]
            other = free.pop(int(rng.choice(np.flatnonzero(np.array(ranks) == min(ranks)))))
            name = f"{image.dataset}/{image.image_id}"
            meta: dict[str, Any] = {"pair_id": f"{name}/{phrase}"}
            pair = ((phrase, "yes", "", meta), (other, "no", " (absent)", meta | {"adversarial": True}))
            for label, answer, mark, own_meta in pair:
                questions.append(
                    Question(
                        question_id=f"{name}/{label}{mark}",
                        image=image,
                        question=question_text("presence", 0, {"phrase": label}),
                        answer=answer,
                        answer_type="closed",
                        phrases=(label,),
                        content_type="presence",
                        meta=own_meta,
                    )
                )
    if images and not questions:
        fix = "leave out the probe 'absent': it needs images whose sets say what is there and what is not"
        raise BadInput("no image with a label that is there and one that is not.", fix=fix)
    return questions


def rephrase(questions: Sequence[Question]) -> list[Question]:
    """Each question in `rephrasings.NUM` other wordings, its answer unchanged; `meta.original` is the original's id."""
    return [
        replace(
            question,
            question_id=f"{question.question_id}/rephrased-{number}",
            question=text,
            meta={**question.meta, "probe": "rephrased", "original": question.question_id},
        )
        for question in questions
        for number, text in enumerate(rephrasings(question.question), 1)
    ]


PROBES: dict[Probe, Callable[[Sequence[Question], int, Path], list[Question]]] = {
    "blank": lambda questions, *_: without_image(questions, "blank"),
    "blank_kept": lambda questions, *_: without_image(questions, "blank_kept"),
    "shuffled": lambda questions, seed, _: shuffle(questions, seed),
    "text_only": lambda questions, *_: without_image(questions, "text_only"),
    "flipped": lambda questions, *_: flip(questions),
    "absent": lambda questions, seed, _: absent_pairs([question.image for question in questions], seed),
    "corrupt": lambda questions, seed, folder: corrupt(questions, folder, seed),
    "rephrased": lambda questions, *_: rephrase(questions),
}
"""Every probe by name: what becomes of (questions, seed, folder of pictures). `eval.probes.PROBES` lacks `absent`."""
