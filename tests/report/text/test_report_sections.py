"""Sections of a report by the published rules, and marks of de-identification under each policy."""

import time
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medglip.grounding.bad_input import BadInput
from medglip.report.text.deidentified import Policy, apply_policy, as_reference, note, num_marks
from medglip.report.text.sections import Sections, mimic_name, parse_sections, section_name

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
    twice = parse_sections("\n FINDINGS: One.\n IMPRESSION: A.\n FINDINGS: Two.\n")
    assert (twice.findings, twice.impression) == ("Two.", "A.")
    empty = parse_sections("\n FINDINGS: One.\n FINDINGS:\n \n IMPRESSION:\n \n A.\n")
    assert (empty.findings, empty.impression) == ("One.", "A.")


@pytest.mark.parametrize("head", ["IMPRESSION:", " Impression:", " IMPRESSION 2:", " IMPRESSION:A"])
def test_what_is_no_header_stays_in_its_section(head: str) -> None:
    assert parse_sections(f"\n FINDINGS: One.\n{head} Two.\n").findings == f"One. {head.strip()} Two."


@pytest.mark.parametrize("blanks", [1, 2, 17])
def test_a_header_stands_behind_any_number_of_blanks(blanks: int) -> None:
    found = parse_sections(f"FINAL REPORT\n{' ' * blanks}FINDINGS: One.\n{' ' * blanks}IMPRESSION: A.\n")
    assert (found.findings, found.impression) == ("One.", "A.")


def test_a_header_in_the_line_below_an_empty_one_is_passed_over() -> None:
    """As the published parser does, which goes on behind the next line break."""
    assert parse_sections("\n INDICATION:\n FINDINGS: One.\n IMPRESSION: A.\n").findings == ""
    assert parse_sections("\n INDICATION:\n \n FINDINGS: One.\n IMPRESSION: A.\n").findings == "One."


@pytest.mark.parametrize("header", ["FINDINGS AND IMPRESSION", "FINDINGS/IMPRESSION", "IMPRESSION/FINDINGS"])
def test_findings_and_impression_in_one_are_the_impression(header: str) -> None:
    for text, is_strict in ((f"\n {header}: Clear.\n", True), (f"{header.title()}: Clear.", False)):
        found = parse_sections(text, is_strict=is_strict)
        assert (found.findings, found.impression, found.last_paragraph) == ("", "Clear.", "")


def test_without_either_the_last_paragraph_counts_but_no_indication_does() -> None:
    below = parse_sections("\n INDICATION: Cough.\n \n Clear lungs.\n")
    assert (below.indication, below.last_paragraph) == ("Cough.", "Clear lungs.")
    assert parse_sections("\n INDICATION: Cough.\n").last_paragraph == ""
    assert parse_sections("CHEST TWO VIEWS\n \n Clear lungs.").last_paragraph == "Clear lungs."
    with pytest.raises(BadInput, match="empty report"):
        parse_sections(" \n -- \n")


def test_a_report_of_one_paragraph_without_headers_gives_no_section() -> None:
    assert parse_sections("Clear lungs, no effusion.") == Sections()
    assert parse_sections(" FINDINGS: the first line is no header.") == Sections()


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("IMPRESSON", "impression"),
        ("CONCLUSION", "impression"),
        ("CONCUSION", "conclusion"),  # theirs
        ("CHEST, PA AND LATERAL", "findings"),
        ("PORTABLE AP CHEST RADIOGRAPH", "findings"),
        ("CHEST", "findings"),
        ("IMPRESSION ON CHEST PA AND LATERAL", "impression"),
        ("EXAMINATION, CHEST (PA AND LAT)", "findings"),
        ("REASON FOR EXAMINATION", "indication"),
        ("CLINICAL HISTORY", "history"),
        ("COMPARISONS", "comparison"),
        ("WETREAD", "wet read"),
        ("CARDIAC", "cardiac"),
    ],
)
def test_headers_of_mimic_have_common_names(header: str, name: str) -> None:
    assert mimic_name(header) == name


def test_a_history_is_the_indication_where_there_is_none() -> None:
    assert parse_sections("\n HISTORY: Fall.\n FINDINGS: One.\n").indication == "Fall."
    assert parse_sections("\n INDICATION: Cough.\n HISTORY: Fall.\n FINDINGS: One.\n").indication == "Cough."
    assert parse_sections("\n HISTORY: Fall.\n INDICATION: \n \n FINDINGS: One.\n").indication == "Fall."


def test_a_view_heads_findings() -> None:
    assert parse_sections("\n CHEST, PA AND LATERAL: Clear.\n IMPRESSION: Normal.\n").findings == "Clear."
    assert parse_sections("\n FINDINGS: One.\n PA AND LATERAL VIEWS OF THE CHEST: Two.\n").findings == "Two."


# --- reports from elsewhere


def test_reports_from_elsewhere_have_headers_in_any_case_and_only_known_ones() -> None:
    text = "Klinische Angaben: Husten\nBefund: Kein Erguss.\nHerz: normal.\n  BEURTEILUNG:\nUnauffällig."
    found = parse_sections(text, is_strict=False)
    assert found.findings == "Kein Erguss. Herz: normal."
    assert found.impression == "Unauffällig."


@pytest.mark.parametrize(
    "text",
    [
        "FINDINGS: Heart normal.\nIMPRESSION: Clear.\n",
        "FINDINGS:Heart normal.\nIMPRESSION:Clear.\n",
        "FINDINGS\nHeart normal.\nIMPRESSION\nClear.\n",
        "Findings\n\nHeart normal.\n\nImpression\n\nClear.\n",
        "Findings: Heart normal. Impression: Clear.",
        "Findings:Heart normal.Impression:Clear.",
        "FINDINGS: Heart normal. IMPRESSION: Clear.",
        "    FINDINGS:   Heart normal.\n\t  IMPRESSION :Clear.\n",
        "findings: Heart normal.\nimpression: Clear.",
        "**Findings:** Heart normal.\n\n**Impression:** Clear.",
        "## Findings\nHeart normal.\n\n## Impression\nClear.",
        "FINDINGS\n--------\nHeart normal.\nIMPRESSION\n----------\nClear.",
        "Findings - Heart normal.\nImpression - Clear.",
        "FINDINGS OF THE CHEST: Heart normal.\nIMPRESION: Clear.",
        "FINDINGS: Heart normal.\r\nIMPRESSION: Clear.\r\n",
        "FINDINGS: Heart normal.\rIMPRESSION: Clear.\r",
        "Findings\n : Heart normal.\nImpression\n: Clear.",
        "findings: Heart normal. impression: Clear.",
        "1. FINDINGS: Heart normal.\n2. IMPRESSION: Clear.",
        "I) Findings\nHeart normal.\nII) Impression\nClear.",
        "[FINDINGS] Heart normal.\n[IMPRESSION]: Clear.",
    ],
)
def test_a_header_is_known_by_its_name_not_by_the_white_space_around_it(text: str) -> None:
    found = parse_sections(text, is_strict=False)
    assert (found.findings, found.impression, found.last_paragraph) == ("Heart normal.", "Clear.", "")


def test_headers_of_context_in_one_line() -> None:
    text = "Indication: cough. Findings: Heart normal. Impression: Clear."
    found = parse_sections(text, is_strict=False)
    assert (found.indication, found.findings, found.impression) == ("cough.", "Heart normal.", "Clear.")
    shouted = parse_sections("INDICATION: cough TECHNIQUE/COMPARISON: CT FINDINGS: none", is_strict=False)
    assert (shouted.indication, shouted.technique, shouted.findings) == ("cough", "CT", "none")
    assert parse_sections("Exam: CT Findings: Clear Impression: Normal", is_strict=False).findings == "Clear"


@pytest.mark.parametrize(
    "text",
    [
        "My impression is that the findings are normal.",
        "No other findings. The impression of the left lung is clear.",
        "Findings are normal and the impression\nfindings of old age.",
        "There is an old scar, see findings: nothing new.",
        "INCIDENTAL FINDINGS: a cyst.",
    ],
)
def test_prose_is_not_cut(text: str) -> None:
    assert parse_sections(text, is_strict=False) == Sections(last_paragraph=" ".join(text.split()))


@pytest.mark.parametrize("words", ["Findings and ", "FINDINGS: x ", "(FINDINGS, ", "*", "\n", "a"])
def test_a_text_without_end_is_taken_apart_in_a_moment(words: str) -> None:
    start = time.process_time()
    parse_sections(words * 20_000 + "a", is_strict=False)
    assert time.process_time() - start < 5


def test_of_sections_of_one_name_all_text_is_kept_in_other_reports() -> None:
    found = parse_sections("Findings: Chest clear.\nImpression: Normal.\nFindings: Liver normal.", is_strict=False)
    assert found.findings == "Chest clear. Liver normal."


def test_other_reports_without_headers_are_one_text() -> None:
    assert parse_sections("Clear.\n\nNo effusion.", is_strict=False).last_paragraph == "Clear. No effusion."
    assert parse_sections("CHEST TWO VIEWS\n\nClear.", is_strict=False).last_paragraph == "Clear."
    below = parse_sections("Clear lungs.\nIndication: cough.\n\nNo effusion.", is_strict=False)
    assert (below.indication, below.last_paragraph) == ("cough.", "Clear lungs. No effusion.")


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("CONCLUSION", "impression"),
        ("Technique and comparison", "technique"),
        ("Befund und Beurteilung", "impression"),
        ("REASON FOR EXAM (AP CHEST)", "indication"),
        ("EXAMINATION, CHEST", "examination"),
        ("Study date", ""),
        ("Findings were discussed with", ""),
        ("CARDIAC", ""),
    ],
)
def test_headers_of_other_reports_have_our_names(header: str, name: str) -> None:
    assert section_name(header) == name


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
