"""Citations are read back as they were written; those of regions that do not exist are told apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medglip.vqa.citations import parse_citations, with_citations

words = st.text(st.characters(exclude_characters="[]", exclude_categories=("Cs",)), max_size=20).map(str.strip)
numbers = st.lists(st.integers(0, 9999), unique=True, max_size=5)


@given(words, numbers, st.integers(0, 20))
def test_what_is_written_is_read_back(text: str, cited: list[int], num_regions: int) -> None:
    found = parse_citations(with_citations(text, cited), num_regions)
    assert found.text == text
    assert set(found.cited) | set(found.missing) == set(cited)
    assert all(1 <= number <= num_regions for number in found.cited)
    assert not any(1 <= number <= num_regions for number in found.missing)


@pytest.mark.parametrize(
    ("raw", "text", "cited", "missing"),
    [
        ("yes [1].", "yes.", (1,), ()),
        ("[2] liver [ 1,3 ] and spleen [2][9]", "liver and spleen", (2, 1, 3), (9,)),
        ("at [0.12, 0.20, 0.31, 0.44]", "at [0.12, 0.20, 0.31, 0.44]", (), ()),
        ("see [a], [] and [-1]", "see [a], [] and [-1]", (), ()),
        ("no [0]", "no", (), (0,)),
        ("", "", (), ()),
    ],
)
def test_forms_of_citations(raw: str, text: str, cited: tuple[int, ...], missing: tuple[int, ...]) -> None:
    found = parse_citations(raw, 3)
    assert (found.text, found.cited, found.missing) == (text, cited, missing)
