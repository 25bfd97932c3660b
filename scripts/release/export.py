"""`medglip vqa export`: the adapter of a run, or one by itself, as a folder that plain transformers and peft load."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from ...grounding.evidence.evidence import PLAIN, Evidence
from ...vqa.inference.confidence import FILE as CONFIDENCE
from ...vqa.model.grounded_mllm import GroundedMLLM, resolve
from ...vqa.model.settings import LoraSettings
from ...vqa.prompt.prompt import Example, Prompt
from ...vqa.publish.export import Exported, ExportForm, export
from ..inference.systems import load_system

QUESTIONS = ("Is there a nodule?", "Which organ is shown in this image?")


def export_adapter(
    place: Path,
    out: Path,
    kind: ExportForm,
    *,
    image: Path | None = None,
    question: str = "",
    checkpoint: str | None = None,
    base: str | None = None,
    tolerance: float | None = None,
    allow_download: bool = False,
) -> Exported:
    """Write the folder; from a run the adapter with evidence. The check asks `question` about `image`.

    `question` left out: two of our own; `image` left out: noise. Raises `BadInput` as `vqa.publish.export.export`
    does, and for a folder without an adapter.
    """
    finished = load_system(place, checkpoint, base)
    finished.allow_download |= allow_download
    # weights in four bits cannot be merged or compared: they are loaded whole, while the settings still name four bits
    lora: LoraSettings = finished.mllm.lora.model_copy(update={"four_bit": False})
    mllm = finished.model("predicted", dtype="fp32", lora=lora)
    mllm.settings = mllm.settings.model_copy(update={"lora": finished.mllm.lora})
    where = resolve(finished.mllm.base, finished.core)
    # a loose adapter may not state what evidence it was trained with
    prompts = probe_prompts(mllm, image, (question,) if question else QUESTIONS)
    evidence = finished.shown if finished.has_known_evidence else None
    exported = export(mllm, where, out, kind, prompts, evidence, tolerance)
    source = finished.adapter("predicted")
    if kind == "adapter" and source and (source / CONFIDENCE).is_file():
        shutil.copy(source / CONFIDENCE, out)  # when its answers count
    return exported


def probe_prompts(mllm: GroundedMLLM, image: Path | None, questions: tuple[str, ...]) -> list[Prompt]:
    """Plain prompts with an answer each, about the image or noise: any processor can make them."""
    with tempfile.TemporaryDirectory() as folder:
        path = image or Path(folder) / "noise.png"
        if image is None:
            Image.fromarray(np.random.default_rng(0).integers(0, 256, (448, 448, 3), dtype=np.uint8)).save(path)
        prompts = []
        for number, question in enumerate(questions):
            text, name = f"{question}\nAnswer with a word or short phrase.", f"probe {number}"
            plain = Example(example_id=name, image_path=path, instruction=text, target="yes", evidence=Evidence.none())
            prompts.append(mllm.render(plain, PLAIN))
        return prompts
