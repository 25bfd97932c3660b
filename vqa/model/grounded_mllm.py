"""The grounded multimodal LLM: any AutoModelForImageTextToText with LoRA, and region vectors in its prompt.

B batch, K answer tokens, V vocabulary, R regions, W features of a region.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, PeftModel
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForImageTextToText

from ...grounding.assets import ASSETS
from ...grounding.bad_input import BadInput, damaged, explain, in_one_line
from ...grounding.evidence.evidence import EvidenceSettings
from ...grounding.evidence.forms.tokens import OLD_POSITION_DIM, POSITION_DIM, TokenShape
from ...grounding.files import read_object, told_when_full, write_atomic
from ..families import OUR_TOWERS, family_of
from ..prompt.batch import Batch, collate
from ..prompt.prompt import Example, Prompt, render
from ..prompt.shared import share_beginnings
from .identity import FILE as ALIGNED_FILE
from .identity import core_of, knows_regions, start_of
from .lora import add_lora, four_bit, require_four_bit, without_casts
from .processor import load_processor, safe_options
from .region_tokens import Injector, RegionProjector, add_region_token, mean_norm, pad_layers
from .settings import MllmSettings, dtype_here
from .shipped import OUR_FILE as OUR_FILE
from .shipped import shipped_folder
from .small_default import default_folder
from .speed import LabelledOnly, use_grouped_attention

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
PROJECTOR_FILE = "region_projector.safetensors"


class GroundedMLLM(nn.Module):
    """A base with LoRA, its processor, and the region projector with its hook.

    Without regions it computes what the base computes, bit for bit (LoRA starts at nothing).
    """

    model: Any

    def __init__(self, model: Any, processor: Any, settings: MllmSettings, shape: TokenShape, base: str):
        super().__init__()
        self.model, self.processor = model, processor
        self.settings, self.base = settings, base
        self.core: dict[str, str] = {}
        self.family = family_of(model.config)
        self.max_tokens = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        vision: Any = getattr(model.config, "vision_config", None)
        self.vision: str | None = getattr(vision, "model_type", None)
        self.letterbox_px: int | None = vision.image_size if self.vision in OUR_TOWERS else None
        embedding = model.get_input_embeddings()
        num_rows, hidden_size = embedding.weight.shape
        self.region_id = int(processor.tokenizer.convert_tokens_to_ids("<region>"))
        self.region_projector = RegionProjector(shape, hidden_size, mean_norm(embedding, num_rows))
        self.injector = Injector(embedding, self.region_id)
        pad_layers(model, self.region_id)
        self.head = LabelledOnly(model.get_output_embeddings())

    @property
    def shape(self) -> TokenShape:
        """What it reads of a region."""
        return self.region_projector.shape

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.region_projector.norm.weight.device

    def render(self, example: Example, evidence_settings: Any) -> Prompt:
        """The example's prompt for this base; see `prompt.render`."""
        return render(example, evidence_settings, self.processor, self.shape, self.letterbox_px, self.family)

    def collate(self, prompts: list[Prompt], by_image: bool = False) -> Batch:
        """The prompts as one batch; see `batch.collate`.

        `by_image`: those that begin alike share a row, see `shared`; for our image tower alone.
        """
        batch = collate(prompts, self.processor, self.max_tokens, self.family)
        if not by_image:
            return batch
        return share_beginnings(batch, prompts, (self.model.config.image_token_id, self.region_id))

    @contextmanager
    def ready(self, features: list[Tensor]) -> Iterator[None]:
        """Calls of `self.model` inside see these regions (float32[R_i, W] a row) and compute in our dtype."""
        is_bf16 = dtype_here(self.settings) == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=is_bf16):
            vectors = [self.region_projector(rows.to(self.device)) for rows in features]
            with self.injector.inject(vectors):
                yield

    def forward(self, batch: Batch, only_labels: bool = False) -> Tensor:
        """Logits float32[B, K, V] that predict the K labels; for K = 0 those of the next token, float32[B, 1, V].

        `only_labels`: float32[N, V], row by row those alone that predict one of the N labels other than -100.
        """
        num_labels = batch["labels"].shape[1]
        with self.ready(batch["features"]), self.head.at(batch["labels"]) if only_labels else nullcontext():
            inputs = {key: value.to(self.device) for key, value in batch["inputs"].items()}
            logits = self.model(**inputs, logits_to_keep=num_labels + 1).logits
        if only_labels:
            return logits[0].float()
        # position t predicts token t + 1, so the K labels are predicted one position earlier
        return (logits[:, -num_labels - 1 : -1] if num_labels else logits[:, -1:]).float()

    @contextmanager
    def merge_lora(self) -> Iterator[None]:
        """LoRA folded into the weights inside, for faster generation; afterwards the very same weights are back.

        Weights in 4 bit stay as they are: folding would round them anew.
        """
        if self.settings.lora.four_bit:
            yield
            return
        layers: list[Any] = [m for m in self.model.modules() if isinstance(m, LoraLayer)]
        # unmerging subtracts what was added and rounds: only a copy brings back the very same weights
        originals = [layer.get_base_layer().weight.detach().clone() for layer in layers]
        self.model.merge_adapter()
        for layer in layers:  # past peft's wrapper: its few microseconds a layer and token are a tenth of a small model
            layer.forward = layer.get_base_layer().forward
        try:
            yield
        finally:
            for layer in layers:
                del layer.forward
            self.model.unmerge_adapter()
            with torch.no_grad():
                for layer, weight in zip(layers, originals, strict=True):
                    layer.get_base_layer().weight.copy_(weight)

    def save(self, folder: Path, evidence: EvidenceSettings | None = None) -> None:
        """Write the adapter (plain peft), the region projector, the processor and what they belong to.

        `evidence`: what it was trained with, kept for whoever asks it later.
        """
        folder.mkdir(parents=True, exist_ok=True)
        projector = self.region_projector.state_dict().items()
        with told_when_full(folder):
            self.model.save_pretrained(folder, save_embedding_layers=False)
            self.processor.save_pretrained(folder / "processor")
            save_file({name: value.detach().cpu().contiguous() for name, value in projector}, folder / PROJECTOR_FILE)
        ours = self.identity() | ({} if evidence is None else {"evidence": evidence.model_dump(mode="json")})
        write_atomic(folder / OUR_FILE, json.dumps(ours, indent=2))

    def identity(self) -> dict[str, Any]:
        """What an adapter must agree with to be loaded."""
        return {
            "vision": self.vision,
            "base": self.base,
            **asdict(self.shape),
            **_architecture(self.model),
            **({"core": self.core} if self.core else {}),
            "settings": self.settings.model_dump(mode="json"),
        }


def load(
    settings: MllmSettings,
    shape: TokenShape,
    adapter: Path | None = None,
    *,
    vision: Path | None = None,
    allow_download: bool = True,
) -> GroundedMLLM:
    """The base with a fresh or a saved adapter; the same seed gives the same fresh weights.

    `shape`: of the core's region tokens; a saved adapter reads those that it learned. `vision`: the trained core that
    embeds the regions and, for the base `smollm2-135m`, looks at the picture. `allow_download`: a hub name may be
    fetched, else it is read from the hub's local cache. No code of a model's folder is run. Raises `BadInput` for a
    base that is no image-text model, and for an adapter of another one.
    """
    if settings.lora.four_bit:
        require_four_bit()  # before anything large is loaded
    base = resolve(settings.base, vision)
    processor = load_processor(base, allow_download=allow_download)
    model = _load_base(base, settings, allow_download)
    family = family_of(model.config)
    if (dtype := dtype_here(settings)) not in family.dtypes:
        raise BadInput(f"{family.name} overflows in {dtype}.", fix=f"mllm.dtype: {family.dtypes[-1]}")
    add_region_token(processor.tokenizer, model)
    start = adapter
    if start is None and settings.aligned:  # checked: another base or other LoRA settings are refused
        start = start_of(shipped_folder("aligned", settings.aligned), settings.lora.model_dump(mode="json"), base)
    if start is not None:
        shape = _check_adapter(start, model, shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        if start is None:
            lora = add_lora(model, settings.lora, family)
        else:
            # a start was made without dropout, or with its own; an adapter keeps what it was trained with
            lora = without_casts(_load_adapter(model, start, None if adapter else settings.lora.dropout))
        for parameter in lora.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()  # what is trained stays in fp32
        mllm = GroundedMLLM(lora, processor, settings, shape, settings.base)
    mllm.core = core_of(vision)
    if adapter is not None:
        _load_projector(mllm, adapter)
    elif start is not None and knows_regions(start):
        with damaged(start / OUR_FILE):
            theirs = read_object(start / OUR_FILE).get("core", {}).get("sha256")
        if theirs and mllm.core and theirs != mllm.core["sha256"]:
            fix = "align on this recipe's core, or leave out mllm.aligned"
            raise BadInput("learned to read the regions of another core.", file=start, fix=fix)
        _load_projector(mllm, start)
    return mllm.eval()


def _load_adapter(model: Any, folder: Path, dropout: float | None) -> Any:
    """The base with the LoRA weights of a folder, which are safetensors: peft would read a pickle, too.

    `dropout`: on the input of every update; None: as the folder says.
    """
    weights = folder / "adapter_model.safetensors"
    with damaged(weights):
        load_file(weights)  # by itself: where this fails, it is the file
    read_object(folder / "adapter_config.json")
    try:
        config: Any = PeftConfig.from_pretrained(str(folder))
        if dropout is not None:
            config.lora_dropout = dropout
        return PeftModel.from_pretrained(model, str(folder), is_trainable=True, config=config)
    except Exception as error:  # of whatever class: see `damaged`
        problem = f"adapter of another architecture: {in_one_line(error)}"
        raise BadInput(problem, file=folder, fix="load it with the base it was trained with") from error


def _load_projector(mllm: GroundedMLLM, adapter: Path) -> None:
    """Take over a saved region projector; a shipped aligned adapter that saw no regions has none."""
    file = adapter / PROJECTOR_FILE
    if file.is_file():
        with damaged(file):
            weights = load_file(file)
        fix = "load it with the core and base it was trained with"
        with explain("region projector of another architecture", RuntimeError, KeyError, file=file, fix=fix):
            mllm.region_projector.take(weights)
    elif knows_regions(adapter) or not (adapter / ALIGNED_FILE).is_file():
        raise BadInput("the adapter's region projector is missing.", file=file, fix="copy the folder again, whole")


def resolve(base: str, vision: Path | None) -> str:
    """Folder or hub name of a base; that of `smollm2-135m` is put together with a core's image tower."""
    if base == "smollm2-135m":
        return str(default_folder(vision))
    if base in ASSETS:
        fix = "mllm.base: smollm2-135m, a folder or a hub name"
        raise BadInput(f"the asset {base!r} is no language model.", fix=fix)
    return base


def _load_base(base: str, settings: MllmSettings, allow_download: bool) -> Any:
    dtype, options = DTYPES[dtype_here(settings)], safe_options(allow_download)
    try:
        if settings.lora.four_bit:
            family = family_of(AutoConfig.from_pretrained(base, **options))
            options |= {"quantization_config": four_bit(family, dtype), "device_map": {"": torch.cuda.current_device()}}
        model: Any = AutoModelForImageTextToText.from_pretrained(base, dtype=dtype, **options)
    except torch.OutOfMemoryError:  # of a GPU: nothing is wrong with the base
        raise
    except Exception as error:  # of whatever class: see `damaged`
        fix = "mllm.base: smollm2-135m, a model folder, or a hub name"
        raise BadInput(f"no image-text model: {in_one_line(error)}", file=base, fix=fix) from error
    if not torch.cuda.is_available():
        use_grouped_attention(model)
    elif not settings.lora.four_bit:
        model.to("cuda")
    return model


def _check_adapter(adapter: Path, model: Any, shape: TokenShape) -> TokenShape:
    """The shape of the region tokens that an adapter reads: its own, or the core's where it never saw a region."""
    file = adapter / OUR_FILE
    if not file.is_file():
        raise BadInput("no adapter of ours.", file=adapter, fix="give a folder that `medglip run` or `save` wrote")
    saved = read_object(file)
    # adapters of before do not say it: one token a region, and nothing of slices
    with damaged(file):
        pooled = tuple(int(dim) for dim in saved.get("pooled_dims", ()))
        position_dim = int(saved.get("position_dim", OLD_POSITION_DIM))
    here = {"embedding_dim": shape.embedding_dim, **_architecture(model)}
    here |= {"pooled_dims": list(shape.pooled_dims)} if pooled and pooled != shape.pooled_dims else {}
    here |= {} if position_dim in (OLD_POSITION_DIM, POSITION_DIM) else {"position_dim": POSITION_DIM}
    wrong = [f"{key} {saved.get(key)!r}, here {value!r}" for key, value in here.items() if saved.get(key) != value]
    if wrong:
        fix = f"load it with the base {saved.get('base')!r} and the core it was trained with"
        raise BadInput(f"adapter of another architecture: {'; '.join(wrong)}.", file=adapter, fix=fix)
    if not (adapter / PROJECTOR_FILE).is_file():
        return shape
    return TokenShape(shape.embedding_dim, pooled, position_dim)


def _architecture(model: Any) -> dict[str, Any]:
    text = model.config.get_text_config()
    width, depth = int(text.hidden_size), int(text.num_hidden_layers)
    return {"model_type": model.config.model_type, "hidden_size": width, "num_layers": depth}
