"""What a language model wrote -> what it says: without thoughts, marks of a chat or of Markdown, odd characters."""

import re
import unicodedata

# Pairs of marks around thoughts: <think>, </thinking>, [THINK], Kimi's and Gemma's, the channels of gpt-oss.
_NAMES = r"(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection|scratchpad|analysis|seed:think)"
_CLOSE = rf"<\s*/\s*{_NAMES}\s*>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>|<unused95>|<channel\|>|<\|channel\|>\s*final"
_OPEN = (
    rf"<\s*{_NAMES}(?:\s[^<>]{{0,80}})?\s*>|\[THINK\]|◁think▷|<\|begin_of_thought\|>|<unused94>(?:thought)?"
    r"|<\|channel>(?:thought)?|<\|channel\|>\s*(?:analysis|commentary)"
)
_MARKS = re.compile(rf"(?P<close>{_CLOSE})|{_OPEN}", re.IGNORECASE)
_ANSWER = re.compile(r"<\s*answer\s*>", re.IGNORECASE)
_BOXED = re.compile(r"\\boxed\{(?:\\\w{1,20}\{)?([^{}]{1,500})\}")
_SPECIAL = re.compile(
    r"<\|[^<>|]{0,80}\|>|</?(?:s|pad|eos|bos|unk|image|region|answer|end_of_turn|start_of_turn)>", re.IGNORECASE
)
# at the start of a line: a heading, a quotation, a bullet, the fence of a block
_LEAD = re.compile(r"^[ \t]*(?:#{1,6}[ \t]+|>[ \t]*|[-*+•][ \t]+|```\w*[ \t]*$)+", re.MULTILINE)
# **bold**, _italic_, `code`: a mark and its partner, neither beside a blank ("T2*" keeps its star)
_PAIRED = re.compile(r"(?<![\w*])(\*{1,3}|_{1,3}|`{1,3}|~~)(?=\S)((?:(?!\1)[^\n]){1,500}(?<!\s))\1(?![\w*])")
_PLAIN = str.maketrans(
    {chr(0xFF01 + index): chr(0x21 + index) for index in range(94)}  # full-width ASCII
    | dict.fromkeys("‘’‚‛ʼ′´", "'")
    | dict.fromkeys("“”„‟«»″", '"')
    | dict.fromkeys("‐‑‒–—―−", "-")
    | {"。": ".", "、": ",", "…": "..."}
)
_SAYS = re.compile(
    r"^[\s\"'*{]*(?:(?:(?:the )?(?:final |short |correct )?answer|assistant|response|model)[\"']?\s*:"
    r"|the (?:final |correct )?answer is\b:?|(?:assistant|(?:final )?answer)$)[\s\"'*]*",
    re.IGNORECASE,
)
_NEXT_TURN = re.compile(r"^(?:question|user|human)\s*:", re.IGNORECASE)
_WRAPPING = " \t\"'`"


def has_thoughts(text: str) -> bool:
    """Whether a mark of thoughts stands in the text, opened or closed."""
    return _MARKS.search(text) is not None


def drop_thoughts(text: str) -> str:
    """The text without what stands between marks of thoughts, such as `<think>` and `</think>`.

    A closing mark without its opening one (that stood in the prompt) ends thoughts from the start; an opening one
    without its closing one (the text was cut) begins thoughts to the end. Text without such marks stays as it is.
    """
    kept: list[str] = []
    start, is_thinking = 0, False
    for mark in _MARKS.finditer(text):
        if mark["close"]:
            kept = kept if is_thinking else []
            start, is_thinking = mark.end(), False
        elif not is_thinking:
            kept.append(text[start : mark.start()])
            is_thinking = True
    return "\n".join(kept if is_thinking else [*kept, text[start:]]) if start or is_thinking else text


def drop_markup(text: str) -> str:
    """The lines of a model's text without thoughts, special tokens and Markdown; a special token ends a line."""
    text = drop_thoughts(text)
    if _ANSWER.search(text):
        text = _ANSWER.split(text)[-1].partition("</")[0]
    text = _SPECIAL.sub("\n", text)
    if boxed := _BOXED.findall(text):
        text = boxed[-1]
    text = _LEAD.sub("", text)
    for _ in range(2):  # **`yes`**
        text = _PAIRED.sub(r"\2", text)
    return text


def drop_speaker(line: str) -> str:
    """A line without what only says that an answer follows ("Answer: yes", "The final answer is yes"), and quotes."""
    for _ in range(2):  # "Assistant: Answer: yes"
        line = _SAYS.sub("", line).strip(_WRAPPING)
    return line


def fold(text: str) -> str:
    """The text in plain characters: full-width, typographic and unseen ones go, an accent of its own joins its letter.

    "Ｙｅｓ" is "Yes", "can’t" is "can't"; no case is changed.
    """
    if text.isascii():
        return text
    text = "".join(letter for letter in text.translate(_PLAIN) if unicodedata.category(letter) != "Cf")
    return unicodedata.normalize("NFC", text)


def answer_text(raw: str) -> str:
    """What a model answers in its whole text: the first line that it calls its answer, else all that it says.

    Empty where it says nothing, as in thoughts that were cut. Turns that it goes on to invent ("Question: ...") go.
    """
    lines = [line for line in map(str.strip, drop_markup(fold(raw)).splitlines()) if line]
    turns = [index for index, line in enumerate(lines) if index and _NEXT_TURN.match(line)]
    lines = lines[: turns[0]] if turns else lines
    for index, line in enumerate(lines):
        if _SAYS.match(line):
            rest = drop_speaker(line).strip(_WRAPPING + "},")
            return rest or drop_speaker("".join(lines[index + 1 : index + 2]))
    return "\n".join(lines)
