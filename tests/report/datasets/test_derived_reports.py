"""Reports out of regions: each sentence speaks of its own regions, is borne out by the masks, and denies nothing."""

from pathlib import Path

import numpy as np
import pytest
from making import make_image

from medglip.grounding.datasets.phantoms import dataset as phantom
from medglip.grounding.datasets.schema import images as images_of
from medglip.grounding.types import AnnotatedImage, Region
from medglip.grounding.vocabulary.labels import load_labels
from medglip.grounding.vocabulary.negation import blank_denied
from medglip.grounding.vocabulary.statements import read_statements
from medglip.report.datasets.derived import to_reports
from medglip.report.records import truth_of_image
from medglip.report.task import Report


def _box(phrase: str, *box: int) -> Region:
    return Region(phrase=phrase, box_xyxy_px=np.array(box, np.float32))


def _image(*regions: Region, modality: str = "mr", phrases: tuple[str, ...] = ()) -> AnnotatedImage:
    return make_image(
        "set/1.png",
        image_path=Path("/images/1.png"),
        modality=modality,
        group="1",
        dataset="set",
        split="train",
        size_px=(90, 90),
        regions=regions,
        phrases=(*dict.fromkeys(region.phrase for region in regions), *phrases),
    )


@pytest.fixture(scope="module")
def of_phantoms(phantoms: Path) -> list[Report]:
    return to_reports(images_of(phantom.read(phantoms)))


def test_what_is_said_follows_from_the_regions(of_phantoms: list[Report]) -> None:
    assert len(of_phantoms) == 105
    for report in of_phantoms:
        truth = truth_of_image(report.image)
        said = [statement for sentence in report.sentences for statement in read_statements(sentence)]
        assert said
        for statement in said:
            assert any(known.entails(statement) for known in truth), (statement, report.text)


def test_sentences_make_the_text_and_name_their_regions_alone(of_phantoms: list[Report]) -> None:
    for report in of_phantoms:
        assert report.text == " ".join(sentence.text for sentence in report.sentences)
        assert not report.sentences[0].regions
        for sentence in report.sentences[1:]:
            assert {region.phrase for region in sentence.regions} == set(load_labels().phrases_in(sentence.text))


def test_nothing_is_denied(of_phantoms: list[Report]) -> None:
    absent = _image(_box("spleen", 5, 30, 25, 60), modality="ct", phrases=("lung tumor", "pancreas"))
    for report in [*of_phantoms, *to_reports([absent])]:
        assert all(blank_denied(sentence.text) == sentence.text for sentence in report.sentences)


def test_a_place_is_named_only_where_it_is_certain_and_a_number_never() -> None:
    """A centre on a line of the grid has no place; several of a kind and kinds that are annotated in part have none."""
    clear, unclear = _box("spinal canal", 40, 5, 50, 25), _box("pancreas", 50, 60, 70, 80)
    discs = [_box("vertebra", 5, y, 20, y + 10) for y in (5, 25, 45)]
    [report] = to_reports([_image(clear, unclear, *discs, _box("hard exudates", 80, 80, 85, 85))])
    assert [sentence.text for sentence in report.sentences] == [
        "MRI image.",
        "Several vertebrae are seen.",
        "The pancreas is seen.",
        "The spinal canal lies in the upper part of the image.",
        "Hard exudates are seen.",
    ]
    assert [len(sentence.regions) for sentence in report.sentences] == [0, 3, 1, 1, 1]


def test_a_picture_without_regions_has_no_report() -> None:
    assert to_reports([_image(phrases=("polyp",))]) == []
