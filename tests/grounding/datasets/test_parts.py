"""Rule `parts-1`: who teaches, who selects, who is reported on."""

import os
from collections import Counter
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest
import yaml

from medglip.grounding import BadInput
from medglip.grounding.datasets.layouts import coco
from medglip.grounding.datasets.load import keep_half, load_images
from medglip.grounding.datasets.parts import MANY, draw_halves, draw_parts, parse_split
from medglip.grounding.datasets.schema import images
from medglip.grounding.datasets.settings import DataSettings
from medglip.grounding.vocabulary.labels import load_labels

from .test_load import write_set

UNITS = Counter({f"patient {k}": 1 + k % 3 for k in range(200)})
RECIPES = Path(__file__).parents[3] / "recipes"


def test_of_many_units_each_has_the_part_of_its_name() -> None:
    parts = draw_parts(UNITS)
    some = Counter(dict(list(UNITS.items())[40:90]))
    assert draw_parts(some) == {unit: parts[unit] for unit in some}
    shares = Counter(parts.values())
    assert 10 < shares["val"] < 35
    assert 12 < shares["test"] < 40


def test_parts_are_those_that_were_published() -> None:
    # a change of the rule makes every figure of a card a figure of learned images
    parts = draw_parts(Counter({f"p{k}": 2 for k in range(12)}))
    assert sorted(unit for unit, part in parts.items() if part != "train") == ["p2", "p5", "p7"]
    assert Counter(parts.values()) == {"train": 9, "test": 2, "val": 1}


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([16], {"train": 1}),
        ([5, 4], {"train": 1, "test": 1}),
        ([3, 3, 1], {"train": 2, "test": 1}),  # 7 images: reported on, nothing is chosen on it
        ([10, 9, 1], {"train": 1, "val": 1, "test": 1}),
    ],
)
def test_of_few_units_train_keeps_the_largest_and_test_comes_before_val(
    sizes: list[int], expected: dict[str, int]
) -> None:
    units = Counter({f"unit {k}": size for k, size in enumerate(sizes)})
    parts = draw_parts(units)
    assert Counter(parts.values()) == expected
    assert parts[max(units, key=lambda unit: units[unit])] == "train"


@pytest.mark.parametrize("count", [3, MANY - 1, MANY, 80])
def test_halves_share_out_train_and_nothing_else(count: int) -> None:
    units = Counter(dict(list(UNITS.items())[:count]))
    parts = draw_parts(units)
    halves = draw_halves(units, parts)
    assert halves.keys() == {unit for unit, part in parts.items() if part == "train"}
    assert set(halves.values()) == {"a", "b"}


@pytest.mark.parametrize(("word", "split"), [("select", "val"), ("Report", "test"), ("train", "train"), ("val", "val")])
def test_a_split_has_the_name_of_what_it_is_for(word: str, split: str) -> None:
    assert parse_split(word) == split
    with pytest.raises(BadInput, match="selection"):
        parse_split("selection")


def test_a_set_of_patients_loads_in_three_parts_and_two_halves(tmp_path: Path) -> None:
    settings = write_set(tmp_path / "set", 90, 30).model_copy(update={"val_fraction": None})
    data, again = load_images([settings], 0)[0], load_images([settings], 7)[0]
    assert data["split"][:] == again["split"][:]  # of no seed
    assert set(data["split"][:]) == {"train", "val", "test"}
    a, b = (list(images(load_images([settings], 0, half)[0])) for half in ("a", "b"))
    learned, other = ({image.group for image in part if image.split == "train"} for part in (a, b))
    assert not learned & other
    assert learned | other == {image.group for image in images(data) if image.split == "train"}
    assert [image.image_id for image in a if image.split != "train"] == [i.image_id for i in b if i.split != "train"]
    limited = settings.model_copy(update={"limit": 20})
    assert {image.group for image in images(load_images([limited], 0, "a")[0]) if image.split == "train"} <= learned
    assert keep_half(data, "a")["image_id"][:] == [image.image_id for image in a]


def test_blocks_of_numbered_images_are_groups(tmp_path: Path) -> None:
    settings = write_set(tmp_path / "set", 12).model_copy(update={"block": 4})
    groups = {image.image_path.stem: image.group for image in images(load_images([settings], 0)[0])}
    assert groups == {str(k): f"block{k // 4}" for k in range(12)}


def test_splits_of_a_set_that_are_not_by_patient_are_drawn_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = write_set(tmp_path / "set", 90, 30).model_copy(update={"val_fraction": None})
    read = coco.read
    monkeypatch.setattr(coco, "read", lambda *args, **more: (replace(i, split="val") for i in read(*args, **more)))
    for split, expected in (("keep", {"val"}), ("hash", {"train", "val", "test"})):
        assert set(load_images([settings.model_copy(update={"split": split})], 0)[0]["split"][:]) == expected


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("MEDGLIP_DATA"), reason="MEDGLIP_DATA is not set")
def test_every_public_set_loads_and_no_patient_is_in_two_parts() -> None:
    recipe = yaml.safe_load((RECIPES / "small_research.yaml").read_text())["grounding"]
    lists = [yaml.safe_load((RECIPES / file).read_text()) for file in recipe["data_files"]]
    rows = chain(recipe["data"][1:], *lists)  # all but the phantoms
    sets = [DataSettings.model_validate(row) for row in rows]
    data, skipped = load_images(sets, 0)
    assert (len(sets), len(data), sum(map(len, data["regions"][:])), len(skipped.entries)) == (69, 2777, 18146, 2)
    assert Counter(data["split"][:]) == {"train": 2073, "val": 346, "test": 358}
    parts: dict[tuple[str, str], set[str]] = {}
    lungs = {"covid_cxr", "xray_chest_parts"}  # two sets of the same patients
    for name, group, split in zip(data["dataset"][:], data["group"][:], data["split"][:], strict=True):
        parts.setdefault(("lungs" if name in lungs else name, group), set()).add(split)
    assert [unit for unit, splits in parts.items() if len(splits) > 1] == []
    known = {phrase for phrases in data["phrases"][:] for phrase in phrases}
    assert known <= load_labels().labels.keys()
    assert "unknown" not in data["modality"][:]
    assert data["body_part"][:].count("") == 154  # nuclei of various places
