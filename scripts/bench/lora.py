"""What evidence costs a LoRA step, and our step against transformers' own Trainer: python -m medglip.scripts.bench.lora

Work of the two sides of a ratio alternate, and the median ratio of neighbours counts: other load on the machine hits
both. Seconds are of the wall clock; the ratios of CPU seconds stand beside them.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from peft import LoraConfig, get_peft_model

from ...grounding.evidence.evidence import Evidence, EvidenceSettings
from ...grounding.evidence.forms.tokens import TokenShape
from ...grounding.geometry import where
from ...vqa.model.grounded_mllm import DTYPES, GroundedMLLM, load, resolve
from ...vqa.model.lora import num_layers, targets
from ...vqa.model.settings import MllmSettings
from ...vqa.prompt.prompt import Example
from ...vqa.training.train import answer_loss
from .noise import DIM, SIDE_PX, WORDS, batch_of, example_of, in_words, noise_image, noise_region, num_tokens
from .timing import Base, Dtype, Json, Threads, Work, compare_pairs, median_seconds, write_figures

PHRASES = WORDS[:5]
FORMS = ("text", "tokens", "crops", "overlay", "tiles")
TEXT, NONE = (EvidenceSettings(forms=forms, max_regions=len(PHRASES)) for forms in (("text",), ()))


def main(
    base: Base = "smollm2-135m",
    dtype: Dtype = "bf16",
    batch_size: Annotated[int, typer.Option(min=1, help="Examples a step")] = 8,
    steps: Annotated[int, typer.Option(min=1, help="Work of each kind, after one that is not counted")] = 5,
    tiny: Annotated[bool, typer.Option(help="Two examples and one step: does it run at all?")] = False,
    threads: Threads = 2,
    out: Json = None,
) -> None:
    """Measure and print: cost of evidence at equal tokens, of each form, and throughput against transformers."""
    torch.set_num_threads(threads)
    batch_size, steps = (2, 1) if tiny else (batch_size, steps)
    settings = MllmSettings.model_validate({"base": base, "dtype": dtype})
    mllm = load(settings, TokenShape(DIM)).train()
    with tempfile.TemporaryDirectory() as folder:
        data = examples(Path(folder) / "noise.png", batch_size)
        figures: dict[str, Any] = {"base": base, "dtype": dtype, "batch_size": batch_size, "steps": steps}
        figures |= evidence_cost(mllm, data, steps) | against_trainer(mllm, settings, data, steps)
        if torch.cuda.is_available():
            figures |= gpu_speed(mllm, data, figures["ours_seconds"])
    for name, value in figures.items():
        typer.echo(f"{name}: {value}")
    write_figures(out, figures)


def evidence_cost(mllm: GroundedMLLM, data: Sequence[Example], steps: int) -> dict[str, Any]:
    """Ratios of step times. `token_equal`: text evidence against the same words as part of a plain question."""
    plain = [replace(example, evidence=Evidence.none()) for example in data]
    # every form by itself, then all of them; other marks and context cost what an overlay and a crop cost
    rows = {"+".join(forms): TEXT.model_copy(update={"forms": forms}) for forms in [*zip(FORMS), FORMS]}
    tokens = {"none": num_tokens(batch_of(mllm, plain, NONE))}
    tokens |= {name: num_tokens(batch_of(mllm, data, settings)) for name, settings in rows.items()}
    base = _step(mllm, plain, NONE)
    cost_of_form = {name: _ratio(_step(mllm, data, settings), base, steps) for name, settings in rows.items()}
    as_question = _step(mllm, [in_words(example, TEXT) for example in data], NONE)
    token_equal = _ratio(_step(mllm, data, TEXT), as_question, steps)
    return {"token_equal": token_equal, "tokens": tokens, "cost_of_form": cost_of_form}


def against_trainer(mllm: GroundedMLLM, settings: MllmSettings, data: Sequence[Example], steps: int) -> dict[str, Any]:
    """Throughput of our step over that of transformers' Trainer, and of TRL's SFTTrainer where TRL is installed.

    All from the same batch of text evidence.
    """
    batch = batch_of(mllm, data, TEXT)
    # rendered and collated once: only the step itself is compared
    theirs = _trainer_step(mllm, settings, dict(batch["inputs"]), batch["labels"])
    ours = _optimized(mllm, lambda: answer_loss(mllm, batch)["loss"].backward())
    ratio, seconds = _ratio(theirs, ours, steps), median_seconds(steps, ours)
    rate = round(batch["inputs"]["input_ids"].numel() / seconds, 1)
    found = {"throughput_over_trainer": ratio, "ours_seconds": round(seconds, 4), "ours_tokens_per_second": rate}
    if find_spec("trl") is None:
        return {**found, "throughput_over_trl": "left out, pip install trl"}
    sft = _trainer_step(mllm, settings, dict(batch["inputs"]), batch["labels"], is_sft=True)
    return {**found, "throughput_over_trl": _ratio(sft, ours, steps)}


def gpu_speed(mllm: GroundedMLLM, data: Sequence[Example], seconds: float) -> dict[str, Any]:
    """Floating-point operations of a step over its time, as a part of what a large bf16 product reaches here."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        answer_loss(mllm, batch_of(mllm, data, TEXT))["loss"].backward()
    a, b = torch.randn(2, 8192, 8192, device="cuda", dtype=torch.bfloat16).unbind()
    # what this GPU reaches at best: one large product of matrices
    reached = 2 * 8192**3 / median_seconds(5, lambda: (a @ b).sum())
    flops = counter.get_total_flops() / seconds
    return {"teraflops": round(flops / 1e12, 2), "of_bf16_matmul": round(flops / reached, 4)}


def _ratio(a: Work, b: Work, steps: int) -> dict[str, float]:
    wall, cpu, of_a, of_b = compare_pairs(a, b, steps)
    return {"ratio": round(wall, 3), "cpu": round(cpu, 3), "a": round(of_a, 4), "b": round(of_b, 4)}


def _step(mllm: GroundedMLLM, data: Sequence[Example], settings: EvidenceSettings) -> Work:
    """One whole step: prompts, batch, loss, gradients, update."""
    return _optimized(mllm, lambda: answer_loss(mllm, batch_of(mllm, data, settings))["loss"].backward())


def _optimized(model: torch.nn.Module, compute: Work) -> Work:
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-6, fused=True)

    def step() -> None:
        compute()
        optimizer.step()
        optimizer.zero_grad()

    return step


def _trainer_step(
    mllm: GroundedMLLM,
    settings: MllmSettings,
    inputs: dict[str, Any],
    labels_BK: torch.Tensor,
    is_sft: bool = False,
) -> Work:
    # The Trainer's own `training_step` and an optimizer step on the plain peft model with the same updates: attention,
    # loss and precision are as transformers has them, with the logits of every position.
    from transformers import AutoModelForImageTextToText, Trainer, TrainingArguments

    model: Any = AutoModelForImageTextToText.from_pretrained(
        resolve(settings.base, None), dtype=DTYPES[settings.dtype], trust_remote_code=False
    )
    if model.get_input_embeddings().weight.shape[0] < len(mllm.processor.tokenizer):
        model.resize_token_embeddings(len(mllm.processor.tokenizer), mean_resizing=False)
    projectors = [n for n in mllm.family.projectors if any(k.endswith(n) for k, _ in model.named_modules())]
    lora, linears = settings.lora, targets(settings.lora, num_layers(model), mllm.family)
    config = LoraConfig(r=lora.r, lora_alpha=lora.alpha, target_modules=linears, modules_to_save=projectors or None)
    peft: Any = get_peft_model(model, config)
    # the Trainer wants a label for every position, ours only those of the answers at the end
    labels = torch.full_like(inputs["input_ids"], -100)
    labels[:, labels.shape[1] - labels_BK.shape[1] :] = labels_BK
    where_to: dict[str, Any] = {"output_dir": tempfile.mkdtemp(), "report_to": [], "save_strategy": "no"}
    is_bf16, is_cpu = settings.dtype == "bf16", not torch.cuda.is_available()
    if is_sft:
        trainer = _sft_trainer(peft, mllm.processor, {"use_cpu": is_cpu, "bf16": is_bf16, **where_to})
    else:
        trainer = Trainer(model=peft, args=TrainingArguments(use_cpu=is_cpu, bf16=is_bf16, **where_to))
    trainer.current_gradient_accumulation_steps = 1  # which its training loop would have set
    peft.train()
    return _optimized(peft, lambda: trainer.training_step(peft, inputs | {"labels": labels}))


def _sft_trainer(model: Any, processor: Any, options: dict[str, Any]) -> Any:
    """TRL's trainer on a model; it wants a data set, which is not drawn from, as batches are given to its step."""
    from datasets import Dataset

    trl: Any = import_module("trl")
    rows = [{"prompt": [{"role": "user", "content": "?"}], "completion": [{"role": "assistant", "content": "!"}]}]
    # rows without a picture would choose its path for text alone, which prepares them at once
    options |= {"dataset_kwargs": {"skip_prepare_dataset": True}, "remove_unused_columns": False, "max_length": None}
    args = trl.SFTConfig(**options, gradient_checkpointing=False)
    return trl.SFTTrainer(model=model, args=args, train_dataset=Dataset.from_list(rows), processing_class=processor)


def examples(image: Path, num: int) -> list[Example]:
    """Noise with five regions each, as a cache of regions would give them."""
    rng, examples = np.random.default_rng(0), []
    noise_image(image, rng)
    for number in range(num):
        regions = tuple(noise_region(phrase, rng, 0.9) for phrase in PHRASES)
        asked = regions[number % len(regions)]
        question = f"Where is the {asked.phrase}?\nAnswer with a word or short phrase."
        target = where(asked.box_xyxy_px, (SIDE_PX, SIDE_PX))
        examples.append(example_of(number, image, question, target, "predicted", regions))
    return examples


if __name__ == "__main__":
    typer.run(main)
