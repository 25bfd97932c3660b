"""Fine-tune a detector of the DINO family on annotated images; the one loop, our own loss.

The loss of transformers (5.17 to 5.23) takes the tokens of a box from the caption of another image, from the third
image of a batch on: it shifts labels by the phrase count of the same image, not of those before it. Here every box
carries the tokens of its own phrases, so nothing is shifted.
B batch, K phrases, G true boxes, Q queries, T text tokens, S side of the square input.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor, nn
from transformers.loss.loss_grounding_dino import GroundingDinoHungarianMatcher

from ..bad_input import BadInput
from ..datasets.schema import split_of
from ..datasets.settings import DataSettings
from ..files import claim_folder, sha256, told_when_full, write_atomic
from ..grounder import Grounder
from ..grounders.zero_shot import DINO, ZeroShotGrounder, dino_prompt, padded_prompts, to_corners
from ..model.losses import focal_loss, giou
from ..settings import validate as validated
from .checkpoint import OTHER_TRAINING, finished_steps
from .examples import Draw, chances, datasets_of, draw, load_examples
from .loop import fit, processes
from .settings import FineTuneSettings

CLASS_WEIGHT, BOX_WEIGHT, GIOU_WEIGHT = 2.0, 5.0, 2.0
"""Of the focal loss, the L1 distance and 1 - GIoU (Grounding DINO, Liu et al., ECCV 2024, and its code)."""


@dataclass(frozen=True)
class DinoTarget:
    """Truth of one image: boxes float[G, 4] (centre x, y, width, height, in 0..1), their tokens bool[G, T].

    `known_T` bool[T]: not the tokens of phrases that the data set does not annotate. Of those is only known what the
    true boxes are not; `within_GT` bool[G, T]: but for phrases that a box may lie within.
    """

    boxes_G4: Tensor
    tokens_GT: Tensor
    known_T: Tensor
    within_GT: Tensor

    def to(self, device: torch.device) -> "DinoTarget":
        """The same on a device."""
        return DinoTarget(**{name: tensor.to(device) for name, tensor in vars(self).items()})


def fine_tune(
    grounder: ZeroShotGrounder,
    images: Dataset,
    settings: FineTuneSettings,
    out_dir: Path,
    *,
    sets: Sequence[DataSettings] = (),
) -> Path:
    """Train the detector in place on the split `train` (`IMAGE_FEATURES`); return the folder it is saved in.

    `ZeroShotGrounder.from_pretrained` reads that folder, `out_dir / "model"`. `sets`: weights and rehearsal, as in
    `train`. A second call goes on after the last checkpoint, or returns at once. What could not be read is listed in
    `skipped.jsonl`. Raises `BadInput` for a detector of another family, for no readable example, and for an `out_dir`
    that holds a training of another detector, other settings (more steps are fine) or other images.
    """
    check_tunable(grounder)
    folder, model, processor = out_dir / "model", grounder.model, grounder.processor
    rows = split_of(images, "train")
    own = settings.model_dump(mode="json", exclude={"train": {"steps", "tracker"}, "memory_gb": True})
    images_hash = sha256(json.dumps([list(rows[name]) for name in ("dataset", "image_id", "phrases")]))
    ingredients = own | {"detector": grounder.fingerprint, "studies": images_hash}
    file = out_dir / "settings.json"

    def with_defaults(theirs: dict[str, Any]) -> dict[str, Any]:  # what a later version added, as its default
        known = validated(FineTuneSettings, {key: theirs[key] for key in theirs.keys() & own.keys()}, file)
        return theirs | known.model_dump(mode="json", exclude={"train": {"steps", "tracker"}, "memory_gb": True})

    claim_folder(file, ingredients, OTHER_TRAINING, upgrade=with_defaults)
    if finished_steps(folder) >= settings.train.steps:
        return folder
    examples = load_examples(rows, settings.image_size, settings.memory_gb, out_dir / "skipped.jsonl")
    prepare(model, processor, settings)
    fit(
        model,
        examples,
        prepare=partial(draw, settings=settings.draw),
        collate=partial(collate, processor=processor, max_text_len=model.config.max_text_len),
        loss=losses_of,
        settings=settings.train,
        out_dir=out_dir,
        weights=chances(datasets_of(examples, rows), sets, settings),
        name="fine-tuning",
    )
    if processes().is_main_process:
        (folder / "finished.json").unlink(missing_ok=True)
        with told_when_full(out_dir):
            model.save_pretrained(folder)
            processor.save_pretrained(folder)
        write_atomic(folder / "finished.json", json.dumps({"steps": settings.train.steps}))
    processes().wait_for_everyone()
    return folder


def check_tunable(grounder: Grounder) -> None:
    """Raises `BadInput` for all but detectors of the DINO family."""
    kind = grounder.model.config.model_type if isinstance(grounder, ZeroShotGrounder) else "medglip"
    if kind not in DINO:
        fix = "`medglip grounding train`" if kind == "medglip" else f"a detector of {' or '.join(DINO)}"
        raise BadInput(f"a checkpoint of {kind!r} cannot be fine-tuned here.", fix=f"take {fix}")


def prepare(model: Any, processor: Any, settings: FineTuneSettings) -> None:
    """Give the model our loss and, with its processor, the square input that both remember when they are saved."""
    model.loss_function = dino_loss
    model.config.letterbox_px = settings.image_size
    processor.image_processor.size = {"height": settings.image_size, "width": settings.image_size}
    if settings.freeze_towers:
        for tower in (model.model.backbone, model.model.text_backbone):
            tower.requires_grad_(False)


def collate(draws: list[Draw], processor: Any, max_text_len: int) -> dict[str, Any]:
    """A batch for `losses_of`: images, one prompt an image, and `labels`, the truth of each."""
    tokenizer = processor.tokenizer
    prompts = [dino_prompt(tokenizer, one.phrases, max_text_len) for one in draws]
    images = processor.image_processor(images=[one.square for one in draws], return_tensors="pt")
    labels = []
    for one, prompt in zip(draws, prompts, strict=True):
        tokens_KT = prompt.positive_KT(max_text_len)
        low, high = (one.target.boxes_G4 / len(one.square)).split(2, 1)
        target = DinoTarget(
            boxes_G4=torch.cat([(low + high) / 2, high - low], 1),
            tokens_GT=one.target.labels_GK.float() @ tokens_KT > 0,
            known_T=(~one.target.known_K).float() @ tokens_KT == 0,  # not in any phrase without annotation
            within_GT=one.target.within_GK.float() @ tokens_KT > 0,
        )
        labels.append(target)
    return {**images, **padded_prompts(prompts, tokenizer.pad_token_id), "labels": labels}


def losses_of(model: nn.Module, batch: Mapping[str, Any]) -> dict[str, Tensor]:
    """Run a detector whose `loss_function` is `dino_loss` on a batch of `collate`."""
    return model(**batch).loss_dict


def dino_loss(
    logits: Tensor,
    labels: Sequence[DinoTarget],
    _device: Any,
    _boxes: Tensor,
    config: Any,
    _label_maps: Any,
    text_mask: Tensor,
    *,
    outputs_class: Tensor,
    outputs_coord: Tensor,
    encoder_logits: Tensor | None = None,
    encoder_pred_boxes: Tensor | None = None,
) -> tuple[Tensor, dict[str, Tensor], None]:
    """The loss over every decoder layer and the encoder's proposals, called by the model's own forward pass.

    `outputs_class` float[layers, B, Q, T] logits, `outputs_coord` float[layers, B, Q, 4]; `text_mask` bool[B, Q, T].
    Returns the loss, its parts for the log (`loss`, `phrase`, `box`, `giou`, of the last layer but for `loss`), None.
    """
    costs = {name: getattr(config, name) for name in ("class_cost", "bbox_cost", "giou_cost")}
    matcher = GroundingDinoHungarianMatcher(**costs)
    truths = [one.to(logits.device) for one in labels]
    outputs = list(zip(outputs_class, outputs_coord, strict=True))
    if encoder_logits is not None and encoder_pred_boxes is not None:
        outputs.insert(0, (encoder_logits, encoder_pred_boxes))
    parts = [layer_losses(logit.float(), boxes.float(), text_mask[:, :1], truths, matcher) for logit, boxes in outputs]
    loss = sum((part["loss"] for part in parts), logits.new_zeros(()))
    return loss, parts[-1] | {"loss": loss}, None


def layer_losses(
    logits_BQT: Tensor, boxes_BQ4: Tensor, text_mask_B1T: Tensor, truths: Sequence[DinoTarget], matcher: nn.Module
) -> dict[str, Tensor]:
    """Focal loss over the tokens of each caption, L1 and 1 - GIoU of matched boxes; sums over the number of boxes."""
    # each true box is a class of its own, named by its tokens
    names = [truth.tokens_GT.to(logits_BQT) for truth in truths]
    outputs = {"logits": logits_BQT, "pred_boxes": boxes_BQ4, "label_maps": names}
    classes = [torch.arange(len(truth.boxes_G4), device=logits_BQT.device) for truth in truths]
    targets = [{"class_labels": own, "boxes": t.boxes_G4} for own, t in zip(classes, truths, strict=True)]
    pairs = matcher(outputs, targets)  # for each image the matched queries and their true boxes
    num_boxes = max(1, sum(len(truth.boxes_G4) for truth in truths))
    # Caption "liver . tumor ." where livers alone are annotated; query 0 is matched with the liver, query 1 with none:
    #              query 0    query 1
    #     liver       1          0
    #     tumor       0       does not count: there may be one
    wanted_BQT = torch.zeros_like(logits_BQT)
    counts_BQT = torch.ones_like(logits_BQT, dtype=torch.bool)
    for i, (truth, (queries, rows)) in enumerate(zip(truths, pairs, strict=True)):
        wanted_BQT[i, queries] = truth.tokens_GT[rows].to(wanted_BQT)
        counts_BQT[i] = truth.known_T
        counts_BQT[i, queries] = ~truth.within_GT[rows]
    counts_BQT = counts_BQT & text_mask_B1T
    safe_BQT = logits_BQT.masked_fill(~text_mask_B1T, 0)  # padded tokens are minus infinity
    phrase = (focal_loss(safe_BQT, wanted_BQT) * counts_BQT).sum() / num_boxes
    matched_P4 = torch.cat([boxes_BQ4[i, queries] for i, (queries, _) in enumerate(pairs)])
    true_P4 = torch.cat([truth.boxes_G4[rows] for truth, (_, rows) in zip(truths, pairs, strict=True)])
    box = (matched_P4 - true_P4).abs().sum() / num_boxes
    overlap = (1 - giou(to_corners(matched_P4), to_corners(true_P4))).sum() / num_boxes
    loss = CLASS_WEIGHT * phrase + BOX_WEIGHT * box + GIOU_WEIGHT * overlap
    return {"loss": loss, "phrase": phrase, "box": box, "giou": overlap}
