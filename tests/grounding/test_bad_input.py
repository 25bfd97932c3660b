"""An error is one line, whatever the names hold that it quotes."""

from medglip.grounding.bad_input import BadInput


def test_names_with_line_breaks_and_codes_of_terminals_stay_one_plain_line() -> None:
    error = BadInput("no image 'a\nb\x1b[31m'.", file="set\r\n.csv", row=3, fix="rename\u2028it")
    assert str(error) == "set .csv: row 3: no image 'a b [31m'. Fix: rename it"
    assert error.problem == "no image 'a\nb\x1b[31m'."
