"""Our rules of negation, after NegEx (Chapman et al. 2001), with scopes cut at clauses."""

import re
from bisect import bisect_right

from . import BLANK, Stretch

# Look like negations and deny nothing: "no change", "cannot be excluded", "should be ruled out", "not yet resolved".
_HARMLESS = re.compile(
    r"\b(?:(?:no|without|lack of) (?:significant |interval |appreciable |definite )*(?:change|increase|decrease"
    r"|improvement|worsening|resolution|clearing)"
    r"|not (?:only|just|necessarily|significantly changed|changed|unlikely)"
    r"|not (?:yet |completely |fully |entirely )*(?:resolved|cleared|gone|disappeared)"
    r"|(?:cannot|can not|could not|can'?t|couldn'?t|not) (?:be )?(?:rule[ds]? out|excluded?|entirely excluded)"
    r"|(?:should|must|may|might|to) be (?:ruled out|excluded)"
    r"|with (?:and|or) without|not certain (?:if|whether)|no doubt)\b",
    re.IGNORECASE,
)
_SEEN = (
    r"(?:seen|identified|evident|present|demonstrated|visuali[sz]ed|visible|noted|detected|observed|appreciated|found"
    r"|shown|depicted|there)"
)
_END = r"(?=\s*(?:[.,;)]|$))"
# Deny what follows up to a comma: "resolved effusion", "resolution of the effusion"; not "partial resolution of".
_GONE = (
    r"(?:(?<!partial )(?<!incomplete )(?<!complete )(?<!near )(?<!near-)resolution of"
    r"|(?<!near )(?<!near-)(?<!almost )(?<!nearly )complete resolution of|(?:disappearance|(?<!partial )clearing) of"
    r"|(?:^|(?<=[,;:] )|(?<!ly )(?<!not )(?<=\w )(?=(?:completely|fully|entirely) )|(?<=\bthe )|(?<=\bnow )"
    r"|(?<=\binterval )|(?<=\bpreviously ))(?:completely |fully |entirely )?resolved(?= (?!and\b|or\b|with\b|since\b)))"
)
# Deny what follows: "no effusion".
_BEFORE = re.compile(
    rf"\b(?:(?P<gone>{_GONE})"
    r"|no|not|without|absence of|lack of|lacks|lacking|negative for|free (?:of|from)|clear of|devoid of"
    r"|den(?:y|ies|ied)|never|neither|nor|nil|excludes|^(?:ruled out|absent)|rather than|inconsistent with"
    r"|(?:unlikely|improbable)(?: to (?:be|represent|reflect))?"
    r"|low (?:probability|likelihood) of|low suspicion (?:of|for)"
    r"|rules? out|ruled out for|fail(?:s|ed)? to (?:show|reveal|demonstrate)|nothing (?:to suggest|suggests)"
    r"|non-?visuali[sz]ation of|(?:cannot|can not|can'?t|could not|couldn'?t) (?:see|identify|detect)"
    r"|(?:do|does|did|is|are|was|were|has|have|had|ai|wo|would)n'?t)\b",
    re.IGNORECASE,
)
# Deny what stands before: "effusion is not seen", "isn't seen", "cannot be seen", "absent". So does "no longer seen":
# whatever was there before, this image does not show it, and a region for it would be wrong.
_AFTER = re.compile(
    r"(?<!^)\b(?:(?:(?:is|are|was|were|has been|have been|has|have)?\s*(?:not|no longer|no more)(?: been)?"
    r"|(?:is|are|was|were)n'?t|(?:has|have)n'?t been"
    rf"|(?:can(?:no|')?t|can not|couldn'?t|could not) be) (?:clearly )?{_SEEN}"
    r"|(?:no longer|(?:do|does|did)(?:n't| not)) (?:persists?|remains?|exists?)|(?:is|are|has|have) (?:now )?gone"
    rf"|(?:(?:is|are|was|were) )?never (?:been )?{_SEEN}"
    rf"|(?:is|are|was|were) (?:absent|negative)|(?:(?:has|have) been|is|are|was|were) excluded(?! from)|excluded{_END}"
    r"|(?:has|have)? ?(?:been )?ruled out(?! for)"
    r"|(?:(?:is|are|was|were|seems?|appears?) )?(?:very |highly |quite |most )?(?:unlikely|improbable|doubtful"
    rf"|not (?:very )?likely)(?! to\b)|(?:n/a|not applicable){_END}"
    rf"|(?<!not )(?<!n't )absent{_END}|(?:has|have) (?:completely |fully |entirely |now |since )*"
    r"(?:resolved|disappeared|cleared|vanished)"
    # not "has not resolved", "has partially resolved", "almost resolved"
    rf"|(?<!not )(?<!n't )(?<!ly )(?<!almost )(?:completely |fully |entirely )?"
    rf"(?:resolved|disappeared|cleared|vanished){_END})(?!\w)",
    re.IGNORECASE,
)
# An item and that there is none of it: "Effusion: none", "Effusion - not seen", "Effusion (none)", "Effusion? No."; not
# "Effusion: no change".
_ITEM = re.compile(
    rf"(?:[:=|(?]|\s[-–—]\s)\s*\(?(?:none\b|(?:no|nil|negative|absent|no evidence|never|n/a|not applicable|0|[-–−]"
    rf"|(?:(?:is|are|was|were) )?(?:not|no longer) (?:clearly )?{_SEEN}){_END})|,\s*none{_END}",
    re.IGNORECASE,
)
# End a clause, and with it every negation.
_CLAUSE = re.compile(
    r";|:|\.\s|\s[-–—]\s|\b(?:but|however|although|though|yet|whereas|while|except(?: for)?|apart from|aside from"
    r"|which|who|because|secondary to|due to|there (?:is|are|was|were))\b"
    r"|,\s*(?:with|consistent with|compatible with|in keeping with|suggest\w+|(?:and|or) (?:the|an?|there))\b"
    r"|\band (?=(?:the|an?) )",
    re.IGNORECASE,
)
# A comma before a verb ends the clause; before a mere list item it does not.
_VERB = re.compile(
    r"\b(?:is|are|was|were|has|have|had|shows?|showed|demonstrates?|reveals?|remains?|appears?|seen|noted|present"
    r"|increased|enlarged|unchanged|stable|persists?|there)\b",
    re.IGNORECASE,
)
_OR = re.compile(r"\b(?:or|nor)\b", re.IGNORECASE)


def find_denied(sentence: str) -> list[Stretch]:
    """Every stretch that a negation covers; stretches may overlap."""
    return find_denied_before(sentence) + _find_denied_after(sentence)


def find_gone(sentence: str) -> list[Stretch]:
    """The stretches alone of what was there before: "effusion is no longer seen", "resolved effusion"."""
    return find_denied_before(sentence) + _find_denied_after(sentence, only_gone=True)


def _find_denied_after(sentence: str, only_gone: bool = False) -> list[Stretch]:
    # Blanking keeps the length, so that places in `visible` are places in the sentence.
    visible = blank_harmless(sentence)
    # "is not seen" holds a "not": it must not deny what follows it as well.
    inside = {index for match in _AFTER.finditer(visible) for index in range(*match.span())}
    denied, reach = list[Stretch](), 0
    for match in _BEFORE.finditer(visible):
        # one within the stretch of another reaches as far as that
        if match.start() not in inside and match.end() > reach and (match["gone"] or not only_gone):
            reach = _reach_on(visible, match.end())
            if match["gone"] and (end := re.search(r",|\bwith\b", visible[match.end() : reach])):
                reach = match.end() + end.start()
            denied.append((match.start(), reach))
    return denied


def find_denied_before(sentence: str) -> list[Stretch]:
    """The stretches alone that a negation behind them covers: "effusion is not seen", "effusion: none"."""
    visible = blank_harmless(sentence)
    marks = [0, *(mark.end() for mark in _CLAUSE.finditer(visible))]
    matches = [*_AFTER.finditer(visible), *_ITEM.finditer(visible)]
    starts = [marks[bisect_right(marks, match.start()) - 1] for match in matches]  # of its clause
    return [
        (_reach_back(visible, start, match.start()), match.end()) for start, match in zip(starts, matches, strict=True)
    ]


def blank_harmless(sentence: str) -> str:
    """The sentence, as long as it was, without what looks like a negation and is none."""
    return _HARMLESS.sub(lambda match: BLANK * len(match[0]), sentence)


def _reach_on(sentence: str, start: int) -> int:
    """End of what a negation before it covers.

    No effusion, nodule or mass is seen.       to the end: "or" ties the list to the verb
    No effusion, the opacity is unchanged.     to the comma: a verb of their own follows
    No effusion; opacity at the base.          to the clause mark
    """
    mark = _CLAUSE.search(sentence, start)
    end = mark.start() if mark else len(sentence)
    for comma in re.finditer(r",", sentence[start:end]):
        index = start + comma.start()
        next_comma = sentence.find(",", index + 1, end)
        verb = _VERB.search(sentence, index, next_comma if next_comma > 0 else end)
        if verb and not _OR.search(sentence, index, verb.start()):
            return index
    return end


def _reach_back(sentence: str, start: int, end: int) -> int:
    """Start of what a negation behind it covers in its clause, which begins at `start`.

    Effusion, nodule and mass are not seen.                from the start: a list runs over its commas
    Opacity on the left, effusion is not identified.       from behind the last comma
    """
    comma = sentence.rfind(",", start, end)
    is_list = comma < 0 or re.search(r"\b(?:and|or|nor)\b", sentence[comma + 1 : end])
    return start if is_list else comma + 1
