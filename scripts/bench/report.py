"""What grounding costs a report, in reports a minute: python -m medglip.scripts.bench.report

One side is the base by itself: transformers' own `generate` on a model without adapter, hooks or evidence. The other is
all that a grounded report takes once its regions are cached: regions from disk, evidence, prompt, the same number of
tokens, and what the record says of each sentence afterwards. Runs of the two alternate, and the median ratio of
neighbours counts: other load on the machine hits both. Ratios of CPU seconds stand beside those of the wall clock.
"""

import json
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
from ...grounding.evidence.names import FORMS, Form
from ...grounding.evidence.sources import Query, RegionCaches, evidence_for
from ...grounding.files import write_atomic
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
from .timing import Work, compare_pairs, median_seconds

NUM_REGIONS = 4
ROWS: tuple[tuple[Form, ...], ...] = (("text",), ("tokens",), ("text", "tokens"), ("crops",), ("overlay",))
HEAD = ("batch", "form", "tokens", "plain/min", "grounded/min", "overhead", "CPU")
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

    def evidence(self, reports: Sequence[Report], shown: EvidenceSettings) -> list[Evidence]:
        """The evidence of the reports; found once, then read from disk at every call."""
        queries = [
            Query.of([report.image], vocabulary={report.image.modality: report.image.phrases}) for report in reports
        ]
        asked = [query.first.phrases for query in queries]
        predicted, _ = regions_of(self.core, [report.image for report in reports], asked, self.cache)
        return evidence_for("predicted", queries, RegionCaches(predicted=predicted, truth={}), shown)

    def grounded(self, reports: Sequence[Report], shown: EvidenceSettings) -> list[dict[str, Any]]:
        """Write the reports with evidence, and what their records say of each sentence.

        An untrained adapter forced to a length writes nothing that can be read, so the true reports are read instead.
        """
        evidence = self.evidence(reports, shown)
        prompts = [self.mllm.render(_asked(r, e), shown) for r, e in zip(reports, evidence, strict=True)]
        settings = GenerateSettings(max_new_tokens=self.new_tokens)
        ids_BT, _ = generate_raw(self.mllm, prompts, settings, min_new_tokens=self.new_tokens)
        self.mllm.processor.tokenizer.batch_decode(ids_BT, skip_special_tokens=True)
        return after_writing(reports, evidence, shown)

    @torch.inference_mode()
    def plain(self, examples: Sequence[Example]) -> list[str]:
        """Write as many tokens with the base alone."""
        batch = self.mllm.collate([self.mllm.render(example, PLAIN) for example in examples])
        inputs = {key: value.to(self.mllm.device) for key, value in batch["inputs"].items()}
        pixels = inputs["pixel_values"].to(self.bare.dtype)
        length = {"min_new_tokens": self.new_tokens, "max_new_tokens": self.new_tokens}
        ids_BT = self.bare.generate(**inputs | {"pixel_values": pixels}, do_sample=False, **length)
        return self.mllm.processor.tokenizer.batch_decode(
            ids_BT[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True
        )


def main(
    base: Annotated[str, typer.Option(help="Base model: a folder, a hub name, or the small default")] = "smollm2-135m",
    core: Annotated[str, typer.Option(help="Grounding core: shipped, by name, or a folder")] = "small",
    dtype: Annotated[str, typer.Option(help="bf16 or fp32")] = "bf16",
    new_tokens: Annotated[int, typer.Option(min=1, help="Tokens of every report, no more and no fewer")] = 64,
    pairs: Annotated[int, typer.Option(min=1, help="Timed pairs of each row, after one that is not counted")] = 5,
    forms: Annotated[list[str] | None, typer.Option(help="Forms beside token_equal; all when left out")] = None,
    tiny: Annotated[bool, typer.Option(help="Batches of 1 and 2, one pair, 4 tokens: does it run at all?")] = False,
    threads: Annotated[int, typer.Option(help="CPU threads")] = 2,
    out: Annotated[Path | None, typer.Option("--json", help="Write the figures there")] = None,
) -> None:
    """Measure and print: reports a minute at batch 1 and 8, plain and grounded, at equal tokens and by form."""
    torch.set_num_threads(threads)
    sizes, new_tokens, pairs = ((1, 2), 4, 1) if tiny else ((1, 8), new_tokens, pairs)
    settings = MllmSettings.model_validate({"base": base, "dtype": dtype})
    found: dict[str, Any] = {"base": base, "core": core, "dtype": dtype, "new_tokens": new_tokens, "pairs": pairs}
    with tempfile.TemporaryDirectory() as folder:
        bench = prepared(settings, core, Path(folder), max(sizes), new_tokens)
        typer.echo("{:>5} {:12} {:>9} {:>10} {:>13} {:>9} {:>8}".format(*HEAD))
        with bench.mllm.merged():
            for size in sizes:
                found[f"batch {size}"] = rows(bench, bench.reports[:size], forms or NAMES, pairs)
        found["once a report"] = parts(bench, pairs)
    typer.echo("\n".join(f"{name}: {value}" for name, value in found["once a report"].items()))
    if out:
        write_atomic(out, json.dumps(found, indent=1))


def prepared(settings: MllmSettings, core: str, folder: Path, num: int, new_tokens: int) -> Bench:
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


def rows(bench: Bench, reports: Sequence[Report], forms: Sequence[str], pairs: int) -> dict[str, Any]:
    """`token_equal`: text evidence with citations against the same words as part of a plain question; then each form
    against the plain prompt, which is shorter.
    """
    text_shown, plain = _shown(("text",)), [_asked(report, Evidence.none()) for report in reports]
    evidence = bench.evidence(reports, text_shown)
    asked = [_asked(report, e) for report, e in zip(reports, evidence, strict=True)]
    said = [replace(e, instruction=instruction_text(e, text_shown), evidence=Evidence.none()) for e in asked]
    ours = {"token_equal": (text_shown, said)} | {
        name: (_shown(shown), plain) for name, shown in zip(NAMES, ROWS, strict=True) if name in forms
    }
    found: dict[str, Any] = {}
    for name, (shown, theirs) in ours.items():
        wall, cpu, grounded, plain_seconds = compare_pairs(
            lambda s=shown: bench.grounded(reports, s), lambda t=theirs: bench.plain(t), pairs
        )
        found[name] = {
            "overhead": round(wall - 1, 4),
            "cpu_overhead": round(cpu - 1, 4),
            "grounded_seconds": round(grounded, 4),
            "plain_seconds": round(plain_seconds, 4),
            "grounded": round(60 * len(reports) / grounded, 2),
            "plain": round(60 * len(reports) / plain_seconds, 2),
        }
        found[name]["tokens"] = [_tokens(bench, asked, shown), _tokens(bench, theirs, PLAIN)]
        typer.echo(line(len(reports), name, found[name]))
    return found


def parts(bench: Bench, pairs: int) -> dict[str, float]:
    """Milliseconds a report of what is not the language model: regions from disk, and reading what was written."""
    shown, reports = _shown(("text", "tokens")), bench.reports
    evidence = bench.evidence(reports, shown)
    work: dict[str, Work] = {
        "cached_regions_ms": lambda: bench.evidence(reports, shown),
        "after_writing_ms": lambda: after_writing(reports, evidence, shown),
    }
    per = {name: median_seconds(pairs, part) for name, part in work.items()}
    return {name: round(1000 * seconds / len(reports), 2) for name, seconds in per.items()}


def after_writing(
    reports: Sequence[Report], evidence: Sequence[Evidence], shown: EvidenceSettings
) -> list[dict[str, Any]]:
    """What the records say of the sentences of the true reports, with citations as a trained model writes them."""
    written = [cited_text(r, e, numbers_shown(e, shown)) for r, e in zip(reports, evidence, strict=True)]
    return [grounded_meta(text, e, e, shown) for text, e in zip(written, evidence, strict=True)]


def line(size: int, name: str, row: dict[str, Any]) -> str:
    """One row: reports a minute plain and grounded, what grounding takes more."""
    tokens, more, cpu = " / ".join(map(str, row["tokens"])), row["overhead"], row["cpu_overhead"]
    return f"{size:>5} {name:12} {tokens:>9} {row['plain']:10.2f} {row['grounded']:13.2f} {more:+9.1%} {cpu:+8.1%}"


def _shown(forms: tuple[Form, ...]) -> EvidenceSettings:
    assert set(forms) <= set(FORMS)
    return EvidenceSettings(forms=forms, max_regions=NUM_REGIONS, min_score=0.0, cite=True)


def _asked(report: Report, evidence: Evidence) -> Example:
    """Asked to cite, with nothing to learn."""
    return replace(to_cited(report, report.to_example(evidence)), target=None)


def _tokens(bench: Bench, examples: Sequence[Example], shown: EvidenceSettings) -> int:
    """Tokens of the longest prompt."""
    batch = bench.mllm.collate([bench.mllm.render(example, shown) for example in examples])
    return int(batch["inputs"]["input_ids"].shape[1])


if __name__ == "__main__":
    typer.run(main)
