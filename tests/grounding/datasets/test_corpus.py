from pathlib import Path

import pytest

from medglip.grounding.bad_input import BadInput
from medglip.grounding.datasets.corpus import data_folder, held_out

GROUPS = [f"patient {k}" for k in range(200)]


def test_held_out_depends_on_the_group_and_the_seed_alone() -> None:
    whole = held_out(GROUPS, 0.2, seed=3)
    assert whole == held_out([*reversed(GROUPS), *GROUPS], 0.2, seed=3)
    assert whole & set(GROUPS[:80]) == held_out(GROUPS[:80], 0.2, seed=3)
    assert whole != held_out(GROUPS, 0.2, seed=4)


def test_a_smaller_fraction_holds_out_a_part_of_the_same_groups() -> None:
    assert held_out(GROUPS, 0.1, seed=0) < held_out(GROUPS, 0.3, seed=0)
    assert 20 < len(held_out(GROUPS, 0.2, seed=0)) < 60


@pytest.mark.parametrize(("count", "fraction"), [(2, 0.01), (2, 0.99), (3, 0.5)])
def test_both_sides_get_a_group_where_there_are_two(count: int, fraction: float) -> None:
    for seed in range(20):
        assert 0 < len(held_out(GROUPS[:count], fraction, seed)) < count


def test_nothing_is_held_out_of_one_group_or_with_fraction_zero() -> None:
    assert not held_out(GROUPS[:1], 0.9, seed=0)
    assert not held_out(GROUPS, 0.0, seed=0)
    assert not held_out([], 0.5, seed=0)


def test_a_folder_is_absolute_or_below_the_data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "set").mkdir()
    monkeypatch.setenv("MEDGLIP_DATA", str(tmp_path))
    assert data_folder(Path("set")) == data_folder(tmp_path / "set") == tmp_path / "set"
    with pytest.raises(BadInput, match="nowhere"):
        data_folder(Path("nowhere"))
