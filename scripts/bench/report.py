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
from ...grounding.evidence.names import Form
from ...grounding.evidence.sources import Query, RegionCaches, evidence_for
from ...grounding.grounders.cache import regions_of
from ...grounding.grounders.medglip import MedGlipGrounder
from ...grounding.grounders.pretrained import checkpoint_folder, load_grounder
from ...report.datasets.phantom import read_reports
from ...report.records import grounded_meta
from ...report.task import Report
from ...report.text.citation_targets import cited_text, to_cited
from ...vqa.inference.generate import generate_raw
from ...vqa.inference.settings import GenerateSettings
from ...vqa.model.attention import use_grouped_attention
from ...vqa.model.grounded_mllm import DTYPES, GroundedMLLM, load, resolve
from ...vqa.model.settings import MllmSettings
from ...vqa.prompt.prompt import Example, instruction_text
from .timing import Base, Dtype, Json, Threads, compare_pairs, median_seconds, write_figures

NUM_REGIONS = 4
ROWS: tuple[tuple[Form, ...], ...] = (("text",), ("tokens",), ("text", "tokens"), ("crops",), ("overlay",))
NAMES = tuple("+".join(forms) for forms in ROWS)


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
        queries = [
            Query.of([report.image], vocabulary={report.image.modality: report.image.phrases}) for report in reports
        ]
        phrases = [query.first.phrases for query in queries]
        predicted, _ = regions_of(self.core, [report.image for report in reports], phrases, self.cache)
        return evidence_for("predicted", queries, RegionCaches(predicted=predicted, truth={}), settings)

    def grounded(self, reports: Sequence[Report], settings: EvidenceSettings) -> None:
        """Write the reports with evidence, and find what their records say of each sentence."""
        evidence = self.evidence(reports, settings)
        prompts = [self.mllm.render(_example(r, e), settings) for r, e in zip(reports, evidence, strict=True)]
        generation = GenerateSettings(max_new_tokens=self.new_tokens)
        ids_BT, _ = generate_raw(self.mllm, prompts, generation, min_new_tokens=self.new_tokens)
        self.mllm.processor.tokenizer.batch_decode(ids_BT, skip_special_tokens=True)
        # An untrained adapter forced to a length writes nothing that can be read: the true reports are read instead.
        read_true(reports, evidence, settings)

    @torch.inference_mode()
    def plain(self, examples: Sequence[Example]) -> list[str]:
        """Write as many tokens with the base alone."""
        batch = self.mllm.collate([self.mllm.render(example, PLAIN) for example in examples])
        inputs = {key: value.to(self.mllm.device) for key, value in batch["inputs"].items()}
        # the base alone has no autocast of ours around it
        pixels = inputs["pixel_values"].to(self.bare.dtype)
        length = {"min_new_tokens": self.new_tokens, "max_new_tokens": self.new_tokens}
        ids_BT = self.bare.generate(**inputs | {"pixel_values": pixels}, do_sample=False, **length)
        return self.mllm.processor.tokenizer.batch_decode(
            ids_BT[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True
        )


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
        bench = prepare(settings, core, Path(folder), max(sizes), new_tokens)
        reports, shown = bench.reports, _settings(("text", "tokens"))
        typer.echo("batch form            tokens  plain/min  grounded/min  overhead      CPU")
        with bench.mllm.merge_lora():
            for size in sizes:
                figures[f"batch {size}"] = compare_forms(bench, reports[:size], forms or NAMES, pairs)
        # what is not the language model: regions from disk, and reading what was written
        evidence = bench.evidence(reports, shown)
        work = {
            "cached_regions_ms": lambda: bench.evidence(reports, shown),
            "after_writing_ms": lambda: read_true(reports, evidence, shown),
        }
        once = {name: round(1000 * median_seconds(pairs, part) / len(reports), 2) for name, part in work.items()}
    typer.echo("\n".join(f"{name}: {value}" for name, value in once.items()))
    write_figures(out, figures | {"once a report": once})


def prepare(settings: MllmSettings, core: str, folder: Path, num: int, new_tokens: int) -> Bench:
    """Both models, and phantoms with their reports."""
    vision, grounder = checkpoint_folder(core), load_grounder(core)
    assert isinstance(grounder, MedGlipGrounder)  # a detector's regions have no vectors
    phantom.write(folder / "phantoms", phantom.PhantomSettings(num_train=num, num_val=0, num_test=0))
    bare: Any = AutoModelForImageTextToText.from_pretrained(
        resolve(settings.base, vision), dtype=DTYPES[settings.dtype]
    )
    mllm = load(settings, grounder.embedding_dim, vision=vision)
    if torch.cuda.is_available():
        bare.to("cuda")
    else:
        use_grouped_attention(bare)  # as ours has it: what is compared is grounding alone
    reports = read_reports(folder / "phantoms", phantom.read(folder / "phantoms"))
    cache = folder / "regions"
    return Bench(mllm=mllm, bare=bare.eval(), core=grounder, reports=reports, cache=cache, new_tokens=new_tokens)


def compare_forms(bench: Bench, reports: Sequence[Report], forms: Sequence[str], pairs: int) -> dict[str, Any]:
    """`token_equal`: text evidence with citations against the same words as part of a plain question; then each form
    against the plain prompt, which is shorter.
    """
    text, plain = _settings(("text",)), [_example(report, Evidence.none()) for report in reports]
    grounded = [_example(r, e) for r, e in zip(reports, bench.evidence(reports, text), strict=True)]
    in_words = [replace(e, instruction=instruction_text(e, text), evidence=Evidence.none()) for e in grounded]
    # name -> evidence of our side, prompts of the plain side
    ours = {"token_equal": (text, in_words)} | {
        name: (_settings(row), plain) for name, row in zip(NAMES, ROWS, strict=True) if name in forms
    }
    rows: dict[str, Any] = {}
    for name, (settings, theirs) in ours.items():
        wall, cpu, seconds, plain_seconds = compare_pairs(
            lambda s=settings: bench.grounded(reports, s), lambda t=theirs: bench.plain(t), pairs
        )
        row = {
            "overhead": round(wall - 1, 4),
            "cpu_overhead": round(cpu - 1, 4),
            "grounded_seconds": round(seconds, 4),
            "plain_seconds": round(plain_seconds, 4),
            "grounded": round(60 * len(reports) / seconds, 2),
            "plain": round(60 * len(reports) / plain_seconds, 2),
        }
        rows[name] = row | {"tokens": [_tokens(bench, grounded, settings), _tokens(bench, theirs, PLAIN)]}
        tokens, minute = " / ".join(map(str, rows[name]["tokens"])), f"{row['plain']:10.2f} {row['grounded']:13.2f}"
        more = f"{row['overhead']:+9.1%} {row['cpu_overhead']:+8.1%}"
        typer.echo(f"{len(reports):>5} {name:12} {tokens:>9} {minute} {more}")
    return rows


def read_true(reports: Sequence[Report], evidence: Sequence[Evidence], settings: EvidenceSettings) -> None:
    """Find what records say of the sentences of the true reports, with citations as a trained model writes them."""
    for report, e in zip(reports, evidence, strict=True):
        grounded_meta(cited_text(report, e, numbers_shown(e, settings)), e, e, settings)


def _settings(forms: tuple[Form, ...]) -> EvidenceSettings:
    return EvidenceSettings(forms=forms, max_regions=NUM_REGIONS, min_score=0.0, cite=True)


def _example(report: Report, evidence: Evidence) -> Example:
    """Asked to cite, with nothing to learn."""
    return replace(to_cited(report, report.to_example(evidence)), target=None)


def _tokens(bench: Bench, examples: Sequence[Example], settings: EvidenceSettings) -> int:
    """Tokens of the longest prompt."""
    batch = bench.mllm.collate([bench.mllm.render(example, settings) for example in examples])
    return int(batch["inputs"]["input_ids"].shape[1])


if __name__ == "__main__":
    typer.run(main)
