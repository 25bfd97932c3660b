"""The contact sheet: one file without links, a figure a sample, boxes in pixels of the original, text escaped."""

import re
from collections.abc import Callable
from dataclasses import replace

from medglip.grounding import AnnotatedImage
from medglip.grounding.datasets.building.contact_sheet import contact_sheet
from medglip.grounding.datasets.schema import to_dataset


def test_the_sheet_is_one_file_with_the_samples_of_each_set(
    make_studies: Callable[[int], list[AnnotatedImage]],
) -> None:
    drawn = make_studies(6)
    data = to_dataset([*drawn[:4], *(replace(image, dataset="<b>") for image in drawn[4:])])
    page = contact_sheet(data, 3, seed=0)
    assert page == contact_sheet(data, 3, seed=0)
    assert page != contact_sheet(data, 3, seed=1)
    assert page.count("<figure>") == 3 + 2
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "<b>" not in page
    assert "&lt;b&gt;" in page
    assert page.count("<rect") == 10
    assert "left lung</i>" not in page
    assert "left lung (absent)" in page


def test_a_picture_that_cannot_be_read_is_named(make_studies: Callable[[int], list[AnnotatedImage]]) -> None:
    image = make_studies(1)[0]
    image.image_path.unlink()
    assert "no such image" in contact_sheet(to_dataset([image]), 1, seed=0)
