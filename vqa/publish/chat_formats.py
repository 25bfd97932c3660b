"""A line of conversation as other training programs read it, after the projects' own pages.

TRL: dataset formats, prompt-completion with `images`, of which only the completion is learned. ms-swift: custom
dataset. LLaMA-Factory: data/README.md, ShareGPT with images.
"""

from collections.abc import Callable, Sequence
from typing import Any

PLACEHOLDER = "<image>"
"""Stands for a picture in the words of ms-swift and LLaMA-Factory, as often as there are pictures."""
Row = dict[str, Any]


def trl_row(words: str, answer: str, images: Sequence[str]) -> Row:
    """`prompt` and `completion` as messages, whose content names each picture by its type."""
    question = [*({"type": "image"} for _ in images), {"type": "text", "text": words}]
    return {
        "prompt": [{"role": "user", "content": question}],
        "completion": [{"role": "assistant", "content": [{"type": "text", "text": answer}]}],
        "images": list(images),
    }


def swift_row(words: str, answer: str, images: Sequence[str]) -> Row:
    """`messages` with a placeholder for each picture."""
    question = {"role": "user", "content": PLACEHOLDER * len(images) + words}
    return {"messages": [question, {"role": "assistant", "content": answer}], "images": list(images)}


def llama_factory_row(words: str, answer: str, images: Sequence[str]) -> Row:
    """`conversations` with a placeholder for each picture."""
    question = {"from": "human", "value": PLACEHOLDER * len(images) + words}
    return {"conversations": [question, {"from": "gpt", "value": answer}], "images": list(images)}


CHAT_FORMATS: dict[str, Callable[[str, str, Sequence[str]], Row]] = {
    "trl": trl_row,
    "ms-swift": swift_row,
    "llama-factory": llama_factory_row,
}
"""Who reads a line: words, answer and pictures to a row."""
LLAMA_FACTORY_ENTRY = {"formatting": "sharegpt", "columns": {"messages": "conversations", "images": "images"}}
"""What `dataset_info.json` of LLaMA-Factory says of such a file, beside its `file_name`."""
