"""`medglip vqa align RECIPE`: derived questions of any region sets, its stages, and a probe of what came of it."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from datasets import Dataset
from pydantic import Field

from ...eval.probes import ProbeResult
from ...eval.probes import probe as score_probes
from ...eval.records import read_records
from ...eval.settings import EvalSettings
from ...eval.table import probes_text
from ...grounding.bad_input import BadInput, Skipped
from ...grounding.datasets.phantoms import dataset as phantoms
from ...grounding.datasets.schema import images as images_of
from ...grounding.evidence.evidence import PLAIN, Evidence, EvidenceSettings
from ...grounding.evidence.forms.tokens import TokenShape
from ...grounding.files import write_atomic
from ...grounding.grounders.cache import regions_of
from ...grounding.grounders.medglip import MedGlipGrounder
from ...grounding.grounders.oracle import TruthGrounder
from ...grounding.grounders.pretrained import checkpoint_folder
from ...grounding.settings import read_settings
from ...grounding.training.loop import processes
from ...grounding.training.recipe import CoreRecipe
from ...grounding.training.stage import HeldOut, core_images, draw_phantoms
from ...grounding.types import AnnotatedImage
from ...vqa.datasets import derived
from ...vqa.datasets.phantom import read_questions
from ...vqa.derived.crops import DETAIL, crop_questions, true_words
from ...vqa.derived.derive import chosen_rows
from ...vqa.derived.regions import RegionQuestion, region_questions, with_other_regions
from ...vqa.derived.settings import DeriveSettings
from ...vqa.inference.predict import predict
from ...vqa.inference.settings import GenerateSettings
from ...vqa.model.grounded_mllm import GroundedMLLM, load
from ...vqa.model.settings import MllmSettings
from ...vqa.probes import probe_questions
from ...vqa.prompt.prompt import Example
from ...vqa.task import Question
from ...vqa.training.align import CROPS, TOKENS, Lessons, align_adapter
from ...vqa.training.settings import AlignSettings
from ...vqa.training.spelling import Spelled
from ..pipeline.tasks import derived_file

logger = logging.getLogger("medglip")
Drawn = TypeVar("Drawn")
OF_THE_WHOLE = ("modality", "body", "organ")
"""Kinds of derived questions whose answers say what a whole picture is of."""


class ShownProbe(NamedTuple):
    """A way to show the regions of a question: the name of its records, settings, prompt, and what its drop says."""

    name: str
    shown: EvidenceSettings
    to_example: Callable[[Question, Evidence], Example]
    verdict: Callable[[ProbeResult], str]


class AlignRecipe(CoreRecipe):
    """Which base learns to see, from what, and how that is tested."""

    core: str = "small"
    """Whose image tower the small default looks through: a shipped core by name, or a folder."""
    mllm: MllmSettings = MllmSettings()
    """The base and its LoRA; a recipe that starts from the result says the same."""
    derive: DeriveSettings = DeriveSettings()
    """Questions and captions from the region sets; its limit and seed choose the pictures of stage 3, too."""
    align: AlignSettings = AlignSettings()
    """The two stages, or with `mllm.aligned` none of them; and a third for regions, if it is there."""
    max_region_questions: int = Field(default=4, ge=1)
    """Stage 3: at most so many questions about the true regions of a picture."""
    max_crop_questions: int = Field(default=0, ge=0)
    """Stage 3: at most so many questions about a picture's regions, cut out one at a time; 0: no crops."""
    max_probed: int = Field(default=400, ge=2)
    """At most so many held-out questions are asked with the real and with the blank picture; at most so many about
    regions, with the right tokens and with those of another picture."""
    generate: GenerateSettings = GenerateSettings(max_new_tokens=12)
    """Answers of the probe."""
    eval: EvalSettings = EvalSettings()
    """Scores and intervals of the probe."""


def align_recipe(path: Path, out: Path | None = None) -> Path:
    """Align, probe, print; return the adapter's folder: `out`, else one in the cache. Called again, it continues."""
    recipe = read_settings(AlignRecipe, path)
    skipped = Skipped()
    core = checkpoint_folder(recipe.core)
    grounder = MedGlipGrounder.from_pretrained(core)
    images = cache(lambda: core_images(recipe, HeldOut(), skipped))
    with processes().main_process_first():  # it alone draws phantoms, derives and embeds; the others find them
        file = derived_file(recipe, recipe.derive, images)
        chosen = images_with_regions(recipe, images()) if recipe.align.regions else []
        about = asked_of_regions(recipe, chosen, grounder, skipped)
        cut_out = asked_of_crops(recipe, chosen)
    # without regions, whose masks would fill the memory for nothing
    questions = derived.read_file(file)
    training = [question for question in questions if question.image.split == "train"]
    crops = [one for one in cut_out if one[0].image.split == "train"]
    shape = TokenShape.of(grounder)
    lessons = Lessons(
        pictures=[to_aligned_example(question) for question in training],
        regions=[to_region_example(*one) for one in about if one[0].image.split == "train"],
        crops=[to_crop_example(*one) for one in crops if one[0].content_type != DETAIL],
        details=[to_crop_example(*one) for one in crops if one[0].content_type == DETAIL],
        words=words_of(training, crops),
    )
    folder = align_adapter(recipe.mllm, shape, lessons, recipe.align, vision=core, out_dir=out)
    if not processes().is_main_process:
        return folder
    skipped.write(recipe.out_dir / "skipped.jsonl")
    # the folder holds the weights of every stage, those of the start that `aligned` named among them
    mllm = load(recipe.mllm.model_copy(update={"aligned": ""}), shape, folder, vision=core)
    probe_folder = recipe.out_dir / "probe" / folder.name
    probe_blank(mllm, questions, recipe, probe_folder)
    for probe, asked in ((REGIONS_PROBE, about), (CROPS_PROBE, cut_out)):
        if asked:
            probe_shown(mllm, asked, recipe, probe_folder, probe)
    logger.info("aligned: %s\nin a recipe: mllm: { aligned: %s }", folder, folder)
    return folder


def images_with_regions(recipe: AlignRecipe, data: Dataset) -> list[AnnotatedImage]:
    """Those of the splits train and `eval_split` that stage 3 is about."""
    chosen = recipe.derive.model_copy(update={"splits": ("train", recipe.eval_split)})
    images: list[AnnotatedImage] = []
    for image in images_of(data.select(chosen_rows(data, chosen))):
        if image.regions:  # boxes are enough: masks of all images would fill the memory
            images.append(replace(image, regions=tuple(replace(region, mask=None) for region in image.regions)))
    return images


def asked_of_regions(
    recipe: AlignRecipe, images: list[AnnotatedImage], grounder: MedGlipGrounder, skipped: Skipped
) -> list[RegionQuestion]:
    """Questions about the true regions of these images, embedded by the core and kept on disk."""
    if not images:
        return []
    phrases = [tuple(dict.fromkeys(region.phrase for region in image.regions)) for image in images]
    regions, left_out = regions_of(TruthGrounder(grounder), images, phrases, recipe.out_dir / "regions")
    skipped.entries += left_out.entries
    return region_questions(images, regions, recipe.max_region_questions, recipe.seed)


def asked_of_crops(recipe: AlignRecipe, images: list[AnnotatedImage]) -> list[RegionQuestion]:
    """Questions about their regions, cut out one at a time; of phantoms also about the details of findings."""
    if not (recipe.max_crop_questions and images):
        return []
    folder, details = draw_phantoms(recipe), list[Question]()
    if folder is not None:
        details = [one for one in read_questions(folder, phantoms.read(folder)) if one.content_type == DETAIL]
    return crop_questions(images, details, recipe.max_crop_questions, recipe.seed)


def words_of(questions: Sequence[Question], crops: Sequence[RegionQuestion]) -> list[Spelled]:
    """What is true of whole pictures, by the answers on what they are of, and of crops."""
    pictures: dict[Path, dict[str, None]] = {}
    for question in questions:
        if question.content_type in OF_THE_WHOLE:
            pictures.setdefault(question.image.image_path, {})[question.answer] = None
    cut_out = {
        (one.image.image_id, shown.regions[0].phrase): (one.image.image_path, shown.regions[0]) for one, shown in crops
    }
    return [
        *(Spelled(path, None, tuple(words)) for path, words in pictures.items()),
        *(Spelled(*cut_out[key], words) for key, words in true_words(crops).items()),
    ]


def to_aligned_example(question: Question) -> Example:
    """The prompt's parts without evidence; a caption is asked for in its own words, not as a short answer."""
    example = question.to_example(Evidence.none())
    return replace(example, instruction=question.question) if question.content_type == derived.CAPTION else example


def to_region_example(question: Question, evidence: Evidence) -> Example:
    """Without the picture: its tokens alone say what a region is and where, and the prompt is a third as long."""
    return replace(question.to_example(evidence), transform="text_only")


def to_crop_example(question: Question, evidence: Evidence) -> Example:
    """With the picture and the crop of its one region."""
    return replace(question.to_example(evidence), shown=CROPS)


def probe_blank(mllm: GroundedMLLM, questions: list[Question], recipe: AlignRecipe, folder: Path) -> None:
    """Answers to held-out short questions with their own images and with grey ones; drops with their intervals."""
    short = [q for q in questions if q.image.split == recipe.eval_split and q.content_type != derived.CAPTION]
    drawn = _draw(short, recipe)
    runs = {
        name: [(question, to_aligned_example(question)) for question in part]
        for name, part in (("original", drawn), ("blank", probe_questions("blank", drawn)))
    }
    result = _probe(mllm, runs, PLAIN, recipe, folder / "probe.json")
    logger.info("%s\n%s", probes_text(result), verdict(result))


def probe_shown(
    mllm: GroundedMLLM, about: list[RegionQuestion], recipe: AlignRecipe, folder: Path, probe: ShownProbe
) -> None:
    """Answers with the regions that are asked about and with those of another image; drops as of `probe_blank`."""
    drawn = _draw([one for one in about if one[0].image.split == recipe.eval_split], recipe)
    runs = {
        name: [(one[0], probe.to_example(*one)) for one in part]
        for name, part in (
            (probe.name, drawn),
            (f"{probe.name}-shuffled", with_other_regions(drawn, recipe.seed)),
        )
    }
    result = _probe(mllm, runs, probe.shown, recipe, folder / f"probe-{probe.name}.json")
    logger.info("%s\n%s", probes_text(result), probe.verdict(result))


def _draw(held_out: Sequence[Drawn], recipe: AlignRecipe) -> list[Drawn]:
    """At most `max_probed` of the held-out questions, drawn with the seed, in order."""
    if not held_out:
        raise BadInput(f"no question is of split {recipe.eval_split!r}.", fix="eval_split: val, or test")
    size = min(recipe.max_probed, len(held_out))  # without replacement: a question is asked once
    indices = np.random.default_rng(recipe.seed).choice(len(held_out), size, replace=False)
    return [held_out[index] for index in sorted(indices.tolist())]


def _probe(
    mllm: GroundedMLLM,
    runs: Mapping[str, Sequence[tuple[Question, Example]]],
    evidence: EvidenceSettings,
    recipe: AlignRecipe,
    out: Path,
) -> ProbeResult:
    """Records of each run in a file of its name beside `out`, which takes their scores; continues there."""
    names = {"model": recipe.mllm.base, "adapter": "aligned"}
    files = [out.with_name(f"{name}.jsonl") for name in runs]
    for file, examples in zip(files, runs.values(), strict=True):
        jobs = [question.job(example, evidence, names) for question, example in examples]
        predict(mllm, jobs, evidence, recipe.generate, file)
    result = score_probes([read_records([file], "vqa") for file in files], [file.name for file in files], recipe.eval)
    write_atomic(out, json.dumps(asdict(result), indent=1))
    return result


def verdict(result: ProbeResult) -> str:
    """One sentence: does the answer hang on the image?"""
    does, fails = "it looks at the picture", "NOT ALIGNED: it does as well without the picture"
    return f"blank-image probe: {_describe_drop(result, 'blank', does, fails)}"


def regions_verdict(result: ProbeResult) -> str:
    """One sentence: does the answer hang on the region tokens?"""
    right, other = (result.metrics[name]["overall_accuracy"].value for name in ("original", "shuffled"))
    does, fails = "it reads the region tokens", "NOT READ: it does as well with those of another picture"
    drop = _describe_drop(result, "shuffled", does, fails)
    return f"region tokens: overall accuracy {right:.3f}, of another picture {other:.3f}; {drop}"


def crops_verdict(result: ProbeResult) -> str:
    """One sentence: does the answer hang on the crop?"""
    does, fails = "it looks at the crop", "NOT SEEN: it does as well with a crop of another place"
    return f"crops: {_describe_drop(result, 'shuffled', does, fails)}"


REGIONS_PROBE = ShownProbe("regions", TOKENS, to_region_example, regions_verdict)
CROPS_PROBE = ShownProbe("crops", CROPS, to_crop_example, crops_verdict)


def _describe_drop(result: ProbeResult, probe: str, does: str, fails: str) -> str:
    drop = result.drops[probe]["overall_accuracy"].difference
    interval = "no interval" if drop.low is None else f"[{drop.low:+.3f}, {drop.high:+.3f}]"
    sentence = does if drop.low is not None and drop.low > 0 else fails
    return f"overall accuracy drops by {drop.value:+.3f} {interval}, n={drop.n}: {sentence}"
