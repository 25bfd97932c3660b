"""What several tests make or compare: closeness against a tensor's scale, an image, a folder made once for all."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock
from numpy.typing import ArrayLike
from PIL import Image

from medglip.grounding.types import AnnotatedImage


def is_close(ours: ArrayLike | torch.Tensor, theirs: ArrayLike | torch.Tensor, part: float) -> bool:
    """Whether no element differs by more than `part` of the largest magnitude in `theirs`.

    Sums run in another order on another CPU or with other threads, and the error of a sum follows its largest terms:
    an element near 0 beside elements of 8 may differ by more than 1e-6 without a fault.
    """
    a, b = (
        x.detach().double().numpy() if isinstance(x, torch.Tensor) else np.asarray(x, float) for x in (ours, theirs)
    )
    assert a.shape == b.shape, f"{a.shape} is not {b.shape}"
    return bool(np.abs(a - b).max(initial=0) <= part * max(float(np.abs(b).max(initial=0)), 1e-12))


def are_close(ours: Mapping[str, torch.Tensor], theirs: Mapping[str, torch.Tensor], part: float) -> bool:
    """`is_close` for named tensors, against the largest of all: some gradients are 0 but for noise."""
    assert ours.keys() == theirs.keys()
    scale = max(float(value.detach().abs().max()) for value in theirs.values())
    return all(float((ours[name] - value).detach().abs().max()) <= part * scale for name, value in theirs.items())


def make_image(name: str, **changes: Any) -> AnnotatedImage:
    """An image of nothing, its file `<name>.png`, its group itself; `changes`: fields that are to be others."""
    fields: dict[str, Any] = {"image_path": Path(f"{name}.png"), "modality": "ct", "group": name}
    fields |= {"dataset": "t", "split": "test", "size_px": (100, 50)}
    return AnnotatedImage(image_id=name, **fields | changes)


def write_image(path: Path, size: tuple[int, int] = (8, 6), mode: str = "RGB", colour: int = 0) -> Path:
    """Write an image of one colour, with its folders; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)
    return path


def make_once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], Path]) -> Path:
    """What `make(folder)` returns, made by the first worker of the test run that asks; the others wait for it."""
    top = tmp_path_factory.getbasetemp()
    top = top.parent if top.name.startswith("popen-") else top  # a worker's own folder lies in that of the run
    folder, note = top / "made-once" / name, top / "made-once" / f"{name}.json"
    folder.parent.mkdir(exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not note.exists():
            folder.mkdir(exist_ok=True)
            note.write_text(json.dumps(str(make(folder))))
        return Path(json.loads(note.read_text()))
