"""Risk over coverage: what is wrong among the answers that are given, where the least sure are held back."""

from html import escape

from ..statistics.selective import risk_coverage
from .content import Content, Held, System
from .curves import plot


def abstention(content: Content) -> str:
    """A curve for each system whose answers have probabilities, with its AURC; what is held back; who answers what."""
    scored = [(system, *_answers(system)) for system in content.of("vqa")]
    plots, lines = "", ""
    for system, chances, rights in scored:
        if chances:
            curve = risk_coverage(chances, rights)
            title = f"{system.name}: risk by coverage, AURC {curve.aurc:.3f}"
            plots += plot(title, "coverage", "risk", {"line": curve.points}, 1)
    for run in content.runs if plots else ():
        if run.held:
            lines += "".join(f"<p>{escape(text)}</p>" for text in _lines(run.held, scored))
    return f'<div class="plots">{plots}</div>{lines}' if plots else ""


def _answers(system: System) -> tuple[list[float], list[bool]]:
    """Probability, and whether it is right, of each answer that has both."""
    rows = [
        (float(chance), system.marks[record["id"]] == "right")
        for record in system.records
        if (chance := record.get("probability")) is not None and record["id"] in system.marks
    ]
    return [chance for chance, _ in rows], [right for _, right in rows]


def _lines(held: Held, scored: list[tuple[System, list[float], list[bool]]]) -> list[str]:
    """The threshold and what it does to the questions that are scored, which did not choose it."""
    chosen = f"chosen on {held.num} validation questions"
    chosen += "" if held.aurc is None else f", AURC {held.aurc:.3f} there"
    lines = [f"Answers below a probability of {held.threshold:.2f} are held back ({chosen})."]
    for system, chances, rights in scored:
        given = [right for chance, right in zip(chances, rights, strict=True) if chance >= held.threshold]
        if system.records[0].get("evidence") == "predicted" and chances:
            part = f"{len(given)} of {len(chances)} questions are answered"
            num_wrong = [len(marks) - sum(marks) for marks in (given, rights)]
            wrong = f", {num_wrong[0]} of them wrong; of all {num_wrong[1]} are" if given else ""
            lines.append(f"{system.name}: {part}{wrong}.")
    return [*lines, *held.lines]
