"""A training whose frozen weights are cut up between processes ends where one without does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from making import are_close, write_image
from safetensors.torch import load_file

PROGRAM = """
import sys
from pathlib import Path
from medglip.grounding.evidence.evidence import PLAIN, Evidence
from medglip.grounding.evidence.forms.tokens import TokenShape
from medglip.grounding.training import loop
from medglip.vqa.model.grounded_mllm import load
from medglip.vqa.model.settings import MllmSettings
from medglip.vqa.prompt.prompt import Example
from medglip.vqa.training.settings import MllmTrainSettings
from medglip.vqa.training.train import train
from torch.distributed.tensor import DTensor

base, image, out = sys.argv[1:]
mllm = load(MllmSettings(base=base, dtype="fp32"), TokenShape(6))
example = lambda k: Example(
    example_id=str(k), image_path=Path(image), instruction=f"Is it {k}?", target="upper left", evidence=Evidence.none()
)
rates = {"steps": 3, "batch_size": 2, "warmup_steps": 1, "checkpoint_every": 1}
settings = MllmTrainSettings.model_validate({"train": rates, "gradient_checkpointing": True})
train(mllm, [example(k) for k in range(12)], PLAIN, settings, Path(out))
parts = sum(isinstance(p, DTensor) for p in mllm.parameters())
if loop.processes().is_main_process:
    (Path(out) / "parts").write_text(f"{loop.is_sharded()} {parts > 0}")
"""


@pytest.mark.thorough
@pytest.mark.slow
def test_sharded_layers_learn_what_whole_ones_do(tiny_base: Path, tmp_path: Path) -> None:
    image, program = write_image(tmp_path / "i.png", (64, 64), colour=7), tmp_path / "program.py"
    program.write_text(PROGRAM)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(program)]
    weights = {}
    for kind in ("false", "true"):
        env = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "ACCELERATE_USE_FSDP": kind}
        words = [*launch, str(tiny_base), str(image), str(tmp_path / kind)]
        subprocess.run(words, env=env, check=True, timeout=900)
        weights[kind] = load_file(tmp_path / kind / "checkpoint-3" / "trained.safetensors")
    assert (tmp_path / "false" / "parts").read_text() == "False False"
    assert (tmp_path / "true" / "parts").read_text() == "True True"
    assert are_close(weights["true"], weights["false"], 1e-5)
