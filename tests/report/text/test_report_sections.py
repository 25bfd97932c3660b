"""Sections of a report by the published rules, and marks of de-identification under each policy."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medglip.grounding.bad_input import BadInput
from medglip.report.text.deidentified import Policy, apply_policy, as_reference, note, num_marks
from medglip.report.text.sections import parse_sections, section_name

REPORT = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___F with cough  // ?pneumonia

 TECHNIQUE:  Chest PA and lateral

 COMPARISON:  ___

 FINDINGS:

 There is no focal consolidation, pleural effusion
 or pneumothorax.

 IMPRESSION:

 No acute cardiopulmonary process.
""".replace("\n\n", "\n \n")  # as published: blank lines hold a blank


def test_every_section_of_a_whole_report() -> None:
    found = parse_sections(REPORT)
    assert found.findings == "There is no focal consolidation, pleural effusion or pneumothorax."
    assert found.impression == "No acute cardiopulmonary process."
    assert found.indication == "___F with cough // ?pneumonia"
    assert (found.technique, found.comparison) == ("Chest PA and lateral", "___")
    assert found.last_paragraph == ""
    assert parse_sections(REPORT.replace("\n", "\r\n")) == found


def test_of_two_sections_of_one_name_the_last_counts_and_an_empty_one_never() -> None:
    twice = parse_sections(" FINDINGS: One.\n IMPRESSION: A.\n FINDINGS: Two.\n")
    assert (twice.findings, twice.impression) == ("Two.", "A.")
    empty = parse_sections(" FINDINGS: One.\n FINDINGS:\n IMPRESSION:\n \n A.\n")
    assert (empty.findings, empty.impression) == ("One.", "A.")


@pytest.mark.parametrize("head", ["  IMPRESSION:", "IMPRESSION:", " Impression:", " IMPRESSION 2:"])
def test_what_is_no_header_stays_in_its_section(head: str) -> None:
    assert parse_sections(f" FINDINGS: One.\n{head} Two.\n").findings == f"One. {head.strip()} Two."


def test_without_either_the_last_paragraph_counts_but_no_indication_does() -> None:
    assert parse_sections(" INDICATION: Cough.\n \n Clear lungs.\n").last_paragraph == "Clear lungs."
    assert parse_sections(" INDICATION: Cough.\n \n Clear lungs.\n").indication == "Cough."
    assert parse_sections(" INDICATION: Cough.\n").last_paragraph == ""
    assert parse_sections("Clear lungs, no effusion.").last_paragraph == "Clear lungs, no effusion."
    assert parse_sections("CHEST TWO VIEWS\n\nClear lungs.").last_paragraph == "Clear lungs."
    with pytest.raises(BadInput, match="empty report"):
        parse_sections(" \n -- \n")


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("IMPRESSON", "impression"),
        ("CONCLUSION", "impression"),
        ("FINDINGS/IMPRESSION", "findings"),
        ("CHEST, PA AND LATERAL", "views"),
        ("PORTABLE AP CHEST RADIOGRAPH", "views"),
        ("CHEST", "views"),
        ("IMPRESSION ON CHEST PA AND LATERAL", "impression"),
        ("EXAMINATION, CHEST (PA AND LAT)", "examination"),
        ("REASON FOR EXAM (AP CHEST)", "indication"),
        ("REASON FOR EXAMINATION", "indication"),
        ("COMPARISONS", "comparison"),
        ("WET READ", "examination"),
        ("CARDIAC", "cardiac"),
    ],
)
def test_headers_have_common_names(header: str, name: str) -> None:
    assert section_name(header) == name


def test_a_view_heads_findings_where_there_are_no_others() -> None:
    assert parse_sections(" CHEST, PA AND LATERAL: Clear.\n IMPRESSION: Normal.\n").findings == "Clear."
    assert parse_sections(" FINDINGS: Clear.\n PA AND LATERAL VIEWS OF THE CHEST: Two.\n").findings == "Clear."


def test_reports_from_elsewhere_have_headers_in_any_case_and_only_known_ones() -> None:
    text = "Klinische Angaben: Husten\nBefund: Kein Erguss.\nHerz: normal.\n  BEURTEILUNG:\nUnauffällig."
    found = parse_sections(text, is_strict=False)
    assert found.findings == "Kein Erguss. Herz: normal."
    assert found.impression == "Unauffällig."


@pytest.mark.parametrize(
    ("text", "removed"),
    [
        ("Normal chest x-XXXX.", "Normal chest."),
        ("XXXX-year-old with cough.", "year-old with cough."),
        ("Compared to ___, clear.", "Compared, clear."),
        ("Discussed with Dr. ___ by ___ at ___ p.m. on ___.", "Discussed."),
        ("Line from ___ at 3 cm.", "Line at 3 cm."),
        ("XXXX/XXXX opacity (XXXX), left.", "opacity, left."),
        ("Mass. [**2101-1-1**] XXXX. Clear.", "Mass. Clear."),
        ("No effusion.", "No effusion."),
    ],
)
def test_marks_are_taken_out_with_the_words_that_lose_theirs(text: str, removed: str) -> None:
    assert apply_policy(text, "remove") == removed
    assert apply_policy(removed, "remove") == removed
    assert num_marks(apply_policy(text, "same")) == num_marks(text)
    assert "XXXX" not in apply_policy(text, "same")
    assert apply_policy(text, "keep") == text


@given(
    st.lists(
        st.sampled_from(
            [
                "___",
                "XXXX",
                "[** 1 **]",
                "x-",
                "-",
                "/",
                " ",
                ".",
                ",",
                "(",
                ")",
                "at",
                "Dr.",
                "pm",
                "12",
                "Clear",
                "\n",
            ]
        )
    )
)
def test_treating_twice_is_treating_once_and_no_mark_is_left(parts: list[str]) -> None:
    text = "".join(parts)
    for policy in get_args(Policy):
        assert apply_policy(apply_policy(text, policy), policy) == apply_policy(text, policy)
    assert num_marks(apply_policy(text, "remove")) == 0


def test_a_generated_text_is_read_under_the_policy_of_its_reference() -> None:
    meta = {"deidentified": note("Seen ___ and ___.", "remove")}
    assert meta["deidentified"] == {"policy": "remove", "marks": 2}
    assert as_reference("Clear since ___.", meta) == "Clear."
    assert as_reference("Clear since ___.", {}) == "Clear since ___."
    assert apply_policy("A foxxxxy word, maxxxx.", "remove") == "A foxxxxy word, maxxxx."
