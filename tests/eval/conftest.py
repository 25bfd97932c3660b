from collections.abc import Callable
from typing import Any

import pytest

Record = dict[str, Any]


def _record(number: int, task: str, answer: Any, prediction: Any, **others: Any) -> Record:
    return {
        "id": f"s{number}",
        "dataset": "toy",
        "split": "test",
        "task": task,
        "image_id": f"image{number}",
        "cluster_id": f"patient{number // 2}",
        "question": "opacity",
        "answer": answer,
        "prediction": prediction,
        **others,
    }


@pytest.fixture
def record() -> Callable[..., Record]:
    """`record(number, task, answer, prediction, **others)`; two numbers a patient."""
    return _record


@pytest.fixture
def region() -> Callable[..., Record]:
    """`region(x0, y0, x1, y1, score=1.0, mask_rle=None)` as a record holds it."""

    def make(*box: float, score: float = 1.0, mask_rle: Record | None = None) -> Record:
        return {"phrase": "opacity", "box_xyxy_px": list(box), "score": score, "path": [], "mask_rle": mask_rle}

    return make
