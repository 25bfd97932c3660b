"""Which regions a prompt shows where `max_regions_per_image` is set: findings first, and of anatomy no more than these.

By score alone two sure lungs of each of two views fill every place of a chest study, and no finding is left room.
"""

from collections import Counter
from collections.abc import Sequence

from ..types import Region
from ..vocabulary.labels import load_labels

MAX_ANATOMY = 2
"""Regions of anatomy on an image where no finding is found."""
_DEVICE = "support device"
_FINDING, _ANATOMY = 1, 3


def kind_of(region: Region) -> str:
    """`finding`, `device` (tubes, wires, pacemakers) or `anatomy`, by its place in the label tree.

    What the tree does not hold counts as a finding: nobody outlines what is usual under a name of its own.
    """
    tree, label = load_labels(), region.path[-1] if region.path else region.phrase
    if _DEVICE in tree.path(label):
        return "device"
    return "finding" if tree.level(label) in ("finding", "") else "anatomy"


def choose(
    rows: Sequence[tuple[int, Region, bool]], max_regions: int, max_per_image: int
) -> list[tuple[int, Region, bool]]:
    """Of regions (index of the image, region, whether it was asked for), best first, those that are shown, in order.

    Each takes a place in its turn: what was asked for, findings, devices, anatomy; an organ once in a prompt. Choosing
    again among the chosen changes nothing.

        found   left lung .9, right lung .9, edema .5 | left lung .9, right lung .9      in two views
        shown   left lung, edema                      | right lung
    """
    tiers = [0 if asked else {"finding": _FINDING, "device": 2}.get(kind_of(r), _ANATOMY) for _, r, asked in rows]
    is_finding = [kind_of(region) == "finding" for _, region, _ in rows]
    shows_finding = {index for (index, _, _), found in zip(rows, is_finding, strict=True) if found}
    places, findings, anatomy = Counter[int](), Counter[int](), Counter[int]()
    names, chosen = set[str](), set[int]()
    for row in sorted(range(len(rows)), key=lambda row: tiers[row]):  # stable: best first within a tier
        index, region, _ = rows[row]
        if len(chosen) == max_regions:
            break
        if places[index] == max_per_image:
            continue
        if tiers[row] == _ANATOMY:
            most = findings[index] if index in shows_finding else MAX_ANATOMY
            if anatomy[index] >= most or region.phrase in names:
                continue
            names.add(region.phrase)
        chosen.add(row)
        places[index] += 1
        findings[index] += is_finding[row]
        anatomy[index] += kind_of(region) == "anatomy"
    return [rows[row] for row in sorted(chosen)]
