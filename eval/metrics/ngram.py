"""BLEU-1..4, ROUGE-L (F, beta 1.2) and CIDEr, equal to pycocoevalcap 1.2 on the same words, made to be resampled.

pycocoevalcap gives corpus values, slowly (its longest common subsequence fills a table in Python) and without what
an interval needs. Here words become numbers and all n-grams are counted at once, so that BLEU keeps its counts of
each report, and ROUGE-L and CIDEr are means over reports. tests/eval/test_report_ngrams.py holds them to
pycocoevalcap. Several references a report count as there: BLEU takes the closest length and the highest count of
each n-gram, ROUGE-L the best precision and the best recall, CIDEr the mean.

CIDEr weights an n-gram by how few reports of the whole set have it in a reference. Resamples and strata keep these
document frequencies of the full set. One report alone scores 0.

Suffixes: N reports, T texts (all predictions, then all references), W words of all texts, G n-grams of a text.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..statistics.measure import Floats, Ints, Sums, mean

BLEU = ("bleu_1", "bleu_2", "bleu_3", "bleu_4")
LEXICAL = (*BLEU, "rouge_l", "cider")
"""The metrics that need no other program."""

_ORDERS = (1, 2, 3, 4)
_BETA = 1.2
_SIGMA = 6.0
"""Width of CIDEr's penalty for another length, in bigrams."""
_SMALL, _TINY = 1e-9, 1e-15
"""What pycocoevalcap adds below and above BLEU's fraction bars."""


def ngram_measures(
    found: Sequence[str], wanted: Sequence[Sequence[str]], metrics: Sequence[str] = LEXICAL
) -> dict[str, Sums]:
    """The named metrics of tokenised texts: `wanted[i]`, one reference or more, are those of `found[i]`."""
    assert not any(isinstance(texts, str) for texts in wanted), "a list of references for each report"
    measures: dict[str, Sums] = {}
    if {*BLEU, "cider"} & set(metrics):
        texts = _number(found, wanted)
        right_4N, cosines_4R = [], []
        for grams in _tables(texts):  # one order at a time, for memory
            right_4N.append(_right(texts, grams))
            cosines_4R += [_cosines(texts, grams)] if "cider" in metrics else []
        measures |= _bleu(texts, right_4N)
        measures |= {"cider": mean(_cider(texts, cosines_4R))} if cosines_4R else {}
    if "rouge_l" in metrics:
        measures["rouge_l"] = mean([_rouge_l(*texts) for texts in zip(found, wanted, strict=True)])
    return {name: measures[name] for name in LEXICAL if name in metrics}


@dataclass(frozen=True)
class _Texts:
    """All texts as numbers. `sample_T`: the report of each text; `words_W`, `text_W`: each word and its text."""

    num: int
    sample_T: Ints
    length_T: Ints
    words_W: Ints
    text_W: Ints


@dataclass(frozen=True)
class _Grams:
    """The n-grams of one order, once a text, by text: `text_G`, `gram_G`, and how often: `count_G`.

    The first `num_found` rows are of predictions (F), the rest of references (R): `match_R` is the row of the same
    n-gram in the prediction of the report, -1 for none. `num_grams`: different n-grams of all texts.
    """

    text_G: Ints
    gram_G: Ints
    count_G: Ints
    match_R: Ints
    num_found: int
    num_grams: int


def _number(found: Sequence[str], wanted: Sequence[Sequence[str]]) -> _Texts:
    num = len(found)
    number_of = defaultdict[str, int](count().__next__).__getitem__
    texts = chain(found, chain.from_iterable(wanted))
    words = [np.array([*map(number_of, text.split())], np.int64) for text in texts]
    length_T = np.array([len(text) for text in words], np.int64)
    return _Texts(
        num=num,
        sample_T=np.concatenate([np.arange(num), np.repeat(np.arange(num), [len(texts) for texts in wanted])]),
        length_T=length_T,
        words_W=np.concatenate(words),
        text_W=np.repeat(np.arange(len(words)), length_T),
    )


def _tables(texts: _Texts) -> Iterator[_Grams]:
    """The n-grams of each order; those of order n are numbered pairs of one of order n - 1 and a word."""
    num_words = int(texts.words_W.max(initial=-1)) + 1
    left_W = np.repeat(np.cumsum(texts.length_T), texts.length_T) - np.arange(len(texts.words_W))  # words to the end
    start_W, grams_W = np.arange(len(texts.words_W)), np.zeros_like(texts.words_W)
    for order in _ORDERS:
        is_whole = left_W[start_W] >= order
        start_W = start_W[is_whole]
        pairs_W = grams_W[is_whole] * num_words + texts.words_W[start_W + order - 1]
        kinds, grams_W = np.unique(pairs_W, return_inverse=True)
        yield _count(texts, texts.text_W[start_W], grams_W, len(kinds))


def _count(texts: _Texts, text_W: Ints, grams_W: Ints, num_grams: int) -> _Grams:
    rows_G, count_G = np.unique(text_W * num_grams + grams_W, return_counts=True)
    text_G, gram_G = np.divmod(rows_G, max(num_grams, 1))
    num_found = int(np.searchsorted(text_G, texts.num))
    keys_R = texts.sample_T[text_G[num_found:]] * num_grams + gram_G[num_found:]
    keys_F = np.append(rows_G[:num_found], -1)  # the last place is for those after all others
    place_R = np.searchsorted(keys_F[:-1], keys_R)
    match_R = np.where(keys_F[place_R] == keys_R, place_R, -1)
    return _Grams(text_G, gram_G, count_G, match_R, num_found, num_grams)


def _bleu(texts: _Texts, right_4N: Sequence[NDArray[Any]]) -> dict[str, Sums]:
    """Corpus BLEU. Columns: words found, words wanted, n-grams found 1..4, n-grams right 1..4."""
    length_N = texts.length_T[: texts.num]
    found = [np.maximum(length_N - order + 1, 0) for order in _ORDERS]
    columns_NK = np.stack([length_N, _closest(texts), *found, *right_4N], 1).astype(np.float64)
    totals_1K = columns_NK.sum(0, keepdims=True)
    return {
        name: Sums(
            value=float(bleu_of_sums(totals_1K, order)[0]),
            rows_N=np.arange(texts.num),
            columns_NK=columns_NK,
            formula=lambda sums_RK, order=order: bleu_of_sums(sums_RK, order),
        )
        for name, order in zip(BLEU, _ORDERS, strict=True)
    }


def _closest(texts: _Texts) -> Ints:
    """The length nearest to the prediction's among the references of each report, the shorter of two."""
    sample_R, length_R = texts.sample_T[texts.num :], texts.length_T[texts.num :]
    order_R = np.lexsort([length_R, np.abs(length_R - texts.length_T[sample_R]), sample_R])
    return length_R[order_R][np.searchsorted(sample_R, np.arange(texts.num))]


def _right(texts: _Texts, grams: _Grams) -> NDArray[Any]:
    """N-grams of each prediction that a reference has, at most as often as the reference that has most of them."""
    num_found, is_shared = grams.num_found, grams.match_R >= 0
    most_F = np.zeros(num_found, np.int64)
    np.maximum.at(most_F, grams.match_R[is_shared], grams.count_G[num_found:][is_shared])
    return np.bincount(grams.text_G[:num_found], np.minimum(most_F, grams.count_G[:num_found]), texts.num)


def bleu_of_sums(sums_RK: Floats, n: int) -> Floats:
    """float64[R]: BLEU-n of summed columns, with the arithmetic of pycocoevalcap."""
    lengths_R, wanted_R = sums_RK[:, 0], sums_RK[:, 1]
    precisions_RN = (sums_RK[:, 6 : 6 + n] + _TINY) / (sums_RK[:, 2 : 2 + n] + _SMALL)
    ratio_R = (lengths_R + _TINY) / (wanted_R + _SMALL)
    brevity_R = np.where(ratio_R < 1, np.exp(1 - 1 / ratio_R), 1.0)
    return precisions_RN.prod(axis=1) ** (1 / n) * brevity_R


def _cider(texts: _Texts, cosines_4R: Sequence[Floats]) -> Floats:
    """float64[N] in [0, 10]: CIDEr-D (Vedantam et al. 2015: clipped weights, a Gaussian penalty for another length)."""
    sample_R = texts.sample_T[texts.num :]
    bigrams_T = np.maximum(texts.length_T - 1, 0)  # pycocoevalcap counts a text's length in bigrams
    delta_R = bigrams_T[sample_R] - bigrams_T[texts.num :]
    penalty_R = np.e ** (-(delta_R**2) / (2 * _SIGMA**2))
    scores_R = np.mean([cosines_R * penalty_R for cosines_R in cosines_4R], axis=0)
    return 10 * np.bincount(sample_R, scores_R, texts.num) / np.bincount(sample_R, minlength=texts.num)


def _cosines(texts: _Texts, grams: _Grams) -> Floats:
    """float64[R]: cosine of the tf-idf vectors of each reference and its prediction, which is clipped to it."""
    weight_G = grams.count_G * _rarity(texts, grams)[grams.gram_G]
    norm_T = np.sqrt(np.bincount(grams.text_G, weight_G**2, len(texts.length_T)))
    is_shared = grams.match_R >= 0
    theirs_S, mine_S = weight_G[grams.num_found :][is_shared], weight_G[grams.match_R[is_shared]]
    text_S = grams.text_G[grams.num_found :][is_shared]
    dot_T = np.bincount(text_S, np.minimum(mine_S, theirs_S) * theirs_S, len(norm_T))
    norms_T = norm_T * norm_T[texts.sample_T]
    return np.divide(dot_T, norms_T, out=np.zeros(len(norm_T)), where=norms_T != 0)[texts.num :]


def _rarity(texts: _Texts, grams: _Grams) -> Floats:
    """Inverse document frequency of each n-gram: log of all reports over those that have it in a reference."""
    gram_R, sample_R = grams.gram_G[grams.num_found :], texts.sample_T[grams.text_G[grams.num_found :]]
    pairs = np.sort(sample_R * grams.num_grams + gram_R)
    is_first = np.diff(pairs, prepend=-1) > 0  # several references of a report are one document
    reports = np.bincount(pairs[is_first] % max(grams.num_grams, 1), minlength=grams.num_grams)
    return np.log(texts.num) - np.log(np.maximum(reports, 1.0))


def _rouge_l(found: str, wanted: Sequence[str]) -> float:
    """ROUGE-L of one report; an empty text counts as one empty word, as in pycocoevalcap."""
    found_words = found.split(" ")
    texts = [text.split(" ") for text in wanted]
    lengths = [common_subsequence(found_words, words) for words in texts]
    precision = max(lengths) / len(found_words)
    recall = max(length / len(words) for length, words in zip(lengths, texts, strict=True))
    if not precision or not recall:
        return 0.0
    return ((1 + _BETA**2) * precision * recall) / (recall + _BETA**2 * precision)


def common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence, a row of the table at a time: one bit for each word of `second`.

    Source: H. Hyyrö, Bit-parallel LCS-length computation revisited, AWOCA 2004.
    """
    places: dict[str, int] = {}
    for place, word in enumerate(second):
        places[word] = places.get(word, 0) | 1 << place
    row = ones = (1 << len(second)) - 1
    for word in first:
        shared = row & places.get(word, 0)
        row = (row + shared) | (row - shared)
    return len(second) - (row & ones).bit_count()
