"""SIGKILL at random moments: a data build, a training and a prediction end as if they had not been killed."""

import multiprocessing
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medglip.grounding.datasets.building.build import build
from medglip.grounding.datasets.building.manifest import BuildSettings
from medglip.grounding.datasets.load import load_images
from medglip.grounding.datasets.phantoms.dataset import write as write_phantoms
from medglip.grounding.datasets.settings import DataSettings, PhantomSettings
from medglip.grounding.files import file_sha256, read_lines
from medglip.grounding.training.core import train
from medglip.grounding.training.settings import GroundingSettings, ModelSettings, TrainSettings
from medglip.scripts.inference.predict_set import PredictRequest, predict_dataset
from medglip.vqa.inference.settings import GenerateSettings

pytestmark = pytest.mark.thorough
KILLS = 4
CONTEXT = multiprocessing.get_context("forkserver")  # a server without threads, which imports the slow modules once


def end_after_kills(target: Callable[..., Any], reference: tuple[Any, ...], killed: tuple[Any, ...], seed: int) -> None:
    """Do the job undisturbed with the one set of arguments; with the other one kill it some times, then let it end."""
    CONTEXT.set_forkserver_preload([target.__module__, "medglip.scripts.inference.systems", "torch", "datasets"])
    assert run(int, ()) == 0  # the server has started and imported
    start = time.monotonic()
    assert run(target, reference) == 0
    seconds, rng = time.monotonic() - start, random.Random(seed)
    # a job that goes on ends sooner and sooner; early, as the undisturbed one may have had other load beside it
    codes = [run(target, killed, seconds * rng.uniform(0.05, 0.25) / (k / 2 + 1)) for k in range(KILLS)]
    assert set(codes) <= {0, -signal.SIGKILL}
    print(f"{target.__name__}: {codes.count(-signal.SIGKILL)} kills in {seconds:.1f} s")
    assert codes[0] == -signal.SIGKILL
    assert run(target, killed) == 0


def run(target: Callable[..., Any], arguments: tuple[Any, ...], seconds: float | None = None) -> int | None:
    process = CONTEXT.Process(target=target, args=arguments)
    process.start()
    process.join(seconds)
    process.kill()
    process.join()
    return process.exitcode


def hashes(folder: Path) -> dict[str, str]:
    # a kill while a file is written leaves what there is of it, `.build.json.123`, beside the old file or none
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith((".", "build.json")))
    return {str(path.relative_to(folder)): file_sha256(path) for path in files}


def phantoms(folder: Path, number: int) -> Path:
    write_phantoms(folder, PhantomSettings(num_train=number, num_val=0, num_test=12, size_px=96))
    return folder


@pytest.mark.parametrize("seed", range(2))
def test_a_build(tmp_path: Path, seed: int) -> None:
    source = {"layout": "phantom", "path": str(phantoms(tmp_path / "set", 60)), "licence": "CC0"}
    whole, killed = (
        BuildSettings.model_validate(
            {"name": "t", "out_dir": tmp_path / name, "sources": [source], "shard_rows": 8, "near_duplicates": False}
        )
        for name in ("whole", "killed")
    )
    end_after_kills(build, (whole,), (killed,), seed)
    assert hashes(killed.out_dir) == hashes(whole.out_dir)
    assert not [*killed.out_dir.glob(".*")]


def test_a_training(tmp_path: Path) -> None:
    sizes = ModelSettings(
        **{"image_size": 64, "width": 16, "stage_widths": (8, 8, 8, 8), "hidden_size": 8, "text_layers": 1},
        depths=(1, 1, 1, 2),
    )
    settings = GroundingSettings(
        model=sizes, train=TrainSettings(steps=40, batch_size=2, warmup_steps=2, checkpoint_every=3)
    )
    folder = phantoms(tmp_path / "set", 12)
    data, _ = load_images([DataSettings(layout="phantom", path=str(folder))], 0)
    end_after_kills(train, (data, settings, tmp_path / "whole"), (data, settings, tmp_path / "killed"), 2)
    assert hashes(tmp_path / "killed") == hashes(tmp_path / "whole")


def test_a_prediction(tmp_path: Path, tiny_base: Path) -> None:
    folder = phantoms(tmp_path / "set", 1)
    asked = {"dataset": "phantom", "root": folder, "base": str(tiny_base), "source": "none"}
    asked |= {"generate": GenerateSettings(max_new_tokens=2, batch_size=1)}
    whole, killed = (PredictRequest(**asked, out=tmp_path / name / "r.jsonl") for name in ("whole", "killed"))
    end_after_kills(predict_dataset, (whole,), (killed,), 3)
    one, two = ([row | {"seconds": 0} for row in read_lines(request.out)] for request in (whole, killed))
    assert one == two
