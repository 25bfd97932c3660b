"""Our rules of negation against negspacy, on the reports of Open-i: python -m medglip.scripts.bench.negation

How often the two say otherwise of a phrase of the label tree that a sentence names, and how fast each is. The sentences
where they differ go to a file, a drawn few of them first, to be read by a person: that tells who is right.
"""

import random
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from ...grounding.files import write_atomic
from ...grounding.vocabulary.labels import load_labels
from ...grounding.vocabulary.negation import Negation, blank_denied
from ...grounding.vocabulary.sentences import split_sentences
from ...report.datasets.iu_xray import IuXraySettings
from ...report.datasets.load import load_texts
from .timing import time_work

ENGINES: tuple[Negation, ...] = ("rules", "negspacy")
Pair = tuple[str, str, tuple[bool, ...]]
"""A sentence, a phrase named in it, and whether each engine says that it is denied."""


def summary(pairs: list[Pair], counts: Counter[str]) -> str:
    """How many pairs there are, how many each engine denies, and of how many they differ: all, and distinct."""
    total = sum(counts[s] for s, *_ in pairs)
    differing = [s for s, _, verdicts in pairs if len(set(verdicts)) > 1]
    num_differing = sum(counts[s] for s in differing)
    denied = (f"{by} {sum(counts[s] for s, _, verdicts in pairs if verdicts[k])}" for k, by in enumerate(ENGINES))
    return (
        f"{total} pairs, denied by {', '.join(denied)}; they differ in {num_differing} ({num_differing / total:.1%}); "
        f"of {len(pairs)} distinct pairs in {len(differing)} ({len(differing) / len(pairs):.1%})"
    )


def main(
    path: Annotated[Path, typer.Option(help="Folder of Open-i's reports")] = Path("iu_xray_text"),
    out: Annotated[Path, typer.Option(help="Where the disagreements go")] = Path("runs/negation.tsv"),
    draw: Annotated[int, typer.Option(help="How many of them are drawn to be read")] = 40,
    seed: Annotated[int, typer.Option(help="Of the draw")] = 0,
) -> None:
    """Print the rate of disagreement and both speeds; write the disagreements, drawn ones first."""
    texts, _ = load_texts("iu_xray", settings=IuXraySettings(path=path))
    # every sentence of findings and impressions, and how often it stands there
    counts = Counter(s for text in texts for part in (text.findings, text.impression) for s in split_sentences(part))
    tree, pairs = load_labels(), []
    for sentence in counts:
        affirmed = [tree.phrases_in(blank_denied(sentence, by)) for by in ENGINES]
        pairs += [(sentence, p, tuple(p not in phrases for phrases in affirmed)) for p in tree.phrases_in(sentence)]
    print(f"{counts.total()} sentences, {len(counts)} distinct")
    print(f"all phrases: {summary(pairs, counts)}")
    print(f"findings: {summary([pair for pair in pairs if tree.level(pair[1]) == 'finding'], counts)}")
    for by in ENGINES:
        blank_denied("", by)  # what the first call loads is not counted
        seconds = time_work(lambda by=by: [blank_denied(sentence, by) for sentence in counts])[0]
        print(f"{by}: {len(counts) / seconds:.0f} sentences/s")
    apart = [pair for pair in pairs if len(set(pair[2])) > 1]
    random.Random(seed).shuffle(apart)
    rows = [(counts[s], p, *(("affirmed", "denied")[x] for x in verdicts), s) for s, p, verdicts in apart]
    lines = ["\t".join(map(str, row)) for row in [("times", "phrase", *ENGINES, "sentence"), *rows]]
    write_atomic(out, "\n".join(lines) + "\n")
    print("\n".join(lines[1 : draw + 1]), f"\nwritten: {out}")


if __name__ == "__main__":
    typer.run(main)
