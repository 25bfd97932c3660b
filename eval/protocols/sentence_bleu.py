"""BLEU of one sentence and one reference without smoothing, as nltk 3.9 `sentence_bleu` gives it (its `method0`).

An order without a match counts as the smallest normal float, not as 0, so that BLEU-4 of short answers comes out near
1e-77 and not as 0; a sentence without a single matching word is 0.
"""

import math
import sys
from collections import Counter
from collections.abc import Sequence


def sentence_bleu(words: Sequence[str], wanted: Sequence[str], weights: Sequence[Sequence[float]]) -> list[float]:
    """BLEU under each of several weightings of the n-gram orders 1, 2, ...; each in [0, 1]."""
    orders: list[tuple[int, int]] = []
    for n in range(1, max(map(len, weights)) + 1):
        # clipped matches and n-grams; a sentence too short for an order has one n-gram, which does not match
        grams = _ngrams(words, n)
        orders.append(((grams & _ngrams(wanted, n)).total(), max(1, grams.total())))
    if orders[0][0] == 0:
        return [0.0] * len(weights)
    logs = [math.log(matches / total if matches else sys.float_info.min) for matches, total in orders]  # method0
    brevity = 1.0 if len(words) > len(wanted) else math.exp(1 - len(wanted) / len(words))
    sums = (math.fsum(weight * log for weight, log in zip(row, logs, strict=False)) for row in weights)
    return [brevity * math.exp(total) for total in sums]


def _ngrams(words: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(zip(*(words[start:] for start in range(n)), strict=False))
