"""Rule `parts-1`: which patients teach (split `train`), choose (`val`) and are reported on (`test`), and the halves.

One patient has one part in every recipe, task and core: it follows from the set and the patient's name, from no seed.
"""

from collections.abc import Hashable, Mapping
from typing import Literal, TypeVar

from ..bad_input import BadInput, nearest
from .corpus import draw

RULE = "parts-1"
SPLITS = ("train", "val", "test")
PARTS = {"select": "val", "report": "test"}
"""What splits are for: `val` selects (thresholds, early stop, choices), every figure is reported on `test`."""
MANY = 20
"""From so many units on, a unit's part follows from its own name alone."""
_SHARES = {"test": 0.12, "val": 0.10}
_MAX_SHARE = 0.34  # of few units, none with more of the images leaves `train`

Half = Literal["", "a", "b"]
Unit = TypeVar("Unit", bound=Hashable)


def parse_split(word: str) -> str:
    """`train`, `val` or `test`, from that name or from what it is for: train, select, report. Raises `BadInput`."""
    name = word.strip().lower()
    if (split := PARTS.get(name, name)) not in SPLITS:
        raise BadInput(f"unknown split {word!r}.", fix=nearest(name, (*SPLITS, *PARTS)))
    return split


def assign_parts(sizes: Mapping[Unit, int], draws: Mapping[Unit, float]) -> dict[Unit, str]:
    """The split of each unit (patient, block) of a whole set. `sizes`: its images; `draws`: its `draw` by `RULE`.

    Of fewer than `MANY` units, lowest draws fill `test` and then `val`, but for units that are most of the set. Fewer
    than 3 units or 10 images have no `val`; one unit is all `train`.
    """
    # 0 ...... .12 ....... .22 ......................... 1
    #    test        val               train
    test, val = _SHARES["test"], _SHARES["test"] + _SHARES["val"]
    if len(sizes) >= MANY:
        return {unit: "test" if draws[unit] < test else "val" if draws[unit] < val else "train" for unit in sizes}
    order, total = sorted(sizes, key=lambda unit: draws[unit]), sum(sizes.values())
    parts = dict.fromkeys(order, "train")
    has_val = len(order) >= 3 and total >= 10
    for split in ("test", "val")[: has_val + 1 if len(order) > 1 else 0]:
        filled, learned = 0, sum(sizes[unit] for unit in order if parts[unit] == "train")
        for unit in (unit for unit in order if parts[unit] == "train"):
            is_small = sizes[unit] <= _MAX_SHARE * total and learned - filled - sizes[unit] >= total / 2
            if is_small and filled < 0.8 * _SHARES[split] * total:  # about full: the next unit would be too much
                parts[unit], filled = split, filled + sizes[unit]
        if not filled:  # every unit is large: the smallest
            rest = [unit for unit in order if parts[unit] == "train"]
            if len(rest) > 1:
                parts[min(rest, key=lambda unit: sizes[unit])] = split
    return parts


def draw_parts(sizes: Mapping[str, int]) -> dict[str, str]:
    """The split of each unit of a whole set, by the rule of the house."""
    return assign_parts(sizes, {unit: draw(unit, RULE) for unit in sizes})


def draw_halves(sizes: Mapping[str, int], parts: Mapping[str, str]) -> dict[str, str]:
    """`a` or `b` for each unit of `train`: two cores that learn a half each see, together, what neither learned.

    Of many units by the name alone, so that a patient in two sets is in one half; of few, equal by images.
    """
    units = [unit for unit in sizes if parts[unit] == "train"]
    if len(sizes) >= MANY:
        return {unit: "a" if draw(unit, "halves-1") < 0.5 else "b" for unit in units}
    halves: dict[str, str] = {}
    loads = {"a": 0, "b": 0}
    for unit in sorted(units, key=lambda unit: (-sizes[unit], draw(unit, "halves-1"))):
        halves[unit] = min(loads, key=lambda half: (loads[half], draw(unit, f"halves-{half}")))
        loads[halves[unit]] += sizes[unit]
    return halves
