import evaluate
import numpy as np
import pytest

from medglip.eval.hf_metrics import PhraseGrounding
from medglip.eval.metrics.detection.pairs import Pair, dice, make_pair
from medglip.eval.metrics.detection.phrase import grounding_measures
from medglip.grounding.bad_input import BadInput
from medglip.grounding.types import Region


def _pair(truths: list[list[float]], boxes: list[list[float]], scores: list[float]) -> Pair:
    order = np.argsort(-np.array(scores), kind="stable")
    return Pair(
        truths_G4=np.array(truths, np.float32).reshape(-1, 4),
        boxes_P4=np.array(boxes, np.float32).reshape(-1, 4)[order],
        scores_P=np.array(scores, np.float64)[order],
        num_confident=sum(score >= 0.5 for score in scores),
    )


def _values(pairs: list[Pair]) -> dict[str, float]:
    return {name: part.value for name, part in grounding_measures(pairs).items()}


BOX = [0.0, 0.0, 10.0, 10.0]


def test_false_positives_on_images_without_truth_count() -> None:
    right = [_pair([BOX], [BOX], [0.9]), _pair([BOX], [BOX], [0.7])]
    assert _values(right)["ap50"] == pytest.approx(1.0)
    assert _values([*right, _pair([], [], [])])["ap50"] == pytest.approx(1.0)
    lowered = _values([*right, _pair([], [BOX], [0.95])])
    assert lowered["ap50"] == pytest.approx(2 / 3)  # two hits below one false positive: precision 2/3 at every recall
    assert lowered["miou"] == lowered["acc_iou50"] == 1.0


def test_values_by_hand() -> None:
    half = [0.0, 0.0, 10.0, 6.0]  # IoU .6 with BOX: a hit at .5, .55, .6 of the ten thresholds
    found = _values([_pair([BOX], [half, BOX], [0.9, 0.1]), _pair([BOX], [], [])])
    assert found["ap50"] == pytest.approx(51 / 101)  # recall .5 at precision 1
    assert found["ap75"] == pytest.approx(51 / 101 / 2)  # the second box hits, at precision 1/2
    assert found["ap"] == pytest.approx((3 * 51 / 101 + 7 * 51 / 101 / 2) / 10)
    assert found["miou"] == pytest.approx(0.3)  # the top box counts, not the better one; the failure is 0
    assert found["acc_iou50"] == 0.5


def test_no_predictions_give_zero_and_perfect_ones_one() -> None:
    nothing = _values([_pair([BOX], [], []), _pair([BOX], [], [])])
    assert set(nothing.values()) == {0.0}
    assert set(nothing) == {
        *("ap", "ap50", "ap75", "ar_100", "miou", "acc_iou50", "union_iou", "hungarian_iou", "t_acc"),
        *("precision_50", "recall_50", "f1_50", "pr_f1_50", "cpm"),
    }
    both = [BOX, [20, 20, 30, 30]]
    right = _values([_pair(both, both, [1, 1])])
    assert {name: round(value, 9) for name, value in right.items()} == dict.fromkeys(nothing, 1) | {
        "ece": 0,
        "brier": 0,
    }


def test_no_truth_at_all_is_refused() -> None:
    with pytest.raises(BadInput, match="no true region"):
        grounding_measures([_pair([], [BOX], [1.0])])


@pytest.mark.parametrize("seed", range(4))
def test_own_ranking_equals_faster_coco_eval(seed: int) -> None:
    rng = np.random.default_rng(seed)

    def boxes(num: int) -> np.ndarray:
        corner = rng.integers(0, 30, (num, 2))
        return np.concatenate([corner, corner + rng.integers(4, 30, (num, 2))], 1)

    pairs = []
    for _ in range(200):
        truths = boxes(int(rng.integers(0, 4)))
        found = np.concatenate([truths + rng.integers(0, 3, (len(truths), 1)), boxes(int(rng.integers(0, 4)))])
        pairs.append(_pair(truths.tolist(), found.tolist(), rng.permutation(len(found)).tolist()))
    scores = iter(rng.permutation(2000) / 2000)
    pairs = [_pair(p.truths_G4.tolist(), p.boxes_P4.tolist(), [next(scores) for _ in p.scores_P]) for p in pairs]
    measures = grounding_measures(pairs)
    for name in ("ap", "ap50", "ap75", "ar_100", "cpm"):
        part = measures[name]
        assert float(part.value_at(np.ones((1, 200)))[0]) == pytest.approx(part.value, abs=1e-9)
    drawn = rng.integers(0, 200, 200)
    weights = np.bincount(drawn, minlength=200)[None].astype(float)
    again = grounding_measures([pairs[row] for row in sorted(drawn)])
    for name in ("ap", "ap50", "ap75", "ar_100", "cpm"):
        assert float(measures[name].value_at(weights)[0]) == pytest.approx(again[name].value, abs=1e-9)


def test_dice_by_hand() -> None:
    mask = np.zeros((4, 4), bool)
    mask[:2] = True
    left = np.zeros((4, 4), bool)
    left[:, :2] = True
    assert dice(mask, left) == 0.5
    assert dice(mask & ~mask, mask & ~mask) == 1.0
    truth = [Region(phrase="p", box_xyxy_px=np.array([0, 0, 4, 2]), mask=mask)]
    top = Region(phrase="p", box_xyxy_px=np.array([0, 0, 4, 2]), mask=mask, score=0.9)
    low = Region(phrase="p", box_xyxy_px=np.array([0, 0, 4, 4]), mask=~mask, score=0.2)
    assert make_pair(truth, [top, low]).dice == 1.0  # the low one is under the threshold
    assert make_pair(truth, [top, low], score_threshold=0.1).dice == pytest.approx(2 * 8 / (16 + 8))
    assert make_pair(truth, []).dice == 0.0
    boxed = Region(phrase="p", box_xyxy_px=np.array([0, 0, 4, 2]), score=0.9)
    assert make_pair(truth, [boxed]).dice == 1.0  # without a mask, the filled box
    assert make_pair([boxed], [top]).dice is None
    assert make_pair([], [top]).dice is None
    assert grounding_measures([make_pair(truth, [top]), make_pair([], [top])])["dice"].value == 1.0


def test_masks_of_different_images_are_refused() -> None:
    regions = [Region(phrase="p", box_xyxy_px=np.array([0, 0, 4, 2]), mask=np.ones((4, n), bool)) for n in (4, 5)]
    with pytest.raises(BadInput, match="different sizes"):
        make_pair(regions[:1], regions[1:])


def test_metric_of_evaluate() -> None:
    rows = {
        "predictions": [[{"box_xyxy_px": BOX, "score": 0.9}], [{"box_xyxy_px": BOX, "score": 0.95}], []],
        "references": [[{"box_xyxy_px": BOX}], [], []],
    }
    found = evaluate.combine([PhraseGrounding()]).compute(**rows)
    assert found["ap50"] == pytest.approx(0.5)
    assert found["miou"] == 1.0
