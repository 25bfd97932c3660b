"""Region tokens: a projector to the language model's width, and a hook that puts its vectors at the placeholders.

The hook sits on the input embedding layer, so image merging, positions and token types of every family stay untouched.
B batch, T tokens, R regions of one sample, W features and K tokens of a region, H width of the language model.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ...grounding.evidence.forms.tokens import REGION_TOKEN, TokenShape
from ...grounding.model.fusion import NUM_FREQUENCIES, waves

NUM_COORDINATES = 6
"""Of a box its two corners and its centre; the longest wave is two images long, the shortest a quarter of one."""


class RegionProjector(nn.Module):
    """Region features to vectors that look like embedded words: their norm starts at the mean norm of those.

    Each kind of token (embedding, pooled features of a stride) comes in through a layer of its own, all with the place;
    the rest is shared. Where a box lies comes in as waves, too (Fourier features, Tancik et al. 2020,
    https://arxiv.org/abs/2006.10739): of coordinates between 0 and 1 alone a layer learns hardly more in a short
    training than what grows along an axis.
    """

    def __init__(self, shape: TokenShape, hidden_size: int, mean_norm: float = 1.0):
        super().__init__()
        self.shape = shape
        enter = nn.Linear(shape.embedding_dim + shape.position_dim, hidden_size)
        self.layers = nn.Sequential(enter, nn.GELU(), nn.Linear(hidden_size, hidden_size))
        self.norm = nn.LayerNorm(hidden_size)
        nn.init.constant_(self.norm.weight, mean_norm / hidden_size**0.5)
        self.place = nn.Linear(2 * NUM_COORDINATES * NUM_FREQUENCIES, hidden_size, bias=False)
        with torch.no_grad():  # vectors of a core have length 1: many parts of about 0.1 would say less than the place
            enter.weight[:, : shape.embedding_dim] *= shape.embedding_dim**0.5
        # pooled features are standardised: their parts are about 1 already
        self.enter_pooled = nn.ModuleList(nn.Linear(dim + shape.position_dim, hidden_size) for dim in shape.pooled_dims)

    def forward(self, features_RW: Tensor) -> Tensor:
        """float32[R, W] (`token_features`) to float[R * K, H]: the K tokens of a region one after another."""
        enter, bend, leave = self.layers
        dims = [self.shape.embedding_dim, *self.shape.pooled_dims, self.shape.position_dim]
        *parts, position_RP = features_RW.split(dims, dim=1)
        place_RH = self.place(waves(position_RP[:, :NUM_COORDINATES], math.pi, order="by_coordinate"))
        entered = [
            layer(torch.cat([part, position_RP], dim=1)) + place_RH
            for layer, part in zip([enter, *self.enter_pooled], parts, strict=True)
        ]
        return self.norm(leave(bend(torch.stack(entered, dim=1)))).flatten(0, 1)

    def take(self, weights: Mapping[str, Tensor]) -> None:
        """Load saved weights; those of a version without waves compute what they did. Raises `RuntimeError`."""
        self.load_state_dict({"place.weight": torch.zeros_like(self.place.weight), **weights})


def mean_norm(embedding: nn.Module, num_rows: int) -> float:
    """Mean norm of embedded tokens, scaling inside the embedding layer (Gemma) included."""
    ids = torch.arange(min(num_rows, 4096), device=next(embedding.parameters()).device)
    with torch.no_grad():
        return float(embedding(ids).float().norm(dim=-1).mean())


def add_region_token(tokenizer: Any, model: Any) -> int:
    """The id of `<region>`, new rows in the embedding only where it has none left (real checkpoints pad theirs)."""
    tokenizer.add_tokens([REGION_TOKEN], special_tokens=True)
    region_id = int(tokenizer.convert_tokens_to_ids(REGION_TOKEN))
    if region_id >= model.get_input_embeddings().weight.shape[0]:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    return region_id


def pad_layers(model: Any, region_id: int) -> None:
    """Give `<region>` the row of padding wherever each layer has an embedding of its own of the tokens (Gemma 4)."""
    config = model.config.get_text_config()
    if not getattr(config, "hidden_size_per_layer_input", 0):
        return
    pad_id = int(config.pad_token_id or 0)

    def hook(_module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (args[0].masked_fill(args[0] == region_id, pad_id), *args[1:])

    model.get_per_layer_input_embeddings().register_forward_pre_hook(hook)


class Injector:
    """Writes vectors over the `<region>` rows of the embedded prompt, while `vectors` are given."""

    def __init__(self, embedding: nn.Module, region_id: int):
        self.region_id = region_id
        self.vectors: list[Tensor] | None = None
        self.has_injected = False
        embedding.register_forward_hook(self._hook)

    @contextmanager
    def inject(self, vectors: Sequence[Tensor]) -> Iterator[None]:
        """One float[R_i * K, H] a sample, for calls of the model inside. Raises `ValueError` if none used them."""
        self.vectors, self.has_injected = list(vectors), False
        try:
            yield
            if any(len(v) for v in self.vectors) and not self.has_injected:
                raise ValueError(f"{[len(v) for v in self.vectors]} region vectors were given, 0 were injected")
        finally:
            self.vectors = None

    def _hook(self, module: nn.Module, args: tuple[Tensor, ...], embedded_BTH: Tensor) -> Tensor | None:
        if not args or args[0].ndim != 2:
            return None
        is_region_BT = args[0] == self.region_id
        if not is_region_BT.any():
            # no regions, or a step of decoding; but a prompt that lost its placeholders is caught by `inject`
            return None
        # beams and several return sequences repeat each sample in place: samples 0 1 -> rows 0 0 0 1 1 1
        samples = self.vectors or []
        copies, rest = divmod(len(is_region_BT), len(samples)) if samples else (0, 0)
        if rest:
            raise ValueError(f"{len(is_region_BT)} rows of tokens, {len(samples)} samples of region vectors")
        per_row = [vectors for vectors in samples for _ in range(copies)]
        counts = is_region_BT.sum(1).tolist()
        if counts != [len(v) for v in per_row]:
            raise ValueError(f"{counts} <region> tokens in the rows, {[len(v) for v in per_row]} region vectors")
        self.has_injected = True
        return embedded_BTH.masked_scatter(is_region_BT[..., None], torch.cat(per_row).to(embedded_BTH))
