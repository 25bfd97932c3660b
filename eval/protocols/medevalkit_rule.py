r"""VQA as MedEvalKit's rules score it, without its judge (alibaba-damo-academy/MedEvalKit, commit 9b12e3b).

Source: `utils/utils.py`, `utils/VQA_RAD/VQA_RAD.py`, `utils/PATH_VQA/PATH_VQA.py`, `utils/SLAKE/SLAKE.py`, and
`extract_boxed_content` of mathruler. Which data set's file is followed depends on what makes a question closed there:

- `closed_def=yes_no`, as VQA-RAD and PathVQA: closed = reference is yes or no; both texts lower-cased and stripped.
- `closed_def=answer_type`, as SLAKE: closed by the answer type. Neither text is stripped, and the test of the reference
  for yes/no is case-sensitive, so that "Yes" goes the way of all other closed answers.

Rules: the answer is what the last `\boxed{}` holds, else what `<answer>` holds, then what follows phrases such as
"answer is". Closed yes/no: without line feeds and full stops, exactly one of the *substrings* yes, no ("nodule" is a
no) and the reference among it. Other closed ones: equality after the same clearing. Open: lower-case equality, nothing
stripped; F1, precision and recall of word sets; open_bleu_1 .. open_bleu_4 = nltk's sentence BLEU, words split at
single blanks.

Mended: F1, precision and recall stand under their own names (the original unpacks them in the wrong order, so that its
precision is F1, its recall precision, its F1 recall), and an empty answer is 0 instead of an exception. Its ROUGE is
left out.
"""

import re
from functools import partial

from ..settings import ClosedDef, EvalSettings
from .sentence_bleu import sentence_bleu
from .vqa_rules import VqaRules

PROTOCOL = "medevalkit_rule"
VERSION = "1"

_BOX = "\\boxed{"
_NO_BOX = "None"  # the original's sign for no box; a text that speaks of "boxed" without one is read as this
_LEADS = (
    *("**answer**:", "**answer**", "*answer*:", "**answer:**", "answer is", "answer:", "答案:"),
    *("final answer", "final answer is"),
)
_TAGGED = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_WEIGHTS = [[1 / n] * n for n in range(1, 5)]


def rules(settings: EvalSettings) -> VqaRules:
    """The rules of VQA-RAD and PathVQA for `closed_def=yes_no`, of SLAKE for `answer_type`."""
    return VqaRules(
        protocol=PROTOCOL,
        version=VERSION,
        is_yes_no=is_yes_no,
        is_abstention=is_abstention,
        score=partial(score, closed_def=settings.closed_def),
    )


def is_yes_no(reference: str) -> bool:
    """Yes or no in any case, with nothing else."""
    return reference.lower().strip() in ("yes", "no")


def is_abstention(prediction: str) -> bool:
    """Neither or both of the substrings yes, no in the answer that is read out of the text."""
    text = _clear(parse(open_answer(prediction)))
    return ("yes" in text) == ("no" in text)


def score(prediction: str, reference: str, is_closed: bool, closed_def: ClosedDef) -> dict[str, float]:
    """closed_accuracy; or open_accuracy, open_f1, open_precision, open_recall, open_bleu_1 ..; and overall_accuracy."""
    text_read, wanted = open_answer(prediction), reference
    if closed_def == "yes_no":  # SLAKE's file strips neither
        text_read, wanted = text_read.lower().strip(), wanted.lower().strip()
    answer = parse(text_read)
    if is_closed:
        text = _clear(answer)
        is_right = float(text == wanted.lower())
        if wanted in ("yes", "no"):
            is_right = float(("yes" in text) != ("no" in text) and wanted in text)
        return {"closed_accuracy": is_right, "overall_accuracy": is_right}
    wanted = wanted.lower()
    is_right = float(answer == wanted)
    return {"open_accuracy": is_right, "overall_accuracy": is_right, **overlap(answer, wanted), **bleu(answer, wanted)}


def open_answer(prediction: str) -> str:
    """What the last box holds, else what the answer tags hold, else the text."""
    if (box := read_box(prediction)) != _NO_BOX:
        return box
    return read_tags(prediction) if "<answer>" in prediction else prediction


def parse(text: str) -> str:
    """Lower case; the box or tag again; then what follows the last of each lead such as "answer is", unstripped."""
    text = text.lower()
    if "boxed" in text:
        text = read_box(text)
    elif "<answer>" in text:
        text = read_tags(text)
    for lead in _LEADS:
        text = text.split(lead)[-1]
    return text


def read_box(text: str) -> str:
    r"""What the last `\boxed{}` holds, braces balanced; "None" where there is no closed box."""
    _, box, rest = text.rpartition(_BOX)
    depth = 1
    for index, letter in enumerate(rest if box else ""):  # a box may hold braces of its own: \boxed{\text{yes}}
        depth += (letter == "{") - (letter == "}")
        if depth == 0:
            return rest[:index].strip()
    return _NO_BOX


def read_tags(text: str) -> str:
    """What stands between answer tags, several joined by blanks; the text itself where that is nothing."""
    return " ".join(_TAGGED.findall(text)).strip() or text


def overlap(answer: str, wanted: str) -> dict[str, float]:
    """open_f1, open_precision, open_recall of sets of words; 0 where nothing is shared."""
    text_read, sought = set(answer.split()), set(wanted.lower().split())
    shared = len(text_read & sought)
    precision, recall = (shared / len(text_read), shared / len(sought)) if shared else (0.0, 0.0)
    f1 = 2 * (precision * recall) / (precision + recall) if shared else 0.0
    return {"open_f1": f1, "open_precision": precision, "open_recall": recall}


def bleu(answer: str, wanted: str) -> dict[str, float]:
    """open_bleu_1 .. open_bleu_4; words are split at single blanks, full stops apart."""
    text_read, sought = (text.lower().replace(".", " .").split(" ") for text in (answer, wanted))
    return {f"open_bleu_{n}": value for n, value in enumerate(sentence_bleu(text_read, sought, _WEIGHTS), 1)}


def _clear(text: str) -> str:
    return text.replace("\n", "").replace(".", "")
