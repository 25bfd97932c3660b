"""Any transformers zero-shot detector as a `Grounder`, by name or folder: (MM-)Grounding-DINO and OWL-ViT / OWLv2, and
those of `detectors`: OmDet-Turbo, Florence-2, SAM 3.

P phrases of one pass, Q queries of the detector, T text tokens, D width. The phrase of a region is known from the
position of its tokens in the prompt, never from text that the detector gives back.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoConfig, AutoModelForZeroShotObjectDetection, AutoProcessor

from ..bad_input import BadInput, in_one_line
from ..geometry import Boxes, Letterbox, cut_mask, to_rgb
from ..grounder import Grounder, Images, Phrases, unique_phrases
from ..imaging.read import read_image
from ..model.decode import nms
from ..model.losses import box_area
from ..parts.giving_up import go_on
from ..settings import Settings
from ..types import Region
from ..vocabulary.labels import load_labels
from .detectors import MODULES, Detected, Parts, module_of
from .fingerprint import update_with_weights

DINO = ("grounding-dino", "mm-grounding-dino")
"""Detectors that score tokens of one prompt, and whose queries read the text: one phrase a prompt here."""
OWL = ("owlvit", "owlv2")
"""Detectors that encode each phrase alone."""


class ZeroShotSettings(Settings):
    """Which part of a detector's output becomes regions."""

    max_per_phrase: int = Field(default=20, gt=0)
    """At most this many regions per phrase, best first."""
    min_score: float = Field(default=0.05, ge=0, le=1)
    """Regions below this score are left out."""
    nms_iou: float = Field(default=0.7, gt=0, le=1)
    """Of two boxes of a phrase that overlap by more, the better one stays; 1 keeps all."""
    batch_size: int = Field(default=8, gt=0)
    """Phrases of one image that the detector sees at once."""


class ZeroShotGrounder(Grounder):
    """A zero-shot detector. Regions of a phrase depend on image and that phrase alone; SAM 3's alone have masks.

    Every phrase has a prompt of its own: in the DINO family phrases of one prompt reach each other through the image,
    so that joined prompts would make scores depend on what else is asked, and in which order. A DINO score is the mean
    over the phrase's tokens, as in MM-Grounding-DINO. The image backbone runs once for the phrases of a pass.
    """

    def __init__(self, model: Any, processor: Any, settings: ZeroShotSettings | None = None):
        _check_family(model.config.model_type, None)
        self.module = module_of(model.config)
        self.model, self.processor, self.settings = model.eval(), processor, settings or ZeroShotSettings()
        config, tokenizer = model.config, json.loads(processor.tokenizer.backend_tokenizer.to_str())
        # of the detector's query states (DINO) or class embeddings (OWL)
        if self.module is None:
            self.embedding_dim = config.d_model if config.model_type in DINO else config.text_config.hidden_size
        # weights, architecture, preparation and limits: the same before and after saving
        parts = [
            self.settings.model_dump(exclude={"batch_size"}),
            _essential(config.to_dict()),
            _essential(processor.image_processor.to_dict()),
            # how the last call padded and truncated is left out
            {name: part for name, part in tokenizer.items() if name not in ("padding", "truncation")},
        ]
        digest = hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode())
        update_with_weights(digest, model.state_dict())
        self.fingerprint = digest.hexdigest()

    @classmethod
    def from_pretrained(
        cls,
        name: Path | str,
        device: str | torch.device | None = None,
        settings: ZeroShotSettings | None = None,
        *,
        local_files_only: bool = True,
    ) -> "ZeroShotGrounder":
        """Load a folder, or a hub name from the local cache; from the hub only without `local_files_only`.

        No remote code, safetensors only. Raises `BadInput` for a name that is not there, another kind of model, and
        weights that are not all in the file.
        """
        options = {"local_files_only": local_files_only, "trust_remote_code": False}
        try:
            config = AutoConfig.from_pretrained(name, **options)
            _check_family(config.model_type, name)
            module = module_of(config, name)
            load = (module.AUTO if module else AutoModelForZeroShotObjectDetection).from_pretrained
            model, info = load(name, use_safetensors=True, output_loading_info=True, **options)
            processor = (Parts if module else AutoProcessor).from_pretrained(name, **options)
        except BadInput:
            raise
        except Exception as error:  # of whatever class: see `damaged`
            reason = in_one_line(error)
            fix = "give the folder of a detector, or a hub name that was downloaded (or allow the download)"
            raise BadInput(f"no zero-shot detector: {reason}", file=name, fix=fix) from error
        if missing := sorted(info["missing_keys"]):
            problem = f"{len(missing)} weights are not in the file, first {missing[0]!r}."
            raise BadInput(problem, file=name, fix="save the whole detector")
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        return cls(model.to(device), processor, settings)

    def ground(self, images: Images, phrases: Phrases) -> list[list[Region]]:
        """For each image the regions of its phrases, best first. Raises `BadInput` for an unreadable image."""
        grounded, size = list[list[Region]](), self.settings.batch_size
        for annotated, row in zip(images, phrases, strict=True):
            names, regions = unique_phrases(row), list[Region]()
            if names:
                image = read_image(annotated.image_path)
                pixels = self._pixels(image)
                for chunk in (names[start : start + size] for start in range(0, len(names), size)):
                    go_on()
                    detected = self._detect(pixels, chunk)
                    regions += [r for k, name in enumerate(chunk) for r in self._regions(detected, k, name, image.size)]
            grounded.append(sorted(regions, key=lambda region: (-region.score, region.phrase)))
        return grounded

    def _pixels(self, image: Image.Image) -> dict[str, Tensor]:
        """The processor's tensors of one image; letterboxed first where the detector was trained so."""
        side = getattr(self.model.config, "letterbox_px", None)
        image = Letterbox(image.size, side).image(image) if side else to_rgb(image)
        tensors = self.processor.image_processor(images=[image], return_tensors="pt")
        return {name: value.to(self.model.device) for name, value in tensors.items()}

    @torch.inference_mode()
    def _detect(self, pixels: dict[str, Tensor], phrases: Sequence[str]) -> Detected:
        model, tokenizer, num = self.model, self.processor.tokenizer, len(phrases)
        if self.module:
            return self.module.detect(model, self.processor, pixels, phrases)
        if model.config.model_type in OWL:
            words = [phrase.lower() for phrase in phrases]
            length = model.config.text_config.max_position_embeddings
            text = tokenizer(words, padding="max_length", truncation=True, max_length=length, return_tensors="pt")
            output = model(**pixels, **{name: text[name].to(model.device) for name in ("input_ids", "attention_mask")})
            boxes_PQ4, embeddings_PQD = (x.expand(num, -1, -1) for x in (output.pred_boxes, output.class_embeds))
            return Detected(boxes_PQ4, output.logits[0].sigmoid().T, embeddings_PQD)
        prompts = [dino_prompt(tokenizer, [phrase], model.config.max_text_len) for phrase in phrases]
        text = {name: x.to(model.device) for name, x in padded_prompts(prompts, tokenizer.pad_token_id).items()}
        images = {name: x.expand(num, *x.shape[1:]) for name, x in pixels.items()}
        with _share_backbone(model.model.backbone, num):
            output = model(**images, **text)
        probabilities_PQT = output.logits.sigmoid()
        spans_PT = torch.cat([p.positive_KT(probabilities_PQT.shape[-1]) for p in prompts]).to(probabilities_PQT)
        # mean over the phrase's own tokens, as the detector was trained
        scores_PQ = torch.einsum("pqt,pt->pq", probabilities_PQT, spans_PT) / spans_PT.sum(-1, keepdim=True)
        return Detected(output.pred_boxes, scores_PQ, output.last_hidden_state)

    def _regions(self, detected: Detected, k: int, phrase: str, size_px: tuple[int, int]) -> Iterator[Region]:
        """Regions of one phrase in pixels of the original image; what lies outside of it is dropped."""
        limits, edges, config = self.settings, torch.tensor([*size_px, *size_px]), self.model.config
        # boxes are parts of the image, or of a square of its longer side, padded at the right and bottom
        is_padded = config.model_type == "owlv2" or getattr(config, "letterbox_px", None)
        seen_px = torch.tensor([max(size_px)] * 4 if is_padded else [*size_px, *size_px], dtype=torch.float32)
        boxes_Q4 = to_corners(detected.boxes_PQ4[k].float().cpu()) * seen_px
        boxes_Q4 = torch.minimum(boxes_Q4.clamp(min=0), edges)
        scores_Q = detected.scores_PQ[k].float().cpu().clamp(0, 1)
        chosen = ((scores_Q >= limits.min_score) & (box_area(boxes_Q4) > 0)).nonzero()[:, 0]
        chosen = chosen[nms(boxes_Q4[chosen], scores_Q[chosen], limits.nms_iou)[: limits.max_per_phrase]]
        path = load_labels().path(phrase)
        embeddings, masks = detected.embeddings_PQD, detected.masks_PQhw
        for q in chosen.tolist():
            box = boxes_Q4[q].numpy()
            yield Region(
                phrase=phrase,
                box_xyxy_px=box,
                mask=None if masks is None else mask_of(masks[k, q], size_px, box),
                score=float(scores_Q[q]),
                embedding=None if embeddings is None else embeddings[k, q].float().cpu().numpy(),
                path=path,
            )


def mask_of(chances_hw: Tensor, size_px: tuple[int, int], box_xyxy_px: Boxes) -> NDArray[np.bool_] | None:
    """The likely pixels of a grid over the whole image, in its box; None where there are none."""
    size = (size_px[1], size_px[0])
    chances = nn.functional.interpolate(chances_hw[None, None].float(), size, mode="bilinear", align_corners=False)
    return cut_mask((chances[0, 0] > 0.5).cpu().numpy(), box_xyxy_px)


def to_corners(boxes_cxcywh: Tensor) -> Tensor:
    """Centre x, y, width, height to x0, y0, x1, y1 over the last axis."""
    centre, half = boxes_cxcywh[..., :2], boxes_cxcywh[..., 2:] / 2
    return torch.cat([centre - half, centre + half], -1)


@dataclass(frozen=True)
class Prompt:
    """Token ids of "[CLS] phrase . phrase . [SEP]" and the half-open span of each phrase in them."""

    ids: list[int]
    spans: list[tuple[int, int]]

    def positive_KT(self, width: int) -> Tensor:
        """float[K, width]: 1 at the tokens of each phrase."""
        positions_T = torch.arange(width)
        return torch.stack([((positions_T >= start) & (positions_T < stop)).float() for start, stop in self.spans])


def dino_prompt(tokenizer: Any, phrases: Sequence[str], max_tokens: int) -> Prompt:
    """The DINO family's prompt: lower case, each phrase ended by a full stop, at most `max_tokens` in all.

    Full stops and question marks inside a phrase would end it, so they become blanks; phrases that are too long lose
    their ends. Raises `BadInput` for a phrase without a word, and for more phrases than tokens.
    """
    ids, spans = [tokenizer.cls_token_id], list[tuple[int, int]]()
    room = (max_tokens - 2) // max(1, len(phrases)) - 1  # [CLS] and [SEP] off; of each phrase its full stop
    if room < 1:
        raise BadInput(f"{len(phrases)} phrases in a prompt of {max_tokens} tokens.", fix="ask for fewer at once")
    stop = tokenizer.convert_tokens_to_ids(".")
    for phrase in phrases:
        words = phrase.lower().replace(".", " ").replace("?", " ")
        tokens = tokenizer(words, add_special_tokens=False)["input_ids"][:room]
        if not tokens:
            raise BadInput(f"phrase {phrase!r} has no word.", fix="leave it out of the list")
        spans.append((len(ids), len(ids) + len(tokens)))
        ids += [*tokens, stop]
    return Prompt(ids=[*ids, tokenizer.sep_token_id], spans=spans)


def padded_prompts(prompts: Sequence[Prompt], pad_id: int) -> dict[str, Tensor]:
    """`input_ids`, `attention_mask` and `token_type_ids`, int64[P, T], of prompts of any length."""
    rows = [torch.tensor(prompt.ids) for prompt in prompts]
    ids_PT = pad_sequence(rows, batch_first=True, padding_value=pad_id)
    mask_PT = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
    return {"input_ids": ids_PT, "attention_mask": mask_PT, "token_type_ids": torch.zeros_like(ids_PT)}


@contextmanager
def _share_backbone(backbone: nn.Module, num: int) -> Iterator[None]:
    """Inside, a batch of `num` times the same image goes through the backbone once."""

    def repeat(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        features, positions = output
        many = [tuple(x.expand(num, *x.shape[1:]) for x in level) for level in features]
        return many, [x.expand(num, *x.shape[1:]) for x in positions]

    first = backbone.register_forward_pre_hook(lambda _module, inputs: tuple(x[:1] for x in inputs))
    with first, backbone.register_forward_hook(repeat):  # both are removed at the end
        yield


def _check_family(model_type: str, file: Path | str | None) -> None:
    if model_type not in (known := (*DINO, *OWL, *MODULES)):
        valid = ", ".join(known)
        raise BadInput(f"a checkpoint of {model_type!r}, no zero-shot detector.", file=file, fix=f"known: {valid}")


def _essential(config: Any) -> Any:
    """A configuration without what saving and loading writes into it."""
    if not isinstance(config, dict):
        return config
    added = ("_name_or_path", "architectures", "dtype", "transformers_version")
    return {name: _essential(value) for name, value in config.items() if name not in added}
