"""The benchmark of LoRA steps runs, and compares like with like."""

import json
from pathlib import Path

import pytest

from medglip.scripts.bench import lora as bench_lora


@pytest.mark.filterwarnings("ignore")  # of transformers' own Trainer
def test_every_figure_is_there_and_the_batches_are_token_equal(tiny_base: Path, tmp_path: Path) -> None:
    bench_lora.main(base=str(tiny_base), dtype="fp32", tiny=True, threads=1, out=tmp_path / "figures.json")
    found = json.loads((tmp_path / "figures.json").read_text())
    assert set(found["cost_of_form"]) == {*bench_lora.FORMS, "+".join(bench_lora.FORMS)}
    assert found["tokens"]["none"] < found["tokens"]["tokens"] < found["tokens"]["text"]
    ratios = [found["token_equal"], found["throughput_over_trainer"], *found["cost_of_form"].values()]
    assert all(one["ratio"] > 0 for one in ratios)
    assert found["ours_tokens_per_second"] > 0
    trl = found["throughput_over_trl"]
    assert trl["ratio"] > 0 if isinstance(trl, dict) else "pip install trl" in trl
