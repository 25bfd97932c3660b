import numpy as np
import pytest

from medglip.eval.hf_metrics import HeatMaps
from medglip.eval.metrics.detection.pointing import (
    contrast_to_noise,
    heat_map_measures,
    hits_truth,
    threshold_iou,
)
from medglip.grounding.bad_input import BadInput

TRUTH = np.zeros((4, 4), bool)
TRUTH[:2, :2] = True
HOT = np.where(TRUTH, 0.8, 0.25)
HOT[0, 0] = 0.4  # inside: mean .7, variance .03; outside: .25, 0


def test_heat_maps_by_hand() -> None:
    assert hits_truth(HOT, TRUTH)
    assert not hits_truth(-HOT, TRUTH)
    assert contrast_to_noise(HOT, TRUTH) == pytest.approx(0.45 / 0.03**0.5)
    assert contrast_to_noise(-HOT, TRUTH, signed=True) == pytest.approx(-0.45 / 0.03**0.5)
    assert contrast_to_noise(-HOT, TRUTH) == contrast_to_noise(HOT, TRUTH)
    assert threshold_iou(HOT, TRUTH) == pytest.approx((4 / 16 + 4 / 16 + 1 + 1 + 3 / 4) / 5)


def test_the_shell_gives_the_same_and_cnr_only_where_defined() -> None:
    flat = np.full((4, 4), 0.5)
    found = heat_map_measures([HOT, flat], [TRUTH, TRUTH])
    assert found["cnr"].rows_N.tolist() == [0]
    shell = HeatMaps().compute(predictions=[HOT.tolist(), flat.tolist()], references=[TRUTH.tolist()] * 2)
    assert shell == {name: measure.value for name, measure in found.items()}


def test_bad_heat_maps_are_refused_with_their_number() -> None:
    for maps, truths, said in (
        ([HOT], [], "1 heat maps for 0 truths"),
        ([HOT, HOT[:2]], [TRUTH, TRUTH], "row 2: heat of shape"),
        ([HOT * np.nan], [TRUTH], "row 1: heat is not finite"),
        ([HOT], [~TRUTH & TRUTH], "row 1: no true pixel"),
    ):
        with pytest.raises(BadInput, match=said):
            heat_map_measures(maps, truths)
