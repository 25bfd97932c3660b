"""Does a core know what is unlike anything it has learned? AUROC of its familiarity, reported images against strange.

MEDGLIP_DATA=... python -m medglip.scripts.bench.cores.strange recipes/stages/small_320.yaml --core small

Strange are drawn charts, pages of text, noise, and tiles of the two photographs that scikit-learn brings along;
`--left-out mr` with a core that never saw MR adds the images of MR in split test of `--left-out-from`, a recipe that
has some:

MEDGLIP_DATA=... python -m medglip.scripts.bench.cores.strange recipes/stages/without_mr.yaml
    --core runs/without_mr/grounding --left-out mr --left-out-from recipes/stages/small_320.yaml
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from sklearn.datasets import load_sample_images

from ....eval.metrics.detection.presence import auroc
from ....grounding.bad_input import BadInput, Skipped
from ....grounding.datasets.schema import images, split_of
from ....grounding.grounder import FAMILIAR
from ....grounding.grounders.medglip import MedGlipGrounder
from ....grounding.grounders.pretrained import checkpoint_folder
from ....grounding.settings import read_settings
from ....grounding.training.stage import HeldOut, core_images
from ....grounding.types import AnnotatedImage
from ...recipe import Recipe

SIDE_PX = 384
COLOURS = ("steelblue", "darkorange", "seagreen", "firebrick", "slategray")
WORDS = ("patient", "the", "of", "left", "seen", "report", "no", "is", "with", "date", "ward", "dose", "lung", "daily")
Rng = np.random.Generator


def chart(rng: Rng) -> Image.Image:
    """Bars or a line between axes, on white."""
    picture = Image.new("RGB", (SIDE_PX, SIDE_PX), "white")
    draw, num = ImageDraw.Draw(picture), int(rng.integers(4, 12))
    heights, colour = rng.integers(30, SIDE_PX - 80, num), COLOURS[int(rng.integers(len(COLOURS)))]
    foot, step = SIDE_PX - 40, (SIDE_PX - 80) / num
    tops = [(40 + step * (k + 0.5), foot - int(height)) for k, height in enumerate(heights)]
    if rng.random() < 0.5:
        draw.line(tops, fill=colour, width=3)
    else:
        for x, y in tops:
            draw.rectangle((x - step / 3, y, x + step / 3, foot), fill=colour)
    draw.line([(40, 30), (40, foot), (SIDE_PX - 30, foot)], fill="black", width=2)
    for k, (x, _) in enumerate(tops):
        draw.text((x - 4, foot + 6), str(k), fill="black")
    return picture


def page(rng: Rng) -> Image.Image:
    """Lines of words, black on white."""
    picture = Image.new("RGB", (SIDE_PX, SIDE_PX), "white")
    draw, size = ImageDraw.Draw(picture), int(rng.integers(10, 18))
    for y in range(20, SIDE_PX - 30, size + 5):
        words = " ".join(rng.choice(WORDS, 14).tolist())[: int(rng.integers(20, 60))]
        draw.text((20, y), words, fill="black", font=ImageFont.load_default(size))
    return picture


def noise(rng: Rng) -> Image.Image:
    """Grey or coloured noise, fine or in blocks."""
    side, channels = SIDE_PX // int(rng.choice([1, 4, 16])), int(rng.choice([1, 3]))
    values = rng.integers(0, 256, (side, side, channels), dtype=np.uint8)
    return Image.fromarray(np.broadcast_to(values, (side, side, 3)).copy()).resize((SIDE_PX, SIDE_PX))


def photograph(rng: Rng) -> Image.Image:
    """A tile of a photograph of a temple or a flower."""
    whole: NDArray[np.uint8] = load_sample_images().images[int(rng.integers(2))]
    side = int(rng.integers(200, 420))
    top, left = (int(rng.integers(0, size - side)) for size in whole.shape[:2])
    return Image.fromarray(whole[top : top + side, left : left + side]).resize((SIDE_PX, SIDE_PX))


KINDS: dict[str, Callable[[Rng], Image.Image]] = {
    "chart": chart,
    "page": page,
    "noise": noise,
    "photograph": photograph,
}


def main(
    recipe: Annotated[Path, typer.Argument(help="Its images of split test are what is familiar")],
    core: Annotated[str, typer.Option(help="A shipped core by name, or a folder")] = "small",
    left_out: Annotated[str, typer.Option(help="A modality that the core never saw; none")] = "",
    left_out_from: Annotated[Path | None, typer.Option(help="A recipe with images of it; left out: the same")] = None,
    num: Annotated[int, typer.Option(help="Strange pictures of each kind")] = 60,
    seed: Annotated[int, typer.Option(help="Seed of what is drawn")] = 0,
) -> None:
    """Print of each kind of strange picture the AUROC, and how many of it fall below the limit."""
    grounder = MedGlipGrounder.from_pretrained(checkpoint_folder(core))
    reported = _reported(recipe)
    known = familiarity(grounder, [image for image in reported if image.modality != left_out])
    typer.echo(f"{len(known)} images of split test, {np.mean(known < FAMILIAR):.3f} of them below {FAMILIAR}")
    with tempfile.TemporaryDirectory() as folder:
        strange: dict[str, Sequence[AnnotatedImage]] = {
            kind: draw(Path(folder), kind, np.random.default_rng([seed, k]), num) for k, kind in enumerate(KINDS)
        }
        if left_out:
            every = reported if left_out_from is None else _reported(left_out_from)
            strange[left_out] = [image for image in every if image.modality == left_out]
            if not strange[left_out]:
                fix = "--left-out-from: a recipe with such a set"
                raise BadInput(f"no image of {left_out} in split test.", file=left_out_from or recipe, fix=fix)
        for line in table({kind: familiarity(grounder, own) for kind, own in strange.items() if own}, known):
            typer.echo(line)


def _reported(recipe: Path) -> list[AnnotatedImage]:
    """The images that the recipe's core is reported on."""
    return list(images(split_of(core_images(read_settings(Recipe, recipe), HeldOut(), Skipped()), "test")))


def familiarity(grounder: MedGlipGrounder, shown: Sequence[AnnotatedImage]) -> NDArray[np.float64]:
    """Of each image, in [0, 1]. Raises `BadInput` for a core that cannot tell."""
    values = grounder.familiarity(shown)
    if values is None:
        raise BadInput("this core does not know what is strange to it.", fix="--core: one that was trained since")
    return np.array(values, np.float64)


def draw(folder: Path, kind: str, rng: Rng, num: int) -> list[AnnotatedImage]:
    """Strange pictures of a kind, written there, their modality not told."""
    folder.mkdir(exist_ok=True)
    drawn = []
    for k in range(num):
        path, name = folder / f"{kind}-{k}.png", f"{kind}-{k}"
        KINDS[kind](rng).save(path)
        drawn.append(
            AnnotatedImage(
                image_id=name,
                image_path=path,
                modality="unknown",
                group=name,
                dataset="strange",
                split="test",
                size_px=(SIDE_PX, SIDE_PX),
            )
        )
    return drawn


def table(strange: Mapping[str, NDArray[np.float64]], known: NDArray[np.float64]) -> list[str]:
    """Markdown: kind, number, AUROC of being less familiar than what was reported on, part below the limit."""
    rows = ["| strange | images | AUROC | called strange |", "|---|---|---|---|"]
    for kind, values in strange.items():
        is_known = np.arange(len(known) + len(values)) < len(known)
        area = auroc(np.concatenate([known, values]), is_known).value
        rows.append(f"| {kind} | {len(values)} | {area:.3f} | {np.mean(values < FAMILIAR):.2f} |")
    return rows


if __name__ == "__main__":
    typer.run(main)
