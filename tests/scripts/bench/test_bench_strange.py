"""The benchmark of strange pictures: each kind opens and differs, and its table ranks as it says."""

from pathlib import Path

import numpy as np
import pytest

from medglip.grounding.imaging.read import read_image
from medglip.scripts.bench.cores.strange import KINDS, SIDE_PX, draw, table


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_of_a_kind_differ_and_a_seed_gives_them_again(kind: str, tmp_path: Path) -> None:
    one, two, again = (
        draw(tmp_path / f"{k}", kind, np.random.default_rng(seed), 2) for k, seed in enumerate((0, 1, 0))
    )
    assert {read_image(image.image_path).size for image in (*one, *two)} == {(SIDE_PX, SIDE_PX)}
    assert len({image.image_path.read_bytes() for image in (*one, *two)}) == 4
    assert [a.image_path.read_bytes() == b.image_path.read_bytes() for a, b in zip(one, again, strict=True)] == [
        True
    ] * 2


def test_less_familiar_ones_have_an_area_of_one_and_those_below_the_limit_are_counted() -> None:
    rows = table({"odd": np.array([0.1, 0.2]), "known": np.array([0.9, 0.95])}, known=np.array([0.7, 0.8]))
    assert rows[2:] == ["| odd | 2 | 1.000 | 1.00 |", "| known | 2 | 0.000 | 0.00 |"]
