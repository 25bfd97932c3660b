"""VQA as lmms-eval scores SLAKE (EvolvingLMMs-Lab/lmms-eval, commit 75571cf, `lmms_eval/tasks/slake/utils.py`).

Equality of normalised texts, open and closed alike. Normalisation: lower case; text in round brackets, Latin or
Chinese, goes; ASCII and Chinese punctuation becomes a blank; "x ray" is "xray"; a text that is wholly a word of
agreement or denial, English or Chinese, is yes or no (so 正常, normal, is a yes). The original's accuracies by modality
and content type are strata here. Its task filters languages beforehand; nothing is filtered here.
"""

import re
import string
from functools import lru_cache

from ..settings import EvalSettings
from .vqa_rules import VqaRules

PROTOCOL = "lmms_slake"
VERSION = "1"

_BRACKETS = re.compile(r"\([^)]*\)")
_WIDE_BRACKETS = re.compile(r"（[^）]*）")
_MARKS = string.punctuation + "！？｡。＂＃＄％＆＇（）＊＋，－／：；＜＝＞＠［＼］＾＿｀｛｜｝～、《》【】"
_BLANKS = str.maketrans(dict.fromkeys(_MARKS, " "))
_YES = ("yeah", "yep", "true", "是", "是的", "有", "包含", "可以", "能", "会", "正常")
_NO = ("nope", "false", "否", "不是", "没有", "无", "不包含", "不能", "不会", "不可以", "不正常", "异常")
_SAME = {"x ray": "xray"} | dict.fromkeys(_YES, "yes") | dict.fromkeys(_NO, "no")


def rules(settings: EvalSettings) -> VqaRules:
    """The rules of `lmms_slake`; no setting changes them."""
    return VqaRules(protocol=PROTOCOL, version=VERSION, is_yes_no=is_yes_no, is_abstention=is_abstention, score=score)


@lru_cache(maxsize=1 << 16)
def normalize(text: str) -> str:
    """Lower case without brackets and punctuation; yes/no words as yes or no."""
    # brackets first: as marks they would leave their content behind
    text = _WIDE_BRACKETS.sub(" ", _BRACKETS.sub(" ", text.strip().lower()))
    text = " ".join(text.translate(_BLANKS).split())
    return _SAME.get(text, text)


def is_yes_no(reference: str) -> bool:
    """A word of agreement or denial."""
    return normalize(reference) in ("yes", "no")


def is_abstention(prediction: str) -> bool:
    """Anything but a word of agreement or denial: a sentence that holds one is not read."""
    return not is_yes_no(prediction)


def score(prediction: str, reference: str, is_closed: bool) -> dict[str, float]:
    """open_accuracy or closed_accuracy, and overall_accuracy."""
    is_right = float(normalize(prediction) == normalize(reference))
    return {"closed_accuracy" if is_closed else "open_accuracy": is_right, "overall_accuracy": is_right}
