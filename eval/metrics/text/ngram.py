"""BLEU-1..4, ROUGE-L (F, beta 1.2) and CIDEr, equal to pycocoevalcap 1.2 on the same words, made to be resampled.

pycocoevalcap gives corpus values, slowly (its longest common subsequence fills a table in Python) and without what
an interval needs. Here words become numbers and all n-grams are counted at once, so that BLEU keeps its counts of
each report, and ROUGE-L and CIDEr are means over reports. tests/eval/metrics/text/test_report_ngrams.py holds them to
pycocoevalcap. Several references a report count as there: BLEU takes the closest length and the highest count of
each n-gram, ROUGE-L the best precision and the best recall, CIDEr the mean.

CIDEr weights an n-gram by how few reports of the whole set have it in a reference. Resamples and strata keep these
document frequencies of the full set. One report alone scores 0.

Suffixes: N reports, T texts (all predictions, then all references), W words of all texts, G n-grams of a text.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...statistics.measure import Floats, Ints, Sums, from_sums, mean

BLEU = ("bleu_1", "bleu_2", "bleu_3", "bleu_4")

_ORDERS = (1, 2, 3, 4)
_BETA = 1.2
_SIGMA = 6.0
"""Width of CIDEr's penalty for another length, in bigrams."""
_SMALL, _TINY = 1e-9, 1e-15
"""What pycocoevalcap adds below and above BLEU's fraction bars."""


def measures(predictions: Sequence[str], references: Sequence[Sequence[str]], names: Sequence[str]) -> dict[str, Sums]:
    """The named metrics of tokenised texts: `references[i]`, one or more, are those of `predictions[i]`."""
    assert not any(isinstance(texts, str) for texts in references), "a list of references for each report"
    sums: dict[str, Sums] = {}
    if {*BLEU, "cider"} & set(names):
        texts = _number(predictions, references)
        matched_4N, cosines_4R = [], []
        for grams in _tables(texts):  # one order at a time, for memory
            # n-grams of each prediction that a reference has, at most as often as the one that has most of them
            num_predicted, is_shared = grams.num_predicted, grams.match_R >= 0
            max_F = np.zeros(num_predicted, np.int64)
            np.maximum.at(max_F, grams.match_R[is_shared], grams.count_G[num_predicted:][is_shared])
            clipped_F = np.minimum(max_F, grams.count_G[:num_predicted])
            matched_4N.append(np.bincount(grams.text_G[:num_predicted], clipped_F, texts.num))
            cosines_4R += [_cosines(texts, grams)] if "cider" in names else []
        sums |= _bleu(texts, matched_4N)
        if cosines_4R:
            sums["cider"] = mean(_cider(texts, cosines_4R))
    if "rouge_l" in names:
        sums["rouge_l"] = mean([_rouge_l(*texts) for texts in zip(predictions, references, strict=True)])
    return {name: sums[name] for name in (*BLEU, "rouge_l", "cider") if name in names}


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

    The first `num_predicted` rows are of predictions (F), the rest of references (R): `match_R` is the row of the same
    n-gram in the prediction of the report, -1 for none. `num_grams`: different n-grams of all texts.
    """

    text_G: Ints
    gram_G: Ints
    count_G: Ints
    match_R: Ints
    num_predicted: int
    num_grams: int


def _number(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> _Texts:
    """Every word a number, in the order in which words first come.

    ["left lung", "no"], [["left lung"], ["no mass"]] -> words_W  0 1 | 2 | 0 1 | 2 3
                                                          text_W   0 0 | 1 | 2 2 | 3 3     sample_T  0 1 0 1
    """
    num = len(predictions)
    number_of = defaultdict[str, int](count().__next__).__getitem__
    words = [np.array([*map(number_of, text.split())], np.int64) for text in chain(predictions, *references)]
    length_T = np.array([len(text) for text in words], np.int64)
    return _Texts(
        num=num,
        sample_T=np.concatenate([np.arange(num), np.repeat(np.arange(num), [len(texts) for texts in references])]),
        length_T=length_T,
        words_W=np.concatenate(words),
        text_W=np.repeat(np.arange(len(words)), length_T),
    )


def _tables(texts: _Texts) -> Iterator[_Grams]:
    """The n-grams of each order; those of order n are numbered pairs of one of order n - 1 and a word.

    One text of the words 5 7 5 7, 8 different words in all:

        order  start_W  grams_W before      pair (gram * 8 + word)   grams_W after
        1      0 1 2 3  0 0 0 0             5  7  5  7               0 1 0 1
        2      0 1 2    0 1 0 (of 0 1 2)    7  13 7                  0 1 0         (5 7), (7 5), (5 7)
        3      0 1      0 1                 5  15                    0 1           (5 7 5), (7 5 7)

    Renumbering after every order keeps the pairs small: n words multiplied would overflow for long vocabularies.
    """
    num_words = int(texts.words_W.max(initial=-1)) + 1
    left_W = np.repeat(np.cumsum(texts.length_T), texts.length_T) - np.arange(len(texts.words_W))  # words to the end
    start_W, grams_W = np.arange(len(texts.words_W)), np.zeros_like(texts.words_W)
    for order in _ORDERS:
        is_whole = left_W[start_W] >= order  # an n-gram never reaches into the next text
        start_W = start_W[is_whole]
        pairs_W = grams_W[is_whole] * num_words + texts.words_W[start_W + order - 1]
        kinds, grams_W = np.unique(pairs_W, return_inverse=True)
        num_grams = len(kinds)
        # each n-gram once a text with its count; (text, gram) is one number, so that one sort does it
        rows_G, count_G = np.unique(texts.text_W[start_W] * num_grams + grams_W, return_counts=True)
        text_G, gram_G = np.divmod(rows_G, max(num_grams, 1))
        num_predicted = int(np.searchsorted(text_G, texts.num))
        # a reference's n-gram is looked up as (report, gram), which is how its prediction, text = report, is numbered
        keys_R = texts.sample_T[text_G[num_predicted:]] * num_grams + gram_G[num_predicted:]
        keys_F = np.append(rows_G[:num_predicted], -1)  # the last entry is for those after all others
        index_R = np.searchsorted(keys_F[:-1], keys_R)
        match_R = np.where(keys_F[index_R] == keys_R, index_R, -1)
        yield _Grams(text_G, gram_G, count_G, match_R, num_predicted, num_grams)


def _bleu(texts: _Texts, matched_4N: Sequence[NDArray[Any]]) -> dict[str, Sums]:
    """Corpus BLEU. Columns: words predicted, words wanted, n-grams predicted 1..4, n-grams matched 1..4."""
    length_N = texts.length_T[: texts.num]
    predicted = [np.maximum(length_N - order + 1, 0) for order in _ORDERS]
    # the length nearest to the prediction's among the references of each report, the shorter of two
    sample_R, length_R = texts.sample_T[texts.num :], texts.length_T[texts.num :]
    order_R = np.lexsort([length_R, np.abs(length_R - texts.length_T[sample_R]), sample_R])
    closest_N = length_R[order_R][np.searchsorted(sample_R, np.arange(texts.num))]
    columns_NK = np.stack([length_N, closest_N, *predicted, *matched_4N], 1).astype(np.float64)
    return {f"bleu_{order}": from_sums(columns_NK, partial(bleu_of_sums, n=order)) for order in _ORDERS}


def bleu_of_sums(sums_RK: Floats, n: int) -> Floats:
    """float64[R]: BLEU-n of summed columns, with the arithmetic of pycocoevalcap."""
    precisions_RN = (sums_RK[:, 6 : 6 + n] + _TINY) / (sums_RK[:, 2 : 2 + n] + _SMALL)
    ratio_R = (sums_RK[:, 0] + _TINY) / (sums_RK[:, 1] + _SMALL)  # of lengths
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
    # inverse document frequency: log of all reports over those that have the n-gram in a reference
    gram_R, sample_R = grams.gram_G[grams.num_predicted :], texts.sample_T[grams.text_G[grams.num_predicted :]]
    pairs = np.sort(sample_R * grams.num_grams + gram_R)
    is_first = np.diff(pairs, prepend=-1) > 0  # several references of a report are one document
    reports = np.bincount(pairs[is_first] % max(grams.num_grams, 1), minlength=grams.num_grams)
    rarity = np.log(texts.num) - np.log(np.maximum(reports, 1.0))
    weight_G = grams.count_G * rarity[grams.gram_G]
    norm_T = np.sqrt(np.bincount(grams.text_G, weight_G**2, len(texts.length_T)))
    # dot products over the n-grams that a reference shares with its prediction
    is_shared = grams.match_R >= 0
    theirs_S, mine_S = weight_G[grams.num_predicted :][is_shared], weight_G[grams.match_R[is_shared]]
    text_S = grams.text_G[grams.num_predicted :][is_shared]
    dot_T = np.bincount(text_S, np.minimum(mine_S, theirs_S) * theirs_S, len(norm_T))
    norms_T = norm_T * norm_T[texts.sample_T]
    return np.divide(dot_T, norms_T, out=np.zeros(len(norm_T)), where=norms_T != 0)[texts.num :]


def _rouge_l(prediction: str, references: Sequence[str]) -> float:
    """ROUGE-L of one report; an empty text counts as one empty word, as in pycocoevalcap."""
    words = prediction.split(" ")  # not split(): "" must be one word
    texts = [text.split(" ") for text in references]
    lengths = [common_subsequence(words, text) for text in texts]
    precision = max(lengths) / len(words)
    recall = max(length / len(text) for length, text in zip(lengths, texts, strict=True))
    if not precision or not recall:
        return 0.0
    return ((1 + _BETA**2) * precision * recall) / (recall + _BETA**2 * precision)


def common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence, a row of the table at a time: one bit for each word of `second`.

    Source: H. Hyyrö, Bit-parallel LCS-length computation revisited, AWOCA 2004.
    """
    bits_of: dict[str, int] = {}
    for index, word in enumerate(second):
        bits_of[word] = bits_of.get(word, 0) | 1 << index
    # a 0 in the row: there the length grows by one, so that its zeros are the length
    row = ones = (1 << len(second)) - 1
    for word in first:
        shared = row & bits_of.get(word, 0)
        row = (row + shared) | (row - shared)
    return len(second) - (row & ones).bit_count()
