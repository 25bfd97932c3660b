"""`medglip phrases`: what a core knows, by modality, and how well, by the figures that lie beside its weights."""

import re
from collections import defaultdict
from pathlib import Path

from ...grounding.bad_input import BadInput
from ...grounding.files import read_object
from ...grounding.grounders.pretrained import checkpoint_folder, read_vocabulary
from ...grounding.modalities import parse_modality
from ...grounding.run_folder import RunFolder

FIGURES = ("test.json", "figures.json")
"""Figures of a core's folder: of patients that chose nothing of it, where there are such, else of those that did."""
_SPLIT = {"test.json": "split test, which chose nothing", "figures.json": "split val, which also chose the weights"}


def phrase_lines(grounder: str, modality: str | None = None) -> list[str]:
    """The lines for the terminal: a line for each modality, below it each phrase with its AP50.

    Raises `BadInput` for a core without a vocabulary, and for a modality that it knows nothing of, with those it does.
    """
    run = RunFolder(Path(grounder))
    folder = run.core_dir if run.is_run and run.core_dir.exists() else checkpoint_folder(grounder)
    file = next((f for f in (folder / "vocabulary.json", run.vocabulary_file) if f.is_file()), None)
    if file is None:
        raise BadInput("this grounder does not say what it learned.", file=folder, fix="--grounder small")
    vocabulary = read_vocabulary(file)
    if modality is not None:
        known, wanted = ", ".join(vocabulary), parse_modality(modality)
        if not vocabulary.get(wanted):
            raise BadInput(f"the core {grounder!r} knows nothing of {wanted}.", fix=f"it knows {known}")
        vocabulary = {wanted: vocabulary[wanted]}
    scores, source = _scores_of(folder)
    noun = "modality" if len(vocabulary) == 1 else "modalities"
    lines = [f"{grounder}: {sum(map(len, vocabulary.values()))} phrases of {len(vocabulary)} {noun}"]
    lines.append(f"figures: AP50 of {_SPLIT[source]}" if source else "its folder holds no figures")
    if any(where.startswith("n=") for found in scores.values() for where in found):
        lines.append("n: images of it that show the phrase; a phrase without a figure is in none, and was not measured")
    for name, phrases in vocabulary.items():
        lines.append(name)
        for phrase in phrases:
            found = [f"{ap50:.2f} ({where})" for where, ap50 in scores.get((name, phrase), {}).items()]
            lines.append(f"  {phrase}: {', '.join(found)}" if found else f"  {phrase}")
    return lines


def _scores_of(folder: Path) -> tuple[dict[tuple[str, str], dict[str, float]], str]:
    """(modality, phrase) -> number of images, or data set -> AP50 of these; the name of the file that they are from."""
    source = next((name for name in FIGURES if (folder / name).is_file()), "")
    if not source:
        return {}, ""
    figures, scores = read_object(folder / source), defaultdict[tuple[str, str], dict[str, float]](dict)
    for modality, phrases in figures.get("phrases", {}).items():
        for phrase, one in phrases.items():
            scores[modality, phrase][f"n={one['n']}"] = one["ap50"]
    if scores:  # cores of before have figures of whole sets alone
        return scores, source
    sets = figures.get("sets", {})
    card = (folder / "README.md").read_text(encoding="utf-8") if (folder / "README.md").is_file() else ""
    # | bccd | microscopy | MIT | 205 | 87 | 3941 | red blood cell, white blood cell, platelet |
    rows = re.findall(r"^\| ([\w-]+) \| ([^|]+) \|.*\| ([^|]+) \|$", card, re.MULTILINE)
    for name, modalities, labels in rows:
        if (ap50 := sets.get(name, {}).get("ap50")) is None:
            continue
        phrases = re.sub(r" and \d+ more$", "", labels).split(", ")
        for key in ((modality, phrase) for modality in modalities.split(", ") for phrase in phrases):
            scores[key][f"{name}, all its labels" if len(phrases) > 1 else name] = ap50
    return scores, source
