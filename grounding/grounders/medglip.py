"""Our core as a `Grounder`, and the oracle. B batch, K phrases, N points, D width, S side of the square input."""

import copy
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from pydantic import Field
from safetensors.torch import load_file

from ..bad_input import BadInput
from ..files import sha256
from ..geometry import Letterbox, cut_mask
from ..grounder import Grounder, unique_phrases
from ..imaging.read import read_image
from ..model.calibration import Calibration, calibration_from_json
from ..model.config import MedGlipConfig
from ..model.decode import decode, point_of
from ..model.medglip import MedGlipModel, MedGlipOutput
from ..model.processing import MedGlipProcessor
from ..settings import Settings
from ..types import AnnotatedImage, Region
from ..vocabulary.labels import load_labels
from ..vocabulary.phrases import with_description
from .fingerprint import update_with_weights

_PHRASE_INPUTS = ("input_ids", "attention_mask")


class GrounderSettings(Settings):
    """What of the dense output becomes regions."""

    max_per_phrase: int = Field(default=20, gt=0)
    """Regions a phrase at most, best first."""
    min_score: float = Field(default=0.05, ge=0, le=1)
    """Regions below this score are left out."""
    nms_iou: float = Field(default=0.5, gt=0, le=1)
    """Of two boxes of a phrase that overlap by more, the better one stays."""
    mask_min_score: float = Field(default=0.3, ge=0, le=1)
    """Regions below this score carry no mask: the many faint ones would cost most of the time and memory."""
    calibrated: bool = True
    """Scores through the calibration of the checkpoint, where it has one."""
    capped: bool = False
    """No region scores higher than its label's ancestors in the label tree are present."""
    descriptions: bool = False
    """Ask with knowledge prompts: how a label of the tree looks is appended to the phrase."""
    phrases_at_once: int = Field(default=64, gt=0)
    """Phrases the model reads at once; more are asked in chunks, with the same results."""
    batch_size: int = Field(default=8, gt=0)
    """Images the model sees at once."""


class MedGlipGrounder(Grounder):
    """The trained core. Regions of a phrase depend on image, modality and that phrase alone."""

    def __init__(self, model: MedGlipModel, processor: MedGlipProcessor, settings: GrounderSettings | None = None):
        self.model, self.processor, self.settings = model.eval(), processor, settings or GrounderSettings()
        self.calibration = calibration_from_json(model.config.calibration if self.settings.calibrated else None)
        # chosen on validation images; 0.5 without calibration
        self.threshold = self.calibration.threshold
        self.is_presence_calibrated = self.calibration != Calibration()
        self.embedding_dim = model.config.width
        self.fingerprint = _fingerprint(model, processor, self.settings)
        self.read: Callable[[Path], Image.Image] = read_image

    @classmethod
    def from_pretrained(
        cls, folder: Path | str, device: str | torch.device | None = None, settings: GrounderSettings | None = None
    ) -> "MedGlipGrounder":
        """Load what `train` saved, onto a GPU where there is one and no device is named.

        Raises `BadInput` for a missing folder and for a checkpoint of something else.
        """
        folder = Path(folder)
        config = _read_config(folder)
        model = MedGlipModel(config)
        _load_weights(model, folder)
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        return cls(model.to(device), MedGlipProcessor.from_pretrained(folder), settings)  # pyright: ignore[reportArgumentType]

    def ground(self, images: Sequence[AnnotatedImage], phrases: Sequence[Sequence[str]]) -> list[list[Region]]:
        """For each study the regions of its phrases, best first. Raises `BadInput` for an unreadable picture."""
        views = self._views(images, phrases, self.settings.capped)
        return [self._regions(view, self._limits(view)) for view in views]

    def presence(self, images: Sequence[AnnotatedImage], phrases: Sequence[Sequence[str]]) -> list[dict[str, float]]:
        """For each study and phrase the chance in [0, 1] that it is in the image at all, never above its ancestors'."""
        return [_capped(view.asked, self._chances(view)) for view in self._views(images, phrases, True)]

    def ground_with_presence(
        self, images: Sequence[AnnotatedImage], phrases: Sequence[Sequence[str]]
    ) -> list[tuple[list[Region], dict[str, float]]]:
        """`ground` and `presence` of one pass over the images."""
        views = self._views(images, phrases, True)
        return [(self._regions(view, self._limits(view)), _capped(view.asked, self._chances(view))) for view in views]

    def say(self, image: AnnotatedImage, phrases: Sequence[str]) -> tuple[list[Region], dict[str, float]]:
        """Regions of one study, and the model's own presence logit of each phrase, neither capped nor calibrated."""
        view = next(self._views([image], [phrases], False))
        logits = view.output.presence[view.image].tolist() if view.output is not None else []
        return self._regions(view, {}), dict(zip(view.asked, logits, strict=False))

    def embed(self, images: Sequence[AnnotatedImage], regions: Sequence[Sequence[Region]]) -> list[list[Region]]:
        """The given regions with embeddings float32[D] in the space of `ground`, read at their boxes' centres."""
        embedded: list[list[Region]] = []
        size = self.settings.batch_size
        for start in range(0, len(images), size):
            embedded += self._embed_batch(images[start : start + size], regions[start : start + size])
        return embedded

    def mirrored(self) -> "MedGlipGrounder":
        """The same core, reading every picture flipped left to right: boxes lie in, and words are of, that picture."""
        other = copy.copy(self)
        other.fingerprint = sha256(f"{self.fingerprint} mirrored")
        other.read = lambda path: ImageOps.mirror(self.read(path))
        return other

    def _views(
        self, annotated_images: Sequence[AnnotatedImage], phrases: Sequence[Sequence[str]], with_ancestors: bool
    ) -> Iterator["_View"]:
        """What the model says of each study; a batch that nothing is asked of is not looked at."""
        asked = [unique_phrases(row) for row in phrases]
        read = [_with_ancestors(row) for row in asked] if with_ancestors else asked
        for start in range(0, len(annotated_images), self.settings.batch_size):
            batch = annotated_images[start : start + self.settings.batch_size]
            rows = read[start : start + self.settings.batch_size]
            images = [self.read(image.image_path) for image in batch] if any(rows) else []
            output = self._run(images, batch, rows) if images else None
            for i, (image, row) in enumerate(zip(batch, rows, strict=True)):
                size_px = images[i].size if images else image.size_px
                yield _View(output, i, asked[start + i], row, Letterbox(size_px, self.processor.image_size))

    def _chances(self, view: "_View") -> dict[str, float]:
        """The calibrated chance of each phrase that was read."""
        if view.output is None:
            return {}
        logits_K = view.output.presence[view.image, : len(view.phrases)].float().cpu().numpy()
        return dict(zip(view.phrases, self.calibration.presences(logits_K).tolist(), strict=True))

    def _limits(self, view: "_View") -> dict[str, float]:
        return self._chances(view) if self.settings.capped else {}

    def _embed_batch(
        self, annotated_images: Sequence[AnnotatedImage], regions: Sequence[Sequence[Region]]
    ) -> list[list[Region]]:
        if not any(regions):
            return [[] for _ in annotated_images]
        images = [self.read(annotated.image_path) for annotated in annotated_images]
        output = self._run(images, annotated_images, [[] for _ in annotated_images])
        embedded = []
        for image, row, embeddings_ND in zip(images, regions, output.embeddings.cpu(), strict=True):
            letterbox = Letterbox(image.size, self.processor.image_size)
            boxes = np.array([region.box_xyxy_px for region in row], np.float32).reshape(-1, 4)
            points = point_of(torch.from_numpy(letterbox.forward(boxes)), self.processor.image_size)
            vectors_RD = embeddings_ND[points].numpy()
            embedded.append([replace(r, embedding=vector) for r, vector in zip(row, vectors_RD, strict=True)])
        return embedded

    @torch.inference_mode()
    def _run(
        self, images: list[Image.Image], annotated_images: Sequence[AnnotatedImage], asked: Sequence[Sequence[str]]
    ) -> MedGlipOutput:
        """The dense output; phrases are scored apart, so that chunks of them put together are the same."""
        if self.settings.descriptions:
            asked = [[with_description(phrase, load_labels()) for phrase in row] for row in asked]
        inputs = self.processor(images, asked, [image.modality for image in annotated_images]).to(self.model.device)
        ids, masks = (inputs.pop(name).split(self.settings.phrases_at_once, 1) for name in _PHRASE_INPUTS)
        outputs = [self.model(**inputs, input_ids=i, attention_mask=m) for i, m in zip(ids, masks, strict=True)]
        parts = {name: torch.cat([part[name] for part in outputs], -1) for name in ("logits", "presence")}
        return replace(outputs[0], **parts)

    def _regions(self, view: "_View", chances: Mapping[str, float]) -> list[Region]:
        """Regions of all phrases, best first, none scoring above the chance of its phrase and what is above that."""
        most = _capped(view.asked, chances)
        found = [region for phrase in view.asked for region in self._regions_of(view, phrase, most[phrase])]
        return sorted(found, key=lambda region: (-region.score, region.phrase))

    def _regions_of(self, view: "_View", phrase: str, most: float) -> Iterator[Region]:
        """Regions of one phrase in pixels of the original image, none scoring above `most`; what lies in the padding
        alone is dropped.
        """
        limits, letterbox, output = self.settings, view.letterbox, view.output
        assert output is not None
        k = view.phrases.index(phrase)  # phrases asked come first, those above them in the tree follow
        found = decode(output, view.image, k, limits.min_score, limits.nms_iou, limits.max_per_phrase)
        presence = float(output.presence[view.image, k])
        scores_R = self.calibration.scores(found.scores_R.cpu().numpy(), presence).clip(max=most)
        edges = np.tile(np.array(letterbox.size_px, np.float32), 2)
        boxes_R4 = np.clip(letterbox.inverse(found.boxes_R4.cpu().numpy()), 0, edges)
        embeddings_RD, masks_Rss = found.embeddings_RD.cpu().numpy(), found.masks_Rss.cpu().numpy()
        path = load_labels().path(phrase)
        for r, score in enumerate(scores_R.tolist()):
            box = boxes_R4[r]
            if score >= limits.min_score and box[0] < box[2] and box[1] < box[3]:
                mask = cut_mask(letterbox.inverse_mask(masks_Rss[r]), box) if score >= limits.mask_min_score else None
                yield Region(
                    phrase=phrase, box_xyxy_px=box, mask=mask, score=score, embedding=embeddings_RD[r], path=path
                )


@dataclass(frozen=True, eq=False)
class _View:
    """What the model said of one image of a batch, asked and read phrases (those above too); `output` None: none."""

    output: MedGlipOutput | None
    image: int
    asked: list[str]
    phrases: list[str]
    letterbox: Letterbox


def _with_ancestors(phrases: list[str]) -> list[str]:
    tree = load_labels()
    return list(dict.fromkeys([*phrases, *(above for phrase in phrases for above in tree.ancestors(phrase))]))


def _capped(phrases: Sequence[str], chances: Mapping[str, float]) -> dict[str, float]:
    """For each phrase the least chance of it and its ancestors; 1 where none is known."""
    above = load_labels().ancestors
    return {p: min((chances[name] for name in (p, *above(p)) if name in chances), default=1.0) for p in phrases}


def _read_config(folder: Path) -> MedGlipConfig:
    path = folder / "config.json"
    if not path.is_file() or not (folder / "model.safetensors").is_file():
        raise BadInput(
            "no grounding core here.", file=folder, fix="give the folder that `medglip grounding train` wrote"
        )
    values, _ = MedGlipConfig.get_config_dict(folder)
    if values.get("model_type") != MedGlipConfig.model_type:
        raise BadInput(
            f"a checkpoint of {values.get('model_type')!r}, not of {MedGlipConfig.model_type!r}.",
            file=path,
            fix="give the folder of a grounding core",
        )
    return MedGlipConfig.from_dict(values)  # pyright: ignore[reportReturnType]


def _load_weights(model: MedGlipModel, folder: Path) -> None:
    """Every weight from the file. Raises `BadInput` unless names and shapes are the model's own."""
    found, wanted = load_file(folder / "model.safetensors"), model.state_dict()
    names = found.keys() | wanted.keys()
    wrong = [n for n in names if n not in found or n not in wanted or found[n].shape != wanted[n].shape]
    if wrong:
        raise BadInput(
            f"weights of another architecture: {len(wrong)} differ, first {min(wrong)!r}.",
            file=folder / "model.safetensors",
            fix="config.json and model.safetensors must come from the same training",
        )
    model.load_state_dict(found)


def _fingerprint(model: MedGlipModel, processor: MedGlipProcessor, settings: GrounderSettings) -> str:
    digest = hashlib.sha256(settings.model_dump_json(exclude={"batch_size", "phrases_at_once"}).encode())
    digest.update(json.dumps(model.config.calibration).encode())
    digest.update(processor.to_json_string().encode())
    digest.update(processor.tokenizer.backend_tokenizer.to_str().encode())
    update_with_weights(digest, model.state_dict())
    return digest.hexdigest()
