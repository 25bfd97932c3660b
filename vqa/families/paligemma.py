"""PaliGemma 1 and 2 (https://arxiv.org/abs/2412.03555): no chat, one prefix and one suffix."""

from typing import Any

from ...grounding.vocabulary.box_notation import BoxCodec
from .family import Family, Messages


def prefix(processor: Any, messages: Messages, is_open: bool) -> str:
    """Image placeholders and the user's text; after it the answer and its end, where there is one.

    The processor itself puts the begin token behind the images and a newline behind the text.
    """
    parts = messages[0]["content"]
    images = processor.image_token * sum(part["type"] == "image" for part in parts)
    # <image><image>text, then answer<eos> of each further message
    text = images + "".join(part["text"] for part in parts if part["type"] == "text")
    answers = [part["text"] for message in messages[1:] for part in message["content"]]
    return text + "".join(answer + processor.tokenizer.eos_token for answer in answers)


def with_suffix(processor: Any, texts: list[str], completions: list[str], images: list[list[Any]], **extra: Any) -> Any:
    """The answers as suffixes, which see the prefix but not what comes after them; the processor ends each itself."""
    ends = processor.tokenizer.eos_token
    encoded = processor(
        text=texts,
        images=images,
        suffix=[completion.removesuffix(ends) for completion in completions] if any(completions) else None,
        padding=True,
        add_special_tokens=False,
        **extra,
    )
    return encoded.convert_to_tensors("pt")  # not by the processor, which turns tensors to arrays in a deprecated way


PALIGEMMA = Family(
    name="PaliGemma",
    model_types=("paligemma",),
    boxes=BoxCodec(form="<loc{}><loc{}><loc{}><loc{}>", number="04.0f", steps=1024, is_y_first=True, is_bin=True),
    write=prefix,
    encode=with_suffix,
    dtypes=("fp32", "bf16"),
    needs_template=False,
    needs_image=True,
)
"""`<loc0204><loc0122><loc0450><loc0317>`: y0, x0, y1, x1 in 1024 cells across the image."""
