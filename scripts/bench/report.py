"""What grounding costs a report, in reports a minute: python -m medglip.scripts.bench.report

One side is the base by itself: transformers' own `generate` on a model without adapter, hooks or evidence. The other is
all that a grounded report takes once its regions are cached: regions from disk, evidence, prompt, the same number of
tokens, and what the record says of each sentence afterwards. Runs of the two alternate, and the median ratio of
neighbours counts: other load on the machine hits both. Ratios of CPU seconds stand beside those of the wall clock.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from transformers import AutoModelForImageTextToText

from ...grounding.datasets.phantoms import dataset as phantom
from ...grounding.evidence.citable import numbers_shown
from ...grounding.evidence.evidence import PLAIN, Evidence, EvidenceSettings
from ...grounding.evidence.forms.tokens import TokenShape
from ...grounding.evidence.names import Form
from ...grounding.evidence.sources import Query, RegionCaches, evidence_for
from ...grounding.grounders.cache import regions_of
from ...grounding.grounders.medglip import MedGlipGrounder
from ...grounding.grounders.pretrained import checkpoint_folder, load_grounder
from ...report.datasets.phantom import read_reports
from ...report.records import read_text
from ...report.task import Report
from ...report.text.citation_targets import cited_text, to_cited
from ...vqa.inference.generate import generate_raw
from ...vqa.inference.settings import GenerateSettings
from ...vqa.model.grounded_mllm import DTYPES, GroundedMLLM, load, resolve
from ...vqa.model.settings import MllmSettings
from ...vqa.model.speed import use_grouped_attention
from ...vqa.prompt.prompt import Example
from .noise import batch_of, in_words, num_tokens
from .timing import Base, Dtype, Json, Threads, compare_pairs, median_seconds, write_figures

ROWS: tuple[tuple[Form, ...], ...] = (("text",), ("tokens",), ("text", "tokens"), ("crops",), ("overlay",))
SETTINGS = {"+".join(forms): EvidenceSettings(forms=forms, max_regions=4, min_score=0.0, cite=True) for forms in ROWS}


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What is timed: our model, the base without anything of ours, and reports whose regions lie in `cache`."""

    mllm: GroundedMLLM
    bare: Any
    core: MedGlipGrounder
    reports: Sequence[Report]
    cache: Path
    new_tokens: int

    def evidence(self, reports: Sequence[Report], settings: EvidenceSettings) -> list[Evidence]:
        """The evidence of the reports; found once, then read from disk at every call."""
        queries = [Query.of([r.image], vocabulary={r.image.modality: r.image.phrases}) for r in reports]
        phrases = [query.first.phrases for query in queries]
        predicted, _ = regions_of(self.core, [report.image for report in reports], phrases, self.cache)
        return evidence_for("predicted", queries, RegionCaches(predicted=predicted, truth={}), settings)

    def grounded(self, reports: Sequence[Report], settings: EvidenceSettings) -> None:
        """Write the reports with evidence, and find what their records say of each sentence."""
        evidence = self.evidence(reports, settings)
        prompts = [self.mllm.render(example, settings) for example in to_examples(reports, evidence)]
        generation = GenerateSettings(max_new_tokens=self.new_tokens)
        ids_BT, _ = generate_raw(self.mllm, prompts, generation, min_new_tokens=self.new_tokens)
        self.mllm.processor.tokenizer.batch_decode(ids_BT, skip_special_tokens=True)
        # An untrained adapter forced to a length writes nothing that can be read: the true reports are read instead.
        read_true(reports, evidence, settings)

    @torch.inference_mode()
    def plain(self, examples: Sequence[Example]) -> None:
        """Write as many tokens with the base alone."""
        batch = batch_of(self.mllm, examples, PLAIN)
        inputs = {key: value.to(self.mllm.device) for key, value in batch["inputs"].items()}
        # the base alone has no autocast of ours around it
        inputs["pixel_values"] = inputs["pixel_values"].to(self.bare.dtype)
        length = {"min_new_tokens": self.new_tokens, "max_new_tokens": self.new_tokens}
        ids_BT = self.bare.generate(**inputs, do_sample=False, **length)[:, num_tokens(batch) :]
        self.mllm.processor.tokenizer.batch_decode(ids_BT, skip_special_tokens=True)


def main(
    base: Base = "smollm2-135m",
    core: Annotated[str, typer.Option(help="Grounding core: shipped, by name, or a folder")] = "small",
    dtype: Dtype = "bf16",
    new_tokens: Annotated[int, typer.Option(min=1, help="Tokens of every report, no more and no fewer")] = 64,
    pairs: Annotated[int, typer.Option(min=1, help="Timed pairs of each row, after one that is not counted")] = 5,
    forms: Annotated[list[str] | None, typer.Option(help="Forms beside token_equal; all when left out")] = None,
    tiny: Annotated[bool, typer.Option(help="Batches of 1 and 2, one pair, 4 tokens: does it run at all?")] = False,
    threads: Threads = 2,
    out: Json = None,
) -> None:
    """Measure and print: reports a minute at batch 1 and 8, plain and grounded, at equal tokens and by form."""
    torch.set_num_threads(threads)
    sizes, new_tokens, pairs = ((1, 2), 4, 1) if tiny else ((1, 8), new_tokens, pairs)
    settings = MllmSettings.model_validate({"base": base, "dtype": dtype})
    figures: dict[str, Any] = {"base": base, "core": core, "dtype": dtype, "new_tokens": new_tokens, "pairs": pairs}
    with tempfile.TemporaryDirectory() as folder:
        bench, both = prepare(settings, core, Path(folder), max(sizes), new_tokens), SETTINGS["text+tokens"]
        typer.echo("batch form            tokens  plain/min  grounded/min  overhead      CPU")
        with bench.mllm.merge_lora():
            for size in sizes:
                figures[f"batch {size}"] = compare_forms(bench, bench.reports[:size], forms or list(SETTINGS), pairs)
        # what is not the language model: regions from disk, and reading what was written
        evidence = bench.evidence(bench.reports, both)
        work = {
            "cached_regions_ms": lambda: bench.evidence(bench.reports, both),
            "after_writing_ms": lambda: read_true(bench.reports, evidence, both),
        }
        once = {name: round(1000 * median_seconds(pairs, part) / len(bench.reports), 2) for name, part in work.items()}
    typer.echo("\n".join(f"{name}: {value}" for name, value in once.items()))
    write_figures(out, figures | {"once a report": once})


def prepare(settings: MllmSettings, core: str, folder: Path, num: int, new_tokens: int) -> Bench:
    """Both models, and phantoms with their reports."""
    vision, grounder, phantoms = checkpoint_folder(core), load_grounder(core), folder / "phantoms"
    assert isinstance(grounder, MedGlipGrounder)  # a detector's regions have no vectors
    phantom.write(phantoms, phantom.PhantomSettings(num_train=num, num_val=0, num_test=0))
    base = resolve(settings.base, vision)
    bare: Any = AutoModelForImageTextToText.from_pretrained(
        base, dtype=DTYPES[settings.dtype], trust_remote_code=False
    ).eval()
    mllm = load(settings, TokenShape.of(grounder), vision=vision)
    if torch.cuda.is_available():
        bare.to("cuda")
    else:
        use_grouped_attention(bare)  # as ours has it: what is compared is grounding alone
    reports, cache = read_reports(phantoms, phantom.read(phantoms)), folder / "regions"
    return Bench(mllm=mllm, bare=bare, core=grounder, reports=reports, cache=cache, new_tokens=new_tokens)


def compare_forms(bench: Bench, reports: Sequence[Report], forms: Sequence[str], pairs: int) -> dict[str, Any]:
    """`token_equal`: text evidence with citations against the same words as part of a plain question; then each form
    against the plain prompt, which is shorter.
    """
    text, plain = SETTINGS["text"], to_examples(reports, [Evidence.none()] * len(reports))
    grounded = to_examples(reports, bench.evidence(reports, text))
    # name -> evidence of our side, prompts of the plain side
    sides = {"token_equal": (text, [in_words(example, text) for example in grounded])}
    sides |= {name: (settings, plain) for name, settings in SETTINGS.items() if name in forms}
    rows: dict[str, Any] = {}
    for name, (settings, theirs) in sides.items():
        wall, cpu, seconds, plain_seconds = compare_pairs(
            lambda s=settings: bench.grounded(reports, s), lambda t=theirs: bench.plain(t), pairs
        )
        tokens = [num_tokens(batch_of(bench.mllm, *side)) for side in ((grounded, settings), (theirs, PLAIN))]
        row = rows[name] = {
            "overhead": round(wall - 1, 4),
            "cpu_overhead": round(cpu - 1, 4),
            "grounded_seconds": round(seconds, 4),
            "plain_seconds": round(plain_seconds, 4),
            "grounded": round(60 * len(reports) / seconds, 2),
            "plain": round(60 * len(reports) / plain_seconds, 2),
            "tokens": tokens,
        }
        columns = f"{len(reports):>5} {name:12} {f'{tokens[0]} / {tokens[1]}':>9} {row['plain']:10.2f}"
        typer.echo(f"{columns} {row['grounded']:13.2f} {row['overhead']:+9.1%} {row['cpu_overhead']:+8.1%}")
    return rows


def to_examples(reports: Sequence[Report], evidence: Sequence[Evidence]) -> list[Example]:
    """Asked to cite, with nothing to learn."""
    pairs = zip(reports, evidence, strict=True)
    return [replace(to_cited(report, report.to_example(one)), target=None) for report, one in pairs]


def read_true(reports: Sequence[Report], evidence: Sequence[Evidence], settings: EvidenceSettings) -> None:
    """Find what records say of the sentences of the true reports, with citations as a trained model writes them."""
    for report, one in zip(reports, evidence, strict=True):
        read_text(cited_text(report, one, numbers_shown(one, settings)), one, one, {}, settings)


if __name__ == "__main__":
    typer.run(main)
