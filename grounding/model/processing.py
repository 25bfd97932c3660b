"""Images and phrases to tensors: letterbox, normalise, tokenise. Saved beside the weights.

B batch, K phrases of the longest list, L tokens of the longest phrase, S side of the square input in pixels.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import WordPiece
from torch import Tensor
from transformers import AutoProcessor, BatchFeature, PreTrainedTokenizerFast, ProcessorMixin

from ..geometry import Letterbox
from .config import PIXEL_MEAN, PIXEL_STD, TEN_MODALITIES, MedGlipConfig

CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,;:-/()%+'&<>=_"
MAX_WORDS = 8000


def train_tokenizer(phrases: Iterable[str]) -> PreTrainedTokenizerFast:
    """A lower-casing tokenizer that knows the words of the phrases; any other word falls into parts and characters."""
    normalise_str, split = _NORMALIZER.normalize_str, _PRE_TOKENIZER.pre_tokenize_str
    words = Counter(word for phrase in phrases for word, _ in split(normalise_str(phrase)))
    pieces = ["[PAD]", "[UNK]", *CHARACTERS, *(f"##{c}" for c in CHARACTERS)]
    ordered = sorted(words, key=lambda word: (-words[word], word))[:MAX_WORDS]
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys([*pieces, *ordered]))}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = _NORMALIZER
    tokenizer.pre_tokenizer = _PRE_TOKENIZER
    tokenizer.decoder = decoders.WordPiece()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")


_NORMALIZER = normalizers.BertNormalizer(lowercase=True, strip_accents=True)
_PRE_TOKENIZER = pre_tokenizers.BertPreTokenizer()


class MedGlipProcessor(ProcessorMixin):
    """Letterboxed, normalised images and tokenised phrases; `image_size` is the side S.

    `modalities`: those of the core, in its order (`MedGlipConfig.modalities`); any other is `unknown`.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        image_size: int = 192,
        max_phrase_tokens: int = 16,
        modalities: Sequence[str] = TEN_MODALITIES,
    ):
        super().__init__(tokenizer)
        self.image_size, self.max_phrase_tokens, self.modalities = image_size, max_phrase_tokens, list(modalities)

    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        images: Sequence[Image.Image | NDArray[np.uint8]],
        phrases: Sequence[Sequence[str]],
        modalities: Sequence[str],
    ) -> BatchFeature:
        """What `MedGlipModel.forward` takes. An array is taken as letterboxed already: uint8[S, S, 3]."""
        squares = [image if isinstance(image, np.ndarray) else self.letterbox(image) for image in images]
        input_ids, attention_mask = self.tokenize(phrases)
        known = {name: index for index, name in enumerate(self.modalities)}
        modality_ids = torch.tensor([known.get(name, known["unknown"]) for name in modalities])
        words = {"input_ids": input_ids, "attention_mask": attention_mask, "modality_ids": modality_ids}
        return BatchFeature({"pixel_values": normalise(np.stack(squares)), **words})

    def to_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """As saved; without the modalities of version 0.1, so that its cores keep their files and fingerprints."""
        values = super().to_dict(*args, **kwargs)
        if tuple(self.modalities) == TEN_MODALITIES:
            values.pop("modalities", None)
        return values

    def letterbox(self, image: Image.Image) -> NDArray[np.uint8]:
        """uint8[S, S, 3] of an image of any size."""
        return np.asarray(Letterbox(image.size, self.image_size).image(image))

    def tokenize(self, phrases: Sequence[Sequence[str]]) -> tuple[Tensor, Tensor]:
        """int64[B, K, L] token ids and their mask; lists shorter than the longest are padded with empty phrases."""
        flat = [phrase for row in phrases for phrase in row]
        shape = (len(phrases), max(map(len, phrases), default=0))
        if not flat:
            return torch.zeros(*shape, 1, dtype=torch.long), torch.zeros(*shape, 1, dtype=torch.long)
        limits: Any = {"truncation": True, "max_length": self.max_phrase_tokens}
        tokens = self.tokenizer(flat, padding=True, padding_side="right", return_tensors="pt", **limits)
        # Phrases of two images, ["liver", "left kidney"] and ["lung"]: rows 0 1 2 of the flat list go to
        #     [0, 0] [0, 1] [1, 0], and [1, 1] stays all zeros, a phrase without a token
        length = tokens["input_ids"].shape[1]
        padded = [torch.zeros(*shape, length, dtype=torch.long) for _ in range(2)]
        is_phrase = torch.tensor([[k < len(row) for k in range(shape[1])] for row in phrases])
        for target, name in zip(padded, ("input_ids", "attention_mask"), strict=True):
            target[is_phrase] = tokens[name]
        return padded[0], padded[1]


def normalise(squares_BSS3: NDArray[np.uint8]) -> Tensor:
    """float32[B, 3, S, S] of pixels uint8."""
    pixels = torch.from_numpy(squares_BSS3).permute(0, 3, 1, 2).float() / 255
    return (pixels - PIXEL_MEAN) / PIXEL_STD


AutoProcessor.register(MedGlipConfig, MedGlipProcessor)
