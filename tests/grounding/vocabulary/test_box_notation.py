"""A box in whole percent, the notation of families without their own."""

import numpy as np
import pytest

from medglip.grounding.bad_input import BadInput
from medglip.grounding.vocabulary.box_notation import PERCENT


def test_percent_is_what_evidence_writes() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        size = (int(rng.integers(30, 3000)), int(rng.integers(30, 3000)))
        box = np.sort(rng.uniform(0, 1, (2, 2)), 0).astype(np.float32).reshape(4) * np.array(size * 2, np.float32)
        percent = np.rint(100 * box / np.array(size * 2, np.float32)).astype(int).clip(0, 100)
        assert PERCENT.encode(box, size) == " ".join(map(str, percent.tolist()))


@pytest.mark.parametrize("text", ["", "no box", "12 20 31", "50 50 20 60"])
def test_what_is_no_box_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match=r"no box in|wrong order"):
        PERCENT.decode(text, (100, 100))
