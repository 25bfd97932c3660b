"""Evidence to learn from: of a core that did not learn the image, and of the source that the recipe names."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from medglip.grounding.bad_input import BadInput
from medglip.grounding.grounders.embedded import EmbeddedFinder
from medglip.grounding.grounders.medglip import MedGlipGrounder
from medglip.grounding.settings import read_settings
from medglip.grounding.training.provenance import write_learned
from medglip.scripts.pipeline.pipeline import Pipeline
from medglip.scripts.pipeline.training import examples_of_split
from medglip.scripts.recipe import Recipe


def other_core(core: Path, folder: Path, seed: int) -> Path:
    """A copy of a core with other weights."""
    shutil.copytree(core, folder)
    weights, draws = load_file(folder / "model.safetensors"), torch.Generator().manual_seed(seed)
    changed = {
        n: w + 0.1 * torch.randn(w.shape, generator=draws) if w.is_floating_point() else w for n, w in weights.items()
    }
    save_file(changed, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.fixture
def line(write_recipe: Callable[[Path], Path], tiny_core: Path, tmp_path: Path) -> Callable[..., Pipeline]:
    """A line with a core taken as it is and two others, `a` and `b`, that learned every other training image."""
    recipe = write_recipe(tmp_path)
    values = yaml.safe_load(recipe.read_text())
    halves = [other_core(tiny_core, tmp_path / name, seed) for seed, name in enumerate("ab")]
    shutil.copytree(tiny_core, tmp_path / "main")
    vocabulary = json.dumps({name: ["nodule", "mass"] for name in ("xray", "ct", "mr", "ultrasound")})
    (tmp_path / "main" / "vocabulary.json").write_text(vocabulary)
    write_learned(tmp_path / "main", [])
    values |= {"report": None, "grounding": {"core": str(tmp_path / "main"), "half_cores": [*map(str, halves)]}}

    def make(**changes: object) -> Pipeline:
        recipe.write_text(yaml.safe_dump(values | changes))
        pipeline = Pipeline(read_settings(Recipe, recipe))
        teaching = sorted({item.image.image_path for item in pipeline.all_items if item.image.split == "train"})
        for k, half in enumerate(halves):
            write_learned(half, teaching[k::2])
        return pipeline

    return make


def test_evidence_of_a_training_image_is_that_of_the_half_core_that_did_not_learn_it(
    line: Callable[..., Pipeline], tmp_path: Path
) -> None:
    pipeline = line(sources=["none", "predicted"])
    caches = pipeline.caches
    core = pipeline.grounder
    halves = [EmbeddedFinder(MedGlipGrounder.from_pretrained(tmp_path / name), core) for name in "ba"]
    teaching = sorted({item.image.image_path for item in pipeline.all_items if item.image.split == "train"})
    queries = {query.image.image_id: query for item in pipeline.all_items for query in pipeline.query(item).images}
    assert {query.image.split for query in queries.values()} == {"train", "val", "test"}
    for name, query in queries.items():
        image, found = query.image, caches.predicted[name]
        phrases = list(dict.fromkeys(region.phrase for region in found))
        finder = halves[teaching.index(image.image_path) % 2] if image.split == "train" else core
        expected = finder.ground([image], [phrases])[0]
        assert [r.phrase for r in found] == [r.phrase for r in expected]
        for ours, theirs in zip(found, expected, strict=True):
            assert np.allclose(ours.box_xyxy_px, theirs.box_xyxy_px, atol=1e-2)
            assert np.allclose(np.array(ours.embedding), np.array(theirs.embedding), atol=1e-3)
    assert len({core.fingerprint, *(half.fingerprint for half in halves)}) == 3
    kept = {folder.name for folder in pipeline.folder.regions_dir.iterdir()}
    assert kept == {finder.fingerprint[:16] for finder in (core, *halves)}


def test_an_image_that_taught_every_half_core_is_refused(line: Callable[..., Pipeline], tmp_path: Path) -> None:
    pipeline = line()
    teaching = [item.image.image_path for item in pipeline.all_items if item.image.split == "train"]
    for name in "ab":
        write_learned(tmp_path / name, teaching)
    with pytest.raises(BadInput, match="taught every one of 2 cores"):
        _ = pipeline.caches


@pytest.mark.parametrize("source", ["predicted", "oracle", "shuffled"])
def test_the_grounded_adapter_learns_from_the_source_of_the_recipe(line: Callable[..., Pipeline], source: str) -> None:
    pipeline = line(sources=["none", "predicted"], evidence={"train_source": source, "min_score": 0.0})
    learned = examples_of_split(pipeline, "grounded", "train")["vqa"]
    assert {example.evidence.source for example in learned} == {source}
    assert {example.evidence.source for example in examples_of_split(pipeline, "plain", "train")["vqa"]} == {"none"}
