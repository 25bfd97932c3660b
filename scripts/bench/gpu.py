"""What a borrowed GPU does in eight minutes: python -m medglip.scripts.bench.gpu

A random base of the shape of Qwen2.5-VL 3B learns with LoRA on examples with evidence, through the same code as a run;
beside it a core of usual size. Prints step time, tokens a second, part of the peak, memory against what `vqa plan`
counts, whether a resumed training equals an undisturbed one, bf16 against fp32, and two processes where there are two
GPUs; writes it all as a paragraph for docs/benchmarks.md. Needs 8 GB of disk. `--tiny`: the same in a minute on a CPU.
"""

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import torch
import transformers
import typer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from ...grounding.evidence.evidence import EvidenceSettings
from ...grounding.evidence.forms.tokens import TokenShape
from ...grounding.files import write_atomic
from ...grounding.training.checkpoint import trained_parameters
from ...grounding.training.loop import processes
from ...grounding.training.settings import GroundingSettings, ModelSettings, TrainSettings
from ...vqa.model.footprint import measure
from ...vqa.model.grounded_mllm import GroundedMLLM, load
from ...vqa.model.settings import ATTENTION, MLP, LoraSettings, MllmSettings
from ...vqa.prompt.prompt import Example
from ...vqa.training.settings import MllmTrainSettings
from ...vqa.training.train import answer_loss, train
from .lora import examples
from .noise import DIM, batch_of
from .step import PHRASES, core_pass
from .timing import Json, time_work, write_figures

OUT = Path("runs/bench/gpu.md")
SHOWN = EvidenceSettings(forms=("text", "tokens"), max_regions=5)
TOKENS = {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"}
TOKENS |= {"vision_bos_token": "<|vision_start|>", "vision_eos_token": "<|vision_end|>"}
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for p in m['content'] %}{% if p['type'] == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ p['text'] }}{% endif %}{% endfor %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def main(
    out: Annotated[Path, typer.Option(help="File of the paragraph")] = OUT,
    figures_file: Json = None,
    tiny: Annotated[bool, typer.Option(help="Tiny sizes and three steps: does it run at all?")] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Examples a step")] = 8,
    steps: Annotated[int, typer.Option(min=4, help="Steps of each training")] = 8,
    base: Annotated[Path | None, typer.Option(hidden=True, help="Of one of two processes: time its steps")] = None,
) -> None:
    """Measure, print one line a figure, and write the paragraph."""
    batch_size, steps = (2, 4) if tiny else (batch_size, steps)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # deterministic products of matrices need it
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if base is not None:  # one of several processes, which share the base
            seconds = step_seconds(load_on(base), folder, batch_size, steps)
            if processes().is_main_process:
                print(json.dumps(seconds))
            return
        write_base(folder / "base", tiny)
        figures: dict[str, Any] = {"device": device_name(), "batch size": batch_size}
        figures |= of_the_base(folder, batch_size, steps, tiny) | of_the_core(tiny)
        figures["two processes"] = in_two_processes(folder / "base", batch_size, steps, figures["step time"])
    for key, value in figures.items():
        typer.echo(f"{key}: {value}")
    write_atomic(out, paragraph(figures, tiny))
    typer.echo(f"written: {out}")
    write_figures(figures_file, figures)


def write_base(folder: Path, tiny: bool) -> None:
    """A random checkpoint as a family's real folders look, in bf16, drawn on the GPU where there is one."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(PHRASES, trainers.BpeTrainer(special_tokens=special, initial_alphabet=alphabet))
    named: dict[str, Any] = dict(zip(("unk_token", "bos_token", "eos_token"), special, strict=True))
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=bpe, extra_special_tokens=TOKENS, **named)
    tokenizer.pad_token = tokenizer.unk_token
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3] if tiny else [16, 24, 24]}
    sizes = (64, 128, 2, 4, 2, 1024) if tiny else (2048, 11008, 36, 16, 2, 151936)
    keys = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
    text: dict[str, Any] = dict(zip((*keys, "vocab_size"), sizes, strict=True))
    text |= {"rope_parameters": rope, "tie_word_embeddings": True}
    vision_sizes = (2, 32, 64, 4, 64, [1]) if tiny else (32, 1280, 3420, 16, 2048, [7, 15, 23, 31])
    vision_keys = ("depth", "hidden_size", "intermediate_size", "num_heads", "out_hidden_size", "fullatt_block_indexes")
    vocabulary = tokenizer.get_vocab()
    ids = {name: vocabulary[token] for name, token in TOKENS.items()}
    placeholders: dict[str, Any] = {f"{kind}_token_id": ids[f"{kind}_token"] for kind in ("image", "video")}
    config = transformers.Qwen2_5_VLConfig(
        text_config=text,
        vision_config=dict(zip(vision_keys, vision_sizes, strict=True)),
        vision_start_token_id=ids["vision_bos_token"],
        vision_end_token_id=ids["vision_eos_token"],
        tie_word_embeddings=True,
        **placeholders,
    )
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model: Any = transformers.AutoModelForImageTextToText.from_config(
            config, dtype=torch.bfloat16, trust_remote_code=False
        )
    model.save_pretrained(folder)
    side_px = 56 if tiny else 448
    limits = {"shortest_edge": side_px**2, "longest_edge": side_px**2}
    transformers.Qwen2VLImageProcessor(size=limits).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_atomic(folder / "processor_config.json", '{"processor_class": "Qwen2_5_VLProcessor"}')
    write_atomic(folder / "video_preprocessor_config.json", '{"video_processor_type": "Qwen2VLVideoProcessor"}')
    write_atomic(folder / "chat_template.jinja", TEMPLATE)


def load_on(base: Path) -> GroundedMLLM:
    """The base with fresh LoRA on all of its language layers."""
    lora = LoraSettings(r=16, linears=ATTENTION + MLP)
    return load(MllmSettings(base=str(base), dtype="bf16", lora=lora), TokenShape(DIM))


def rates(batch_size: int, steps: int) -> MllmTrainSettings:
    """Of a training that writes a checkpoint at every step, without looking ahead."""
    loop = TrainSettings(steps=steps, batch_size=batch_size, warmup_steps=1, learning_rate=1e-4, checkpoint_every=1)
    return MllmTrainSettings(train=loop)


def of_the_base(folder: Path, batch_size: int, steps: int, tiny: bool) -> dict[str, Any]:
    """Every figure of the language model."""
    mllm = load_on(folder / "base")
    found = measure(mllm.settings, str(folder / "base"), TokenShape(DIM))
    data = examples(folder / "noise.png", batch_size)
    batch = batch_of(mllm, data, SHOWN)
    length, labels = batch["inputs"]["input_ids"].shape[1], batch["labels"].shape[1]
    is_gpu = torch.cuda.is_available()
    if is_gpu:
        torch.cuda.reset_peak_memory_stats()
    seconds = step_seconds(mllm, folder, batch_size, steps)
    held = torch.cuda.max_memory_allocated() / 2**30 if is_gpu else None
    peak = matmul_tflops(256 if tiny else 8192)
    tflop = batch_size * found.flops(length, 1, labels, False) / 1e12
    planned = found.step_bytes("bf16", batch_size, length, labels, False) / 2**30
    off = difference_of_resumed(mllm, folder, batch_size, steps)
    return {
        "parameters": found.base,
        "trained parameters": found.trained,
        "tokens of a prompt": length,
        "step time": f"{seconds:.3f} s",
        "tokens/s": round(batch_size * length / seconds),
        "TFLOP/s": round(tflop / seconds, 3),
        "part of the matmul's peak": f"{tflop / seconds / peak:.0%} of {peak:.3g} TFLOP/s",
        "memory": f"{held:.1f} GiB, planned {planned:.1f}" if held else f"no GPU, planned {planned:.2f} GiB",
        "resume equals undisturbed": "yes" if off == 0 else f"NO, by up to {off:.1e}",
        **precisions(mllm, data),
    }


def step_seconds(mllm: GroundedMLLM, folder: Path, batch_size: int, steps: int) -> float:
    """Median seconds of a step of a whole training, rendering and checkpoints among it, the first steps left out."""
    marks: list[float] = []
    data = _Watched(examples(folder / "noise.png", batch_size * steps), marks, batch_size)
    seconds = time_work(lambda: train(mllm, data, SHOWN, rates(batch_size, steps), folder / "timed"))[0]
    shutil.rmtree(folder / "timed", ignore_errors=True)
    between = [later - earlier for earlier, later in pairwise(marks[1:])]
    return statistics.median(between) if len(between) > 1 else seconds / steps


class _Watched(list[Example]):
    """Notes the time whenever the first example of a batch is drawn; one more draw than `until` is an interruption."""

    def __init__(self, data: Sequence[Example], marks: list[float], batch_size: int, until: int | None = None):
        super().__init__(data)
        self.marks, self.batch_size, self.until, self.drawn = marks, batch_size, until, 0

    def __getitem__(self, index: Any) -> Any:
        if self.drawn % self.batch_size == 0:
            self.marks.append(time.perf_counter())
        if self.until is not None and self.drawn >= self.until:
            raise KeyboardInterrupt
        self.drawn += 1
        return super().__getitem__(index)


def difference_of_resumed(mllm: GroundedMLLM, folder: Path, batch_size: int, steps: int) -> float:
    """The largest difference of a weight after a training that is interrupted in the middle and called again.

    In deterministic mode: the backward pass of a GPU's attention adds in any order otherwise.
    """
    torch.use_deterministic_algorithms(True, warn_only=True)
    start = {name: p.detach().clone() for name, p in trained_parameters(mllm).items()}
    data, settings = examples(folder / "noise.png", batch_size * steps), rates(batch_size, steps)

    def restart() -> None:
        with torch.no_grad():
            for name, parameter in trained_parameters(mllm).items():
                parameter.copy_(start[name])

    train(mllm, data, SHOWN, settings, folder / "whole")
    whole = {name: p.detach().clone() for name, p in trained_parameters(mllm).items()}
    restart()
    try:
        train(mllm, _Watched(data, [], batch_size, steps // 2 * batch_size), SHOWN, settings, folder / "broken")
    except KeyboardInterrupt:
        restart()
    assert (folder / "broken" / "latest").exists(), "interrupted before its first checkpoint"
    train(mllm, data, SHOWN, settings, folder / "broken")
    torch.use_deterministic_algorithms(False)
    ends = trained_parameters(mllm)
    return max(float((parameter.detach() - whole[name]).abs().max()) for name, parameter in ends.items())


def precisions(mllm: GroundedMLLM, data: Sequence[Example]) -> dict[str, Any]:
    """Loss and seconds of one forward and backward pass in bf16, then of the same weights in fp32."""
    passes = {}
    for dtype in ("bf16", "fp32"):
        mllm.settings = mllm.settings.model_copy(update={"dtype": dtype})
        if dtype == "fp32":
            mllm.model.float()
        batch = batch_of(mllm, data[:2], SHOWN)

        def compute(batch: Any = batch) -> float:
            loss = answer_loss(mllm.train(), batch)["loss"]
            loss.backward()
            mllm.zero_grad()
            return float(loss.detach())

        compute()
        seconds, _, loss = time_work(compute)
        passes[dtype] = (loss, seconds)
    (loss, seconds), (exact, longer) = passes["bf16"], passes["fp32"]
    return {
        "bf16 against fp32": f"loss {loss:.4f} against {exact:.4f}, fp32 takes {longer / seconds:.1f} times as long"
    }


def of_the_core(tiny: bool) -> dict[str, Any]:
    """Images a second of the grounding core in training."""
    size = 64 if tiny else 384
    settings = GroundingSettings(model=ModelSettings(image_size=size))
    timed = core_pass(settings, 2 if tiny else 16, list(PHRASES))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    timed.model.to(device)
    timed.batch.update({key: _moved(value, device) for key, value in timed.batch.items()})
    optimizer = torch.optim.AdamW(timed.model.parameters(), fused=True)

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            loss = timed.loss()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    step()
    seconds = statistics.median(time_work(step)[0] for _ in range(3 if tiny else 10))
    return {"core": f"{len(timed.batch['targets']) / seconds:.1f} images/s in training at {size} px"}


def _moved(value: Any, device: torch.device) -> Any:
    """Tensors, also those in lists and in the records of what is true, on the device."""
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, list | tuple):
        parts = [_moved(part, device) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if hasattr(value, "__dataclass_fields__"):
        return type(value)(**{name: _moved(getattr(value, name), device) for name in value.__dataclass_fields__})
    return value


def in_two_processes(base: Path, batch_size: int, steps: int, alone: str) -> str:
    """Seconds of a step of two processes, each with its own batch; said to be left out with less than two GPUs."""
    if torch.cuda.device_count() < 2:
        return f"left out, {torch.cuda.device_count()} GPUs"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "medglip.scripts.bench.gpu", "--base", str(base)]
    command += ["--batch-size", str(batch_size), "--steps", str(steps)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return f"{float(done.stdout.strip().splitlines()[-1]):.3f} s a step of twice the examples, alone {alone}"


def matmul_tflops(side: int) -> float:
    """What the matrix product reaches here in bf16 (fp32 on a CPU)."""
    device, dtype = ("cuda", torch.bfloat16) if torch.cuda.is_available() else ("cpu", torch.float32)
    a, b = torch.randn(2, side, side, device=device, dtype=dtype).unbind()
    return 2 * side**3 / min(time_work(lambda: a @ b)[0] for _ in range(5)) / 1e12


def device_name() -> str:
    """The GPUs, or that there is none."""
    if not torch.cuda.is_available():
        return f"no GPU ({platform.machine()})"
    return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"


def paragraph(figures: dict[str, Any], tiny: bool) -> str:
    """The figures as a section of docs/benchmarks.md."""

    def rows() -> Iterator[str]:
        size = "tiny sizes, a check that it runs, no measurement" if tiny else "a random base of Qwen2.5-VL 3B's shape"
        yield f"## A GPU: {figures['device']}\n"
        yield (
            f"`python -m medglip.scripts.bench.gpu{' --tiny' if tiny else ''}`: {size}; "
            f"LoRA of rank 16 on all linear layers; torch {torch.__version__}, "
            f"transformers {transformers.__version__}.\n"
        )
        yield "| | |\n|---|---|"
        yield from (f"| {key} | {value} |" for key, value in figures.items() if key != "device")

    return "\n".join(rows()) + "\n"


if __name__ == "__main__":
    typer.run(main)
