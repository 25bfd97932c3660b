"""Our core as a `Grounder`. B batch, K phrases, N points, D width, S side of the square input."""

import copy
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from pydantic import Field
from safetensors.torch import load_file
from torch import Tensor

from ..bad_input import BadInput, damaged
from ..files import read_object, sha256
from ..geometry import Boxes, Letterbox, area, cut_mask
from ..grounder import Grounder, Images, Phrases, unique_phrases
from ..imaging.read import read_image
from ..imaging.window import strips
from ..model.calibration import Calibration, calibration_from_json
from ..model.config import MedGlipConfig
from ..model.decode import TOP_POINTS, decode, point_of
from ..model.familiarity import describe, shows_nothing
from ..model.features import FILE, TowerFeatures, load_features
from ..model.head import mask_logits
from ..model.medglip import MedGlipModel, MedGlipOutput
from ..model.pooling import region_weights
from ..model.processing import MedGlipProcessor
from ..parts.giving_up import go_on
from ..settings import Settings
from ..types import AnnotatedImage, Region
from ..vocabulary.labels import load_labels
from ..vocabulary.phrases import with_description
from .fingerprint import update_with_weights

THIN_FILL = 0.2
"""Part of its box that the mask of a thin or scattered thing does not fill."""
LARGE_PX = 2**25
"""Pixels from which on memory counts more than that every chance is computed in one way."""
_PHRASE_INPUTS = ("input_ids", "attention_mask")


class GrounderSettings(Settings):
    """Which part of the dense output becomes regions."""

    max_per_phrase: int | None = Field(default=None, gt=0)
    """At most this many regions per phrase, best first. Left out: 20, and with cores that keep features of their image
    tower all that count as found as well, up to 300, so that they can be counted."""
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
    """Knowledge prompts: how a label of the tree looks is appended to its phrase."""
    phrases_at_once: int = Field(default=64, gt=0)
    """Phrases the model reads at once; more are read in chunks, with the same results."""
    batch_size: int = Field(default=8, gt=0)
    """Images the model sees at once."""


class MedGlipGrounder(Grounder):
    """The trained core. Regions of a phrase depend on image, modality and that phrase alone."""

    def __init__(
        self,
        model: MedGlipModel,
        processor: MedGlipProcessor,
        settings: GrounderSettings | None = None,
        features: TowerFeatures | None = None,
    ):
        self.model, self.processor, self.settings = model.eval(), processor, settings or GrounderSettings()
        self.features = features
        self.calibration = calibration_from_json(model.config.calibration if self.settings.calibrated else None)
        # chosen on validation images; 0.5 without calibration
        self.threshold = self.calibration.threshold
        self.is_presence_calibrated = self.calibration != Calibration()
        self.embedding_dim = model.config.width
        self.pooled_dims = features.scales.widths if features else ()
        self.read: Callable[[Path], Image.Image] = read_image
        limit = self.settings.max_per_phrase
        self.max_faint, self.max_found = limit or 20, limit or (TOP_POINTS if features else 20)
        # how many images or phrases run at once changes no region, so it is no part of the fingerprint
        written = self.settings.model_copy(update={"max_per_phrase": self.max_faint})
        digest = hashlib.sha256(written.model_dump_json(exclude={"batch_size", "phrases_at_once"}).encode())
        digest.update(json.dumps(model.config.calibration).encode())
        digest.update(processor.to_json_string().encode())
        digest.update(processor.tokenizer.backend_tokenizer.to_str().encode())
        update_with_weights(digest, model.state_dict())
        if features:
            update_with_weights(digest, features.tensors())
        self.fingerprint = digest.hexdigest()

    @classmethod
    def from_pretrained(
        cls, folder: Path | str, device: str | torch.device | None = None, settings: GrounderSettings | None = None
    ) -> "MedGlipGrounder":
        """Load what `train` saved, onto a GPU where there is one and no device is named.

        Raises `BadInput` for a missing folder, and for a checkpoint of something else.
        """
        folder = Path(folder)
        config_file, weights_file = folder / "config.json", folder / "model.safetensors"
        if not config_file.is_file() or not weights_file.is_file():
            fix = "give the folder that `medglip grounding train` wrote"
            raise BadInput("no grounding core here.", file=folder, fix=fix)
        values = read_object(config_file)
        if values.get("model_type") != MedGlipConfig.model_type:
            problem = f"a checkpoint of {values.get('model_type')!r}, not of {MedGlipConfig.model_type!r}."
            raise BadInput(problem, file=config_file, fix="give the folder of a grounding core")
        with damaged(config_file):
            config = MedGlipConfig.from_dict(values)
            with torch.device("meta"):  # where sizes are wrong, they take no memory
                own = MedGlipModel(config).state_dict()  # pyright: ignore[reportArgumentType]
        # every weight comes from the file: names and shapes must be the model's own
        with damaged(weights_file):
            stored = load_file(weights_file)
        names = stored.keys() | own.keys()
        wrong = [n for n in names if n not in stored or n not in own or stored[n].shape != own[n].shape]
        if wrong:
            problem = f"weights of another architecture: {len(wrong)} differ, first {min(wrong)!r}."
            fix = "config.json and model.safetensors must come from the same training"
            raise BadInput(problem, file=weights_file, fix=fix)
        with damaged(config_file):
            model = MedGlipModel(config)  # pyright: ignore[reportArgumentType]
        model.load_state_dict(stored)
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        with damaged(folder / FILE):
            features = load_features(folder)
        if model.config.pooled_strides and features is None:
            fix = "copy the folder of the core again"
            raise BadInput("the features of the image tower are missing.", file=folder / FILE, fix=fix)
        with damaged(folder):  # its files of the tokenizer, or the calibration in its configuration
            processor = MedGlipProcessor.from_pretrained(folder, trust_remote_code=False)
            core = cls(model, processor, settings, features)  # pyright: ignore[reportArgumentType]
        core.model.to(device)  # pyright: ignore[reportArgumentType]
        return core

    def ground(self, images: Images, phrases: Phrases) -> list[list[Region]]:
        """For each image the regions of its phrases, best first. Raises `BadInput` for an unreadable image."""
        is_capped = self.settings.capped
        return [self._regions(view, is_capped) for view in self._views(images, phrases, with_ancestors=is_capped)]

    def presence(self, images: Images, phrases: Phrases) -> list[dict[str, float]]:
        """For each image: phrase -> probability that it is in the image at all, never above its ancestors'."""
        views = self._views(images, phrases, with_ancestors=True)
        return [self._chances(view) for view in views]

    def ground_with_presence(self, images: Images, phrases: Phrases) -> list[tuple[list[Region], dict[str, float]]]:
        """`ground` and `presence` of one pass over the images."""
        views = self._views(images, phrases, with_ancestors=True)
        return [(self._regions(view, self.settings.capped), self._chances(view)) for view in views]

    def ground_with_logits(
        self, image: AnnotatedImage, phrases: Sequence[str]
    ) -> tuple[list[Region], dict[str, float]]:
        """Regions of one image, and the model's own presence logit of each phrase, neither capped nor calibrated."""
        view = next(self._views([image], [phrases], with_ancestors=False))
        logits = view.output.presence[view.index].tolist() if view.output is not None else []
        return self._regions(view, is_capped=False), dict(zip(view.requests, logits, strict=False))

    def ground_at_thresholds(
        self, image: AnnotatedImage, phrases: Sequence[str], mask_thresholds: Sequence[float]
    ) -> list[list[Region]]:
        """The regions of one image for each threshold of a mask's pixels, in the same order; else as `ground`."""
        view = next(self._views([image], [phrases], with_ancestors=False))
        return [self._regions(view, self.settings.capped, (value, value)) for value in mask_thresholds]

    def embed(self, images: Images, regions: Sequence[Sequence[Region]]) -> list[list[Region]]:
        """The given regions with embeddings float32[D] in the space of `ground`, read at their boxes' centres, and with
        pooled features where the core has them.
        """
        embedded: list[list[Region]] = []
        for start in range(0, len(images), self.settings.batch_size):
            batch = images[start : start + self.settings.batch_size]
            rows = regions[start : start + self.settings.batch_size]
            if not any(rows):
                embedded += [[] for _ in batch]
                continue
            boxes, squares = self._read_all(batch)
            output = self._run(squares, batch, [[] for _ in batch])  # without phrases: embeddings do not depend on them
            for i, (letterbox, row, embeddings_ND) in enumerate(zip(boxes, rows, output.embeddings.cpu(), strict=True)):
                boxes_R4 = np.array([region.box_xyxy_px for region in row], np.float32).reshape(-1, 4)
                points_R = point_of(torch.from_numpy(letterbox.forward(boxes_R4)), self.processor.image_size)
                vectors_RD = embeddings_ND[points_R].numpy()
                row = [replace(region, embedding=vector) for region, vector in zip(row, vectors_RD, strict=True)]
                embedded.append(self._with_pooled(row, output, i, letterbox))
        return embedded

    @torch.inference_mode()
    def familiarity(self, images: Images) -> list[float] | None:
        """How much each image is like those that the core learned from, in [0, 1]; None for cores of before.

        Raises `BadInput` for an unreadable image.
        """
        if self.features is None or self.features.familiarity is None:
            return None
        values: list[float] = []
        for described_BF, empty in self._described(images):
            alike = self.features.familiarity(described_BF)
            values += [0.0 if is_empty else value for value, is_empty in zip(alike, empty, strict=True)]
        return values

    @torch.inference_mode()
    def likely_modalities(self, images: Images) -> list[dict[str, float]] | None:
        """Of each image the modalities of the most alike training images, with their shares; None for cores of before.

        Raises `BadInput` for an unreadable image.
        """
        features = self.features
        if features is None or features.familiarity is None or not features.modalities:
            return None
        alike = [row for rows_BF, _ in self._described(images) for row in features.familiarity.neighbours(rows_BF)]
        counts = [Counter(features.modalities[k] for k in row) for row in alike]
        return [{name: number / one.total() for name, number in one.items()} for one in counts]

    def _described(self, images: Images) -> Iterator[tuple[Tensor, list[bool]]]:
        """float32[B, F] of a batch at a time, what the image tower says of whole images; and which show nothing."""
        for start in range(0, len(images), self.settings.batch_size):
            boxes, squares = self._read_all(images[start : start + self.settings.batch_size])
            inputs = self.processor(squares, [[]] * len(squares), ["unknown"] * len(squares)).to(self.model.device)
            empty = [shows_nothing(box, square) for box, square in zip(boxes, squares, strict=True)]
            yield describe(self.model.image_tower(inputs["pixel_values"]).feature_maps or ()), empty

    def mirror(self) -> "MedGlipGrounder":
        """The same core, reading every image flipped left to right: boxes and phrases are those of the flipped one."""
        other = copy.copy(self)
        other.fingerprint = sha256(f"{self.fingerprint} mirrored")
        other.read = lambda path: ImageOps.mirror(self.read(path))
        return other

    def _views(self, images: Images, phrases: Phrases, with_ancestors: bool) -> Iterator["_View"]:
        """The model's output for each image; a batch without any phrase is not read at all."""
        requests = rows = [unique_phrases(row) for row in phrases]
        if with_ancestors:  # polyp, liver cyst -> polyp, liver cyst, bowel, colon, liver: what is asked for comes first
            above = load_labels().ancestors
            rows = [list(dict.fromkeys(chain(row, *map(above, row)))) for row in requests]
        for start in range(0, len(images), self.settings.batch_size):
            batch = images[start : start + self.settings.batch_size]
            batch_rows = rows[start : start + self.settings.batch_size]
            if any(batch_rows):
                boxes, squares = self._read_all(batch)
                output = self._run(squares, batch, batch_rows)
            else:
                boxes, output = [Letterbox(image.size_px, self.processor.image_size) for image in batch], None
            for i, (letterbox, row) in enumerate(zip(boxes, batch_rows, strict=True)):
                yield _View(output, i, requests[start + i], row, letterbox)

    def _read_all(self, images: Images) -> tuple[list[Letterbox], list[NDArray[np.uint8]]]:
        """How each image fits the square, and the square uint8[S, S, 3]; one image is in memory at a time."""
        boxes, squares = list[Letterbox](), list[NDArray[np.uint8]]()
        for image in images:
            pixels = self.read(image.image_path)
            boxes.append(Letterbox(pixels.size, self.processor.image_size))
            squares.append(self.processor.letterbox(pixels))
            del pixels  # of a large image: before the next is read
        return boxes, squares

    def _chances(self, view: "_View") -> dict[str, float]:
        """The calibrated presence of each request, never above that of a label above it, all of which were read."""
        if view.output is None:
            return {}
        logits_K = view.output.presence[view.index, : len(view.phrases)].float().cpu().numpy()
        known = dict(zip(view.phrases, self.calibration.presences(logits_K).tolist(), strict=True))
        return {p: min(known[name] for name in (p, *load_labels().ancestors(p))) for p in view.requests}

    @torch.inference_mode()
    def _run(self, squares: list[NDArray[np.uint8]], images: Images, phrases: Phrases) -> MedGlipOutput:
        """The dense output; phrases are scored apart, so that chunks of them put together are the same."""
        if self.settings.descriptions:
            phrases = [[with_description(phrase, load_labels()) for phrase in row] for row in phrases]
        inputs = self.processor(squares, phrases, [image.modality for image in images]).to(self.model.device)
        ids, masks = (inputs.pop(name).split(self.settings.phrases_at_once, 1) for name in _PHRASE_INPUTS)
        # the images go through again for each further chunk of phrases
        inputs["with_maps"] = self.features is not None
        outputs = list[MedGlipOutput]()
        for chunk, mask in zip(ids, masks, strict=True):
            go_on()
            outputs.append(self.model(**inputs, input_ids=chunk, attention_mask=mask))
        parts = {name: torch.cat([part[name] for part in outputs], -1) for name in ("logits", "presence")}
        return replace(outputs[0], **parts)

    def _regions(
        self, view: "_View", is_capped: bool, mask_thresholds: tuple[float, float] | None = None
    ) -> list[Region]:
        """Regions of all phrases, best first, in pixels of the original image; `is_capped`: see `GrounderSettings`."""
        mask_thresholds = mask_thresholds or self.calibration.mask_thresholds
        limits, letterbox, output, regions = self.settings, view.letterbox, view.output, list[Region]()
        max_scores = self._chances(view) if is_capped else dict.fromkeys(view.requests, 1.0)
        edges = np.tile(np.array(letterbox.size_px, np.float32), 2)
        for k, phrase in enumerate(view.requests):
            go_on()
            assert output is not None  # a phrase is asked for, so its batch was read
            dense = decode(output, view.index, k, limits.min_score, limits.nms_iou, self.max_found)
            presence = float(output.presence[view.index, k])
            scores_R = self.calibration.scores(dense.scores_R.cpu().numpy(), presence).clip(max=max_scores[phrase])
            boxes_R4 = np.clip(letterbox.inverse(dense.boxes_R4.cpu().numpy()), 0, edges)
            vectors_RD, path = dense.embeddings_RD.cpu().numpy(), load_labels().path(phrase)
            # a region in the padding alone has no area after the clip
            is_region_R = (scores_R >= limits.min_score) & (boxes_R4[:, :2] < boxes_R4[:, 2:]).all(1)
            is_region_R &= (np.arange(len(scores_R)) < self.max_faint) | (scores_R >= self.threshold)
            rows = np.flatnonzero(is_region_R & (scores_R >= limits.mask_min_score)).tolist()
            points = dense.points_R[rows]
            logits = mask_logits(output.coefficients[view.index, points], output.prototypes[view.index])
            chances = dict(zip(rows, logits.sigmoid().cpu().numpy(), strict=True))
            for r in np.flatnonzero(is_region_R).tolist():
                box, vector, score = boxes_R4[r], vectors_RD[r], float(scores_R[r])
                mask = mask_in(box, chances[r], letterbox, mask_thresholds) if r in chances else None
                regions.append(
                    Region(phrase=phrase, box_xyxy_px=box, mask=mask, score=score, embedding=vector, path=path)
                )
        if output is not None:
            regions = self._with_pooled(regions, output, view.index, letterbox)
        return sorted(regions, key=lambda region: (-region.score, region.phrase))

    @torch.inference_mode()
    def _with_pooled(
        self, regions: list[Region], output: MedGlipOutput, index: int, letterbox: Letterbox
    ) -> list[Region]:
        """The regions of one image with what the image tower's maps hold in them, if the core has scales for that."""
        if self.features is None or not regions:
            return regions
        weights_Rss = torch.from_numpy(region_weights(regions, letterbox)).to(self.model.device)
        maps = [map_BCHW[index] for map_BCHW in output.feature_maps or ()]
        pooled = [vectors_RC.cpu().numpy() for vectors_RC in self.features.scales.pool(maps, weights_Rss)]
        return [replace(region, pooled=tuple(vectors)) for region, *vectors in zip(regions, *pooled, strict=True)]


def mask_in(
    box: Boxes, chance_ss: NDArray[np.float32], letterbox: Letterbox, thresholds: tuple[float, float]
) -> NDArray[np.bool_] | None:
    """The mask of a region in the original image; of a large one the box alone is computed, a few rows at a time."""
    width, height = letterbox.size_px
    if width * height <= LARGE_PX:
        return cut_at(letterbox.inverse_map(chance_ss), box, thresholds)
    x0, y0, x1, y1 = *np.floor(box[:2]).astype(int), *np.ceil(box[2:]).astype(int)

    def cut(threshold: float) -> NDArray[np.bool_] | None:
        mask = np.zeros((height, width), bool)  # what is not written takes no memory
        for part in strips(y1 - y0, width):
            rows = slice(y0 + part.start, y0 + part.stop)
            mask[rows, x0:x1] = letterbox.inverse_map(chance_ss, rows)[:, x0:x1] > threshold
        return mask if mask.any() else None

    mask = cut(0.5)
    threshold = thresholds[0 if is_thin(mask, box) else 1]
    return mask if threshold == 0.5 else cut(threshold)


def cut_at(chance_HW: NDArray[np.float32], box: Boxes, thresholds: tuple[float, float]) -> NDArray[np.bool_] | None:
    """The pixels in the box above a threshold: the first one for what is thin at 0.5."""
    mask = cut_mask(chance_HW > 0.5, box)
    threshold = thresholds[0 if is_thin(mask, box) else 1]
    return mask if threshold == 0.5 else cut_mask(chance_HW > threshold, box)


def is_thin(mask_HW: NDArray[np.bool_] | None, box: Boxes) -> bool:
    """Whether a mask fills little of its box, as vessels do: the first of `Calibration.mask_thresholds` is for it."""
    return mask_HW is None or bool(mask_HW.sum() < THIN_FILL * area(box))


@dataclass(frozen=True, eq=False)
class _View:
    """The output for one image of a batch, at `index` in it; None: no phrase in the whole batch.

    `phrases` were read: the `requests` in the same order, then those above them in the label tree.
    """

    output: MedGlipOutput | None
    index: int
    requests: list[str]
    phrases: list[str]
    letterbox: Letterbox
