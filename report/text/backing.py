"""Which of the regions that a sentence cites can back it: those of what it names."""

from collections.abc import Sequence
from dataclasses import replace

from ...grounding.types import Region
from ...grounding.vocabulary.labels import LabelTree
from ...grounding.vocabulary.remarks import Remark
from ...grounding.vocabulary.sentences import Sentence


def drop_strangers(sentences: Sequence[Sentence], tree: LabelTree) -> tuple[tuple[Sentence, ...], list[Remark]]:
    """The sentences without regions of another phrase than theirs, and a remark on each of those.

    "An ulcer [1]." does not rest on region 1 if that is a nodule; "It grew [1]." names nothing and may.
    """
    backed: list[Sentence] = []
    remarks: list[Remark] = []
    for index, sentence in enumerate(sentences):
        named = tree.phrases_in(sentence.text)
        strangers = [region for region in sentence.regions if not _is_named(region, named, tree)]
        backed.append(replace(sentence, regions=tuple(one for one in sentence.regions if one not in strangers)))
        for phrase in dict.fromkeys(region.phrase for region in strangers):
            remarks.append(Remark(sentence=index, words=f"cites a region of “{phrase}”, which it does not name"))
    return tuple(backed), remarks


def _is_named(region: Region, named: Sequence[str], tree: LabelTree) -> bool:
    """Whether one of the names can be true of the region, or there is none: "Round and bright."."""
    return not named or any(tree.is_near(region.phrase, name) for name in named)
