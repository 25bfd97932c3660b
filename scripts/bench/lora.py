"""What evidence costs a LoRA step, and our step against transformers' own Trainer: python -m medglip.scripts.bench.lora

Steps of the two sides of a ratio alternate, and the median ratio of neighbours counts: other load on the machine hits
both. Seconds are of the wall clock; the ratios of CPU seconds stand beside them.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from peft import LoraConfig, get_peft_model
from PIL import Image

from ...grounding.evidence.evidence import Evidence, EvidenceSettings
from ...grounding.evidence.names import FORMS
from ...grounding.files import write_atomic
from ...grounding.geometry import where
from ...grounding.types import Region
from ...vqa.model.grounded_mllm import DTYPES, GroundedMLLM, load, resolve
from ...vqa.model.lora import num_layers, targets
from ...vqa.model.settings import MllmSettings
from ...vqa.prompt.prompt import Example, instruction_text
from ...vqa.training.train import answer_loss

DIM, SIDE, NUM_REGIONS = 96, 192, 5
WORDS = ("nodule", "polyp", "mass", "cyst", "opacity")
Steps = Callable[[], None]


def main(
    base: Annotated[str, typer.Option(help="Base model: a folder, a hub name, or the small default")] = "smollm2-135m",
    dtype: Annotated[str, typer.Option(help="bf16 or fp32")] = "bf16",
    batch_size: Annotated[int, typer.Option(min=1, help="Examples a step")] = 8,
    steps: Annotated[int, typer.Option(min=1, help="Steps of each kind, after one that is not counted")] = 5,
    tiny: Annotated[bool, typer.Option(help="Two examples and one step: does it run at all?")] = False,
    threads: Annotated[int, typer.Option(help="CPU threads")] = 2,
    out: Annotated[Path | None, typer.Option("--json", help="Write the figures there")] = None,
) -> None:
    """Measure and print: cost of evidence at equal tokens, of each form, and throughput against transformers."""
    torch.set_num_threads(threads)
    batch_size, steps = (2, 1) if tiny else (batch_size, steps)
    settings = MllmSettings.model_validate({"base": base, "dtype": dtype})
    mllm = load(settings, DIM).train()
    with tempfile.TemporaryDirectory() as folder:
        data = examples(Path(folder) / "noise.png", batch_size)
        found: dict[str, Any] = {"base": base, "dtype": dtype, "batch_size": batch_size, "steps": steps}
        found |= evidence_cost(mllm, data, steps) | against_transformers(mllm, settings, data, steps)
        if torch.cuda.is_available():
            found |= gpu_speed(mllm, data, found["ours_seconds"])
    for name, value in found.items():
        typer.echo(f"{name}: {value}")
    if out:
        write_atomic(out, json.dumps(found, indent=1))


def evidence_cost(mllm: GroundedMLLM, data: Sequence[Example], steps: int) -> dict[str, Any]:
    """Ratios of step times. `token_equal`: text evidence against the same words as part of a plain question."""
    text, none = EvidenceSettings(forms=("text",), max_regions=NUM_REGIONS), EvidenceSettings(forms=())
    said = [replace(e, instruction=instruction_text(e, text), evidence=Evidence.none()) for e in data]
    plain = [replace(e, evidence=Evidence.none()) for e in data]
    found: dict[str, Any] = {"token_equal": _ratio(_step(mllm, data, text), _step(mllm, said, none), steps)}
    found["tokens"] = {"none": _tokens(mllm, plain, none), "text": _tokens(mllm, data, text)}
    found["cost_of_form"] = {}
    for forms in [*((form,) for form in FORMS), tuple(FORMS)]:
        shown, name = EvidenceSettings(forms=forms, max_regions=NUM_REGIONS), "+".join(forms)
        found["tokens"][name] = _tokens(mllm, data, shown)
        found["cost_of_form"][name] = _ratio(_step(mllm, data, shown), _step(mllm, plain, none), steps)
    return found


def against_transformers(
    mllm: GroundedMLLM, settings: MllmSettings, data: Sequence[Example], steps: int
) -> dict[str, Any]:
    """Throughput of our step over that of transformers' Trainer, both from the same batch of text evidence.

    The Trainer's step is its own `training_step` and an optimizer step on the plain peft model with the same updates:
    attention, loss and precision are as transformers has them, logits of every position.
    """
    shown = EvidenceSettings(forms=("text",), max_regions=NUM_REGIONS)
    batch = mllm.collate([mllm.render(example, shown) for example in data])
    theirs = _trainer_step(mllm, settings, dict(batch["inputs"]), batch["labels"])
    ours = _optimized(mllm, lambda: answer_loss(mllm, batch)["loss"].backward())
    ratio, seconds = _ratio(theirs, ours, steps), _seconds(ours, steps)
    num_tokens = batch["inputs"]["input_ids"].numel()
    return {
        "throughput_over_trainer": ratio,
        "ours_seconds": round(seconds, 4),
        "ours_tokens_per_second": round(num_tokens / seconds, 1),
    }


def gpu_speed(mllm: GroundedMLLM, data: Sequence[Example], seconds: float) -> dict[str, Any]:
    """Floating-point operations of a step over its time, as a part of what a large bf16 product reaches here."""
    from torch.utils.flop_counter import FlopCounterMode

    shown = EvidenceSettings(forms=("text",), max_regions=NUM_REGIONS)
    batch = mllm.collate([mllm.render(example, shown) for example in data])
    with FlopCounterMode(display=False) as counter:
        answer_loss(mllm, batch)["loss"].backward()
    a, b = torch.randn(2, 8192, 8192, device="cuda", dtype=torch.bfloat16).unbind()
    reached = 2 * 8192**3 / _seconds(lambda: (a @ b).sum(), 5)
    flops = counter.get_total_flops() / seconds
    return {"teraflops": round(flops / 1e12, 2), "of_bf16_matmul": round(flops / reached, 4)}


def _step(mllm: GroundedMLLM, data: Sequence[Example], shown: EvidenceSettings) -> Steps:
    """One whole step: prompts, batch, loss, gradients, update."""

    def compute() -> None:
        batch = mllm.collate([mllm.render(example, shown) for example in data])
        answer_loss(mllm, batch)["loss"].backward()

    return _optimized(mllm, compute)


def _optimized(model: torch.nn.Module, compute: Steps) -> Steps:
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-6, fused=True)

    def step() -> None:
        compute()
        optimizer.step()
        optimizer.zero_grad()

    return step


def _trainer_step(mllm: GroundedMLLM, settings: MllmSettings, inputs: dict[str, Any], labels_BK: torch.Tensor) -> Steps:
    from transformers import AutoModelForImageTextToText, Trainer, TrainingArguments

    model: Any = AutoModelForImageTextToText.from_pretrained(resolve(settings.base, None), dtype=DTYPES[settings.dtype])
    if model.get_input_embeddings().weight.shape[0] < len(mllm.processor.tokenizer):
        model.resize_token_embeddings(len(mllm.processor.tokenizer), mean_resizing=False)
    lora = settings.lora
    projectors = [n for n in mllm.family.projectors if any(k.endswith(n) for k, _ in model.named_modules())]
    config = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        target_modules=targets(lora, num_layers(model), mllm.family),
        modules_to_save=projectors or None,
    )
    peft: Any = get_peft_model(model, config)
    labels = torch.full_like(inputs["input_ids"], -100)
    labels[:, labels.shape[1] - labels_BK.shape[1] :] = labels_BK
    on_cpu = not torch.cuda.is_available()
    folder = tempfile.mkdtemp()
    arguments = TrainingArguments(
        output_dir=folder, use_cpu=on_cpu, bf16=settings.dtype == "bf16", report_to=[], save_strategy="no"
    )
    trainer: Any = Trainer(model=peft, args=arguments)
    trainer.current_gradient_accumulation_steps = 1  # which its training loop would have set
    peft.train()
    return _optimized(peft, lambda: trainer.training_step(peft, inputs | {"labels": labels}))


def _ratio(a: Steps, b: Steps, steps: int) -> dict[str, float]:
    """Time of a over time of b: medians over pairs of neighbours, and both times in seconds."""
    a()
    b()
    pairs = [(_timed(a), _timed(b)) for _ in range(steps)]
    wall = statistics.median(one[0] / other[0] for one, other in pairs)
    cpu = statistics.median(one[1] / other[1] for one, other in pairs)
    seconds = [statistics.median(pair[k][0] for pair in pairs) for k in (0, 1)]
    return {"ratio": round(wall, 3), "cpu": round(cpu, 3), "a": round(seconds[0], 4), "b": round(seconds[1], 4)}


def _timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Seconds of the wall clock, and of this process's CPUs."""
    _finish()
    start, used = time.perf_counter(), time.process_time()
    work()
    _finish()
    return time.perf_counter() - start, max(time.process_time() - used, 1e-9)


def _seconds(work: Callable[[], Any], times: int) -> float:
    return statistics.median(_timed(work)[0] for _ in range(times))


def _finish() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _tokens(mllm: GroundedMLLM, data: Sequence[Example], shown: EvidenceSettings) -> int:
    """Tokens of the longest prompt with its answer."""
    return mllm.collate([mllm.render(example, shown) for example in data])["inputs"]["input_ids"].shape[1]


def examples(image: Path, num: int) -> list[Example]:
    """Noise with five regions each, as a cache of regions would give them."""
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).save(image)
    return [_example(image, number, rng) for number in range(num)]


def _example(image: Path, number: int, rng: np.random.Generator) -> Example:
    regions = tuple(_region(phrase, rng) for phrase in WORDS[:NUM_REGIONS])
    return Example(
        example_id=str(number),
        image_path=image,
        instruction=f"Where is the {WORDS[number % len(WORDS)]}?\nAnswer with a word or short phrase.",
        target=where(regions[number % len(regions)].box_xyxy_px, (SIDE, SIDE)),
        evidence=Evidence.of_image("predicted", (SIDE, SIDE), regions, WORDS),
    )


def _region(phrase: str, rng: np.random.Generator) -> Region:
    corner, sides = rng.uniform(0, 150, 2), rng.uniform(15, 40, 2)
    box = np.concatenate([corner, corner + sides]).astype(np.float32)
    return Region(
        phrase=phrase, box_xyxy_px=box, score=0.9, embedding=(rng.standard_normal(DIM) / 10).astype(np.float32)
    )


if __name__ == "__main__":
    typer.run(main)
