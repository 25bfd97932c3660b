"""Alignment of a base whose picture projector is fresh: without it the language model ignores the picture.

Two stages as in LLaVA (Liu et al. 2023, https://arxiv.org/abs/2304.08485): the projector alone, then with LoRA; where
words are given, the projector learns to spell them first (`spelling`). A third, if it is asked for, makes words of
region tokens, then teaches all of them together to say what a region is and where, what a crop shows, and to go on
looking at pictures; it may go on from another alignment. The result is an adapter like any other, which a recipe starts
from (`mllm.aligned`).
"""

import json
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock
from safetensors.torch import load_file, save

from ...grounding.assets import cache_folder
from ...grounding.bad_input import BadInput
from ...grounding.evidence.evidence import PLAIN, EvidenceSettings
from ...grounding.evidence.forms.tokens import TokenShape, token_features
from ...grounding.files import file_sha256, read_object, refuse_other, sha256, write_atomic, write_folder
from ...grounding.training.loop import processes
from ...grounding.training.provenance import write_learned
from ..model.grounded_mllm import GroundedMLLM, load, resolve
from ..model.identity import FILE, base_sha256
from ..model.settings import MllmSettings
from ..model.shipped import shipped_folder
from ..prompt.prompt import PROMPT_VERSION, Example
from .settings import AlignSettings
from .spelling import Spelled, picture_projector, spell_pictures, spell_regions
from .train import train, train_only

TOKENS = EvidenceSettings(forms=("tokens",), max_regions=64, min_score=0.0, dropout=0.0, jitter=0.0)
"""Stage 3: every region of an example, as a token alone, so that nothing but the token says what and where it is."""
CROPS = EvidenceSettings(forms=("crops",), max_regions=1, min_score=0.0, dropout=0.0, jitter=0.0)
"""Stage 3: the picture and the one region of an example, as a crop."""


@dataclass(frozen=True, kw_only=True)
class Lessons:
    """What an alignment learns from: `pictures` without evidence in all stages; in the third in equal parts with
    `regions`, `crops` and `details` of them; `words` of pictures and crops, to be spelled before all.
    """

    pictures: Sequence[Example]
    regions: Sequence[Example] = ()
    crops: Sequence[Example] = ()
    details: Sequence[Example] = ()
    words: Sequence[Spelled] = ()

    def used(self, stages: AlignSettings, has_start: bool) -> "Lessons":
        """Those of the stages there are."""
        has_regions, spells = stages.regions is not None, stages.spell_picture_steps and not has_start
        return Lessons(
            pictures=self.pictures,
            regions=self.regions if has_regions else (),
            crops=self.crops if has_regions else (),
            details=self.details if has_regions else (),
            words=self.words if spells else (),
        )

    @property
    def paths(self) -> set[Path]:
        """Of all pictures."""
        examples = (*self.pictures, *self.regions, *self.crops, *self.details)
        return {path for one in examples for path in one.image_paths} | {one.image_path for one in self.words}


def align_adapter(
    settings: MllmSettings,
    shape: TokenShape,
    lessons: Lessons,
    stages: AlignSettings,
    *,
    vision: Path | None = None,
    out_dir: Path | None = None,
) -> Path:
    """The folder of the aligned adapter: `out_dir`, else one in the cache named by the content of all it is made of.

    Trained now, or further, or already there; of several that ask for it at once, one trains and the others wait.
    With `settings.aligned` that start is gone on from by stage 3 alone. Raises `BadInput` for a base without a picture
    projector to train, for stage 3 without regions, for a start without stage 3, and for an `out_dir` of other content.
    """
    if stages.regions is not None and not lessons.regions:
        fix = "grounding.data: sets with training regions, or leave out align.regions"
        raise BadInput("the stage align.regions has no regions to learn from.", fix=fix)
    if settings.aligned and stages.regions is None:
        problem = f"{settings.aligned!r} is aligned already, and there is nothing more to teach it."
        fix = "align.regions: teach its region projector; or leave out mllm.aligned to align anew"
        raise BadInput(problem, fix=fix)
    start = shipped_folder("aligned", settings.aligned) if settings.aligned else None
    lessons = lessons.used(stages, start is not None)
    facts = _facts(settings, shape, lessons, stages, vision)
    if start:
        facts["start_sha256"] = base_sha256(str(start))
    name = sha256(json.dumps(facts, sort_keys=True))[:16]
    folder = out_dir or cache_folder() / "aligned" / name
    work = folder.with_name(f".{folder.name}-{name}.work")
    work.mkdir(parents=True, exist_ok=True)
    # One training of this machine at a time: its first process holds the lock (which goes with it if it is killed), and
    # its others wait for that one.
    with FileLock(work / "lock") if processes().is_main_process else nullcontext():
        processes().wait_for_everyone()
        if (folder / FILE).exists():
            theirs = read_object(folder / FILE)
            ours, fix = json.loads(json.dumps(facts)), "give another --out, or remove the folder to start anew"
            refuse_other({key: theirs.get(key) for key in ours}, ours, "holds another alignment", folder, fix)
            return folder
        if folder.is_dir() and any(folder.iterdir()):
            raise BadInput("holds something else.", file=folder, fix="give a new folder")
        mllm = load(settings, shape, vision=vision)
        align(mllm, lessons, stages, work)
        if processes().is_main_process:
            with write_folder(folder) as partial:
                mllm.save(partial, PLAIN)
                write_learned(partial, lessons.paths, start)
                write_atomic(partial / FILE, json.dumps(facts, indent=1))
        processes().wait_for_everyone()
    return folder


def align(mllm: GroundedMLLM, lessons: Lessons, stages: AlignSettings, work: Path) -> None:
    """The stages in place, of a model that started aligned the third alone; each continues from its folder in `work`.

    The first two see pictures and words alone: what evidence there is, the projector must not learn to lean on.
    """
    if not mllm.settings.aligned:
        if not any(p.requires_grad for name, p in mllm.named_parameters() if "modules_to_save" in name):
            problem = f"{mllm.family.name} has no picture projector that is trained, so there is nothing to align."
            raise BadInput(problem, fix="mllm.lora.train_projector: true, or start without alignment")
        if lessons.words:
            _spell_once(mllm, lessons.words, stages.spell_picture_steps, work / "spelled.safetensors")
        with train_only(mllm, lambda name: "modules_to_save" in name):
            train(mllm, lessons.pictures, PLAIN, stages.projector, work / "projector", "align projector")
        with train_only(mllm, lambda name: "modules_to_save" in name or "lora_" in name):
            train(mllm, lessons.pictures, PLAIN, stages.together, work / "together", "align together")
    if stages.regions is not None:
        if stages.spell_steps:
            spell_regions(mllm, lessons.regions, stages.spell_steps)
        # after regions alone the model did not look at pictures
        parts = [part for part in (lessons.pictures, lessons.regions, lessons.crops, lessons.details) if part]
        mixed = [example for part in parts for example in part]
        weights = [1 / len(part) for part in parts for _ in part]
        train(mllm, mixed, TOKENS, stages.regions, work / "regions", "align regions", weights=weights)


def _spell_once(mllm: GroundedMLLM, words: Sequence[Spelled], steps: int, file: Path) -> None:
    """Pictures are spelled, or have been: their tokens take minutes, and a later stage may be gone on with."""
    projector = picture_projector(mllm)
    if file.is_file():
        projector.load_state_dict(load_file(file))
        return
    spell_pictures(mllm, words, steps)
    if processes().is_main_process:
        write_atomic(file, save({name: value.detach().cpu() for name, value in projector.state_dict().items()}))


def _facts(
    settings: MllmSettings, shape: TokenShape, lessons: Lessons, stages: AlignSettings, vision: Path | None
) -> dict[str, Any]:
    """All that the result follows from but its start, as JSON has it."""
    third = {"regions", "spell_steps"} if stages.regions else set[str]()
    first = {"spell_picture_steps"} if stages.spell_picture_steps else set[str]()
    used = third if settings.aligned else {"projector", "together", *first, *third}
    content = cache(file_sha256)  # most pictures teach more than one thing
    facts: dict[str, Any] = {
        "prompt": PROMPT_VERSION,
        "base": settings.base,
        "base_sha256": base_sha256(resolve(settings.base, vision)),
        "examples": len(lessons.pictures),
        "examples_sha256": sha256(json.dumps(_lines(lessons.pictures, content))),
        "mllm": settings.model_dump(mode="json", exclude={"aligned"}),
        "stages": stages.model_dump(mode="json", include=used),
    }
    shown = {"region": lessons.regions, "crop": lessons.crops, "detail": lessons.details}
    for kind, own in shown.items():
        if own:  # with the features of their regions
            features = [sha256(token_features(one.evidence, shape).tobytes()) for one in own]
            lines = [[*line, digest] for line, digest in zip(_lines(own, content), features, strict=True)]
            facts |= {f"{kind}_examples": len(lines), f"{kind}_examples_sha256": sha256(json.dumps(lines))}
    if lessons.words:
        facts["words_sha256"] = sha256(json.dumps([_spelled_line(one, content) for one in lessons.words]))
    return facts


def _lines(examples: Sequence[Example], content: Callable[[Path], str]) -> list[list[Any]]:
    """What an example teaches, as JSON has it: words, and the content of its picture."""
    return [[one.instruction, one.target, content(one.image_path), one.transform] for one in examples]


def _spelled_line(one: Spelled, content: Callable[[Path], str]) -> list[Any]:
    """A picture or crop and its words, as JSON has it."""
    box = None if one.region is None else one.region.box_xyxy_px.tolist()
    return [content(one.image_path), box, *one.words]
