r"""Make an adapter one that comes with the package: half precision, no paths, facts and a model card.

python -m medglip.scripts.release.ship_adapter ALIGNED --licence apache-2.0 --facts RUN/derived.jsonl \
    --results PROBE.json
python -m medglip.scripts.release.ship_adapter RUN --licence apache-2.0
"""

import json
import tempfile
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from ...grounding.bad_input import BadInput
from ...grounding.datasets.phantoms import dataset as phantom
from ...grounding.datasets.schema import images
from ...grounding.datasets.settings import PhantomSettings
from ...grounding.evidence.forms.tokens import TokenShape
from ...grounding.files import write_atomic, write_folder
from ...vqa.model import shipped
from ...vqa.model.grounded_mllm import OUR_FILE, load
from ...vqa.model.identity import FILE as ALIGNED_FILE
from ...vqa.prompt.prompt import Example
from ...vqa.publish.adapter_card import adapter_card, facts_json
from ...vqa.publish.half_precision import check, pack
from ...vqa.task import example_of
from ..inference.system import TrainedSystem
from ..inference.systems import load_system
from .adapter_facts import figures, learned_from
from .export import QUESTIONS

TOLERANCE = 0.5  # largest difference of two logits, of about 20, that half precision may make


def main(
    place: Annotated[Path, typer.Argument(help="Folder of an aligned adapter, of a finished run or of an adapter")],
    licence: Annotated[str, typer.Option(help="Licence of the weights, as hubs spell it")],
    name: Annotated[str, typer.Option(help="Name in the package")] = "small",
    out: Annotated[Path | None, typer.Option(help="Folder; left out: that of the name in this package")] = None,
    facts: Annotated[
        list[Path] | None,
        typer.Option(help="What it learned from: a YAML list, or derived.jsonl; left out: the run's recipe"),
    ] = None,
    results: Annotated[
        list[Path] | None, typer.Option(help="Scores for the card; left out: results.json of the run")
    ] = None,
    limit: Annotated[list[str] | None, typer.Option(help="A limit for the card; repeat it")] = None,
    checkpoint: Annotated[
        str | None, typer.Option(help="Core it was trained with; left out: the run's, or small")
    ] = None,
    tolerance: Annotated[float, typer.Option(help="Largest logit difference that passes")] = TOLERANCE,
) -> None:
    """Ship an aligned adapter (it has aligned.json) or one that answers; from a run the adapter with evidence."""
    finished = load_system(place, checkpoint)
    adapter = finished.adapter("predicted")
    assert adapter is not None
    kind: shipped.ShippedKind = "aligned" if (adapter / ALIGNED_FILE).is_file() else "adapter"
    folder = out or shipped.WEIGHTS / kind / name
    sets = learned_from(finished, facts or ())
    own_results = finished.folder / "results.json"
    tables = figures(results if results is not None else [own_results] if own_results.is_file() else [])

    # whole or not at all: a check that fails leaves the folder as it was
    with write_folder(folder) as partial:
        pack(adapter, partial, finished.core)
        difference = parity(finished, partial)
        if not difference <= tolerance:
            raise BadInput(f"half precision moves logits by {difference:.3g}.", file=place, fix="--tolerance")
        write_atomic(partial / shipped.FACTS, facts_json(sets))
        identity = json.loads((partial / OUR_FILE).read_text())
        # the settings for the card, as far as they are known
        training: dict[str, Any] = {"mllm": identity["settings"]}
        if kind == "aligned":
            training["align"] = json.loads((partial / ALIGNED_FILE).read_text())["stages"]
        else:
            training["evidence"] = identity.get("evidence")
            if finished.recipe:
                training["mllm_train"] = finished.recipe.mllm_train.model_dump(mode="json", exclude_none=True)
        card = adapter_card(
            kind,
            folder.name,
            identity,
            sets,
            training,
            licence=licence,
            figures=tables,
            difference=difference,
            limits=limit or (),
        )
        write_atomic(partial / "README.md", card)
        check(partial)
    size = sum(file.stat().st_size for file in folder.iterdir())
    typer.echo(f"shipped: {folder}, {size / 2**20:.1f} MiB")


def parity(finished: TrainedSystem, packed: Path) -> float:
    """The largest difference between two logits of the adapter as trained and as packed, in fp32, on drawn images."""
    with tempfile.TemporaryDirectory() as folder:
        phantom.write(Path(folder), PhantomSettings(num_train=1, num_val=0, num_test=3))
        source = "predicted" if finished.shown.forms else "none"
        examples = [
            example_of(question, query, finished.evidence(query, source), "yes")
            for image, question in product(images(phantom.read(Path(folder))), QUESTIONS)
            for query in [finished.query(image, question)]
        ]
        before, after = (_logits(finished, each, examples) for each in (finished.adapter("predicted"), packed))
    # float32[B, K, V] each; the most likely next token is compared as well, which is what a reader would see
    difference = float((before - after).abs().max())
    agree = int((before.argmax(-1) == after.argmax(-1)).all(-1).sum())
    typer.echo(f"largest logit difference: {difference:.3g}; {agree} of {len(examples)} prompts say the same next")
    return difference


@torch.inference_mode()
def _logits(finished: TrainedSystem, adapter: Path | None, examples: Sequence[Example]) -> torch.Tensor:
    """float32[B, K, V] at the answers."""
    settings = finished.mllm.model_copy(update={"dtype": "fp32"})
    mllm = load(settings, TokenShape.of(finished.grounder), adapter, vision=finished.core)
    return mllm(mllm.collate([mllm.render(example, finished.shown) for example in examples])).cpu()


if __name__ == "__main__":
    typer.run(main)
