"""`medglip data` and `medglip assets`: what is there to learn from, and the weights that install offline."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from ...grounding.bad_input import LINES, BadInput, told
from ...grounding.files import locked
from ...grounding.settings import read_settings, validate
from ...vqa.datasets.sets import SplitScheme
from ...vqa.publish.chat_formats import CHAT_FORMATS, LLAMA_FACTORY_ENTRY
from .groups import Commands, Group
from .options import (
    Engine,
    Json,
    NumWorkers,
    Outside,
    Push,
    RecipeFile,
    SetEvidence,
    Shard,
    output,
    setting,
    the_switch,
    what,
    write_rows,
    write_text,
)
from .sets import Sets, read_sets, second_names

if TYPE_CHECKING:
    from datasets import Dataset

    from ...grounding.bad_input import Skipped


class _ParquetByDefault(Group):
    """`export RECIPE FOLDER` is `export parquet RECIPE FOLDER`."""

    # typer looks up the first word: one that is no command is the recipe
    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        return super().resolve_command(ctx, args if args[0] in self.commands else ["parquet", *args])


data, assets = Commands(), Commands()
export = Commands(
    cls=_ParquetByDefault,
    help="Write regions as Parquet (`export parquet`), as questions and captions (`qa`), or as conversations (`chat`).",
)
data.add_typer(export, name="export")
SCHEMES = ", ".join(get_args(SplitScheme))


def _find_place(value: Path) -> Path:
    """A folder, a built dataset in the local cache of a hub, or a recipe."""
    from ...grounding.grounders.hub import cached_folder
    from ..start.recipes import recipe_file

    if value.exists():
        return value
    with suppress(BadInput):
        return cached_folder(str(value), "dataset")
    return recipe_file(value)


RecipeOrFolder = Annotated[
    Path,
    typer.Argument(
        callback=_find_place, help="A recipe, or the folder of a built dataset or of `data phantoms`; or OWNER/NAME"
    ),
]


def _echo_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows of one shape as aligned columns under their names."""
    # each row's values as text, below a line of names; a column is as wide as its longest text
    lines = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)] if rows else []
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        typer.echo("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


@data.command("list")
def list_sets(place: RecipeOrFolder, allow_outside: Outside = False) -> None:
    """Print one row per data set, modality and split: images, regions, phrases."""
    from ...grounding.datasets.building.export import describe
    from ..pipeline.pipeline import Pipeline
    from ..recipe import Recipe

    if place.is_dir():
        images, skipped = _region_sets(place, allow_outside)
    else:
        pipeline = Pipeline(read_settings(Recipe, place))
        images, skipped = pipeline.images, pipeline.skipped
    _echo_table(describe(images))
    typer.echo(skipped.summary(between=LINES))


@data.command()
def check(
    place: RecipeOrFolder,
    samples: Annotated[int, what(min=1, help="Images per set on the contact sheet")] = 6,
    seed: Annotated[int, what(help="Seed of the samples")] = 0,
    sheet: Annotated[Path | None, output(help="Write a contact sheet: one HTML file that holds its images")] = None,
    allow_outside: Outside = False,
) -> None:
    """Count what is there, open every image and compare every region with it; exit code 1 if anything is wrong.

    Prints counts by set, modality, label level and box size, each fault, and train images that are also in another
    split.
    """
    from ...grounding.datasets.building.card import tally_rows
    from ...grounding.datasets.building.contact_sheet import contact_sheet
    from ...grounding.datasets.building.export import ImageHashes, describe, shared_images, tally_all
    from ...grounding.datasets.building.export import check as check_images
    from ...grounding.datasets.published import compare, count_pairs
    from ...grounding.datasets.rows import listing_cuts
    from ..recipe import Recipe

    with listing_cuts() as cuts:
        images, skipped = _region_sets(place, allow_outside)
    described = describe(images)
    _echo_table(described)
    sets = () if place.is_dir() else read_settings(Recipe, place).grounding.data
    for line in compare(sets, described, count_pairs(images)):
        typer.echo(line)
    counts = tally_all(images)
    for name in ("modality", "level", "box size"):
        typer.echo("")
        _echo_table(tally_rows(counts, name))
    hashes: list[ImageHashes] = []  # filled by the check, which opens every image once
    faults = check_images(images, hashes)
    faults.entries += cuts.entries + skipped.entries  # what could not even be read is a fault as well
    shared = shared_images(hashes)
    for kind in ("equal pixels", "looks like"):
        rows = [row for row in shared if row["is"] == kind]
        typer.echo(f"\n{len(rows)} train images are in another split, too: {kind}")
        _echo_table(rows[:10])  # enough to see of what kind they are
    for entry in faults.entries:
        typer.echo(told(entry["item"], entry["why"]))
    typer.echo(f"{_count(len(images), 'image')} checked, {_count(len(faults.entries), 'fault')}")
    if sheet is not None:
        write_text(contact_sheet(images, samples, seed), sheet)
    raise typer.Exit(1 if faults.entries else 0)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _region_sets(place: Path, allow_outside: bool) -> tuple["Dataset", "Skipped"]:
    """Every region set of a recipe, or a built dataset, or phantoms; tasks are not looked at.

    `allow_outside`: names of images in a set may leave its folder; a recipe says so of each set, too.
    """
    from ...grounding.bad_input import Skipped
    from ...grounding.datasets.load import load_images
    from ...grounding.datasets.phantoms.dataset import PARQUET
    from ...grounding.datasets.settings import LAYOUTS, DataSettings
    from ...grounding.training.stage import HeldOut, core_images
    from ..recipe import Recipe

    if place.is_dir():
        layout = "phantom" if (place / PARQUET).is_file() else "built"
        may_leave = allow_outside and layout == "built"
        return load_images([DataSettings(layout=layout, path=str(place.resolve()), allow_outside=may_leave)], 0)
    skipped, recipe = Skipped(), read_settings(Recipe, place)
    if allow_outside:
        sets = [
            each.model_copy(update={"allow_outside": "allow_outside" in LAYOUTS[each.layout].options})
            for each in recipe.grounding.data
        ]
        recipe = recipe.model_copy(update={"grounding": recipe.grounding.model_copy(update={"data": sets})})
    # nothing is held out: what a task may not train on is there to be looked at all the same
    return core_images(recipe, HeldOut(), skipped), skipped


@data.command()
def phantoms(
    folder: Annotated[Path, typer.Argument(help="Output folder; drawn to its end before, it is left as it is")],
    images: Annotated[int, setting(min=1, help="Number of images, of seven modalities in turn")] = 84,
    seed: Annotated[int, setting(min=0, help="Seed of everything")] = 0,
    detail: Annotated[
        bool,
        setting(
            "--detail",
            help="Findings are calcified or not, smooth or spiculated, fine or coarse: at 256 px all look the same",
        ),
    ] = False,
    size: Annotated[
        int | None, setting(metavar="PX", help="Side of the images; left out: 192, with --detail 1024")
    ] = None,
) -> None:
    """Draw phantoms, synthetic images with exact regions, questions and reports, all in the split test: to report on.

    They are read by `medglip vqa predict`, `report predict` and `grounding evaluate` (`--dataset phantom --root
    FOLDER`), and by `medglip data list FOLDER`, `check FOLDER` and `export qa FOLDER`.

    Example: medglip data phantoms runs/detail --images 200 --seed 7 --detail
    """
    from ...grounding.datasets.phantoms.dataset import write as write_phantoms
    from ...grounding.datasets.settings import ScoredPhantoms

    values = {"num_test": images, "seed": seed, "detail": detail, "size_px": size or (1024 if detail else 192)}
    with locked(folder / ".lock", "phantoms"):
        write_phantoms(folder, validate(ScoredPhantoms, values))
    typer.echo(f"{images} images, their questions and reports; written: {folder}")


@data.command()
def build(
    manifest: Annotated[Path, typer.Argument(help="A manifest YAML file, such as recipes/manifests/example.yaml")],
    push: Push = None,
    workers: NumWorkers = None,
    engine: Engine = "pool",
    shard: Shard = None,
) -> None:
    """Build one grounded dataset from many sets: labels of the tree, tight boxes, no duplicates, Parquet and a card.

    If it is interrupted, call it again: it continues and writes the same bytes, whoever does the work. On many machines
    (docs/many-machines.md) give each call its --shard; the last one to end writes the dataset. The keys of a manifest
    are those of `medglip.grounding.datasets.building.manifest.BuildSettings`.

    Example: sbatch --array=0-7 --wrap 'medglip data build all.yaml --shard $SLURM_ARRAY_TASK_ID/8'
    """
    from ...grounding.datasets.building.build import build as build_dataset
    from ...grounding.datasets.building.build import build_shard
    from ...grounding.datasets.building.card import tally_rows
    from ...grounding.datasets.building.manifest import BuildSettings
    from ...grounding.grounders.hub import check_push, push_folder
    from ...grounding.parts.work import Workers

    check_push(push)
    settings = read_settings(BuildSettings, manifest)
    who = Workers.of(workers, engine, shard)
    if shard:
        if (facts := build_shard(settings, who)) is None:
            typer.echo(f"shard {shard} has read its parts, others have not: the last one to end writes the dataset")
            return
    else:
        with locked(settings.out_dir / ".lock", "a dataset"):
            facts = build_dataset(settings, who)
    _echo_table(tally_rows(facts.tally, "dataset"))
    for (name, kind), count in sorted(facts.excluded.items()):
        typer.echo(f"left out of {name}, {kind}: {count}")
    for row in facts.labels_of("unknown", "ambiguous"):
        typer.echo(f"{row['how']} label of {row['set']}: {row['its label']!r} ({row['regions']} regions)")
    typer.echo(f"{facts.kept} rows, {len(facts.shards)} shards; written: {settings.out_dir}")
    if push:
        typer.echo(f"pushed: {push_folder(settings.out_dir, push, 'dataset')}")


@export.command("parquet")
def export_parquet(recipe: RecipeFile, folder: Annotated[Path, typer.Argument(help="Output folder")]) -> None:
    """Write the region sets of a recipe as sharded Parquet, ready for `datasets.load_dataset("parquet", ...)`.

    The word `parquet` may be left out: `medglip data export RECIPE FOLDER`.
    """
    from ...grounding.datasets.building.export import export as export_images
    from ..pipeline.pipeline import Pipeline
    from ..recipe import Recipe

    with locked(folder / ".lock", "an export"):
        export_images(Pipeline(read_settings(Recipe, recipe)).images, folder)
    typer.echo(f"written: {folder}")


@export.command("qa", cls=second_names("derive", "per_kind"))
def export_qa(
    place: RecipeOrFolder,
    *,
    splits: Annotated[str, what(help="Only these splits, separated by commas: train,val")] = "",
    limit: Annotated[int | None, what(min=1, help="Largest number of images per set")] = None,
    seed: Annotated[int, what(min=0, help="Seed of all draws")] = 0,
    out: Annotated[Path, output(help="Output file, one JSON object per line")],
    allow_outside: Outside = False,
    sets: Sets = None,
) -> None:
    """Derive questions and captions from the regions of a recipe; each answer is checked again against the masks.

    Modality, part of the body, presence and absence, side, count, size, position, relations; every line names the
    regions and numbers that its answer follows from. Items that are left out are listed beside the file, as
    `*.skipped.jsonl`.

    Example: medglip data export qa recipes/real_small.yaml --out qa.jsonl --set derive.per_kind=1
    """
    from ...vqa.derived.derive import derive, summary, write
    from ...vqa.derived.settings import DeriveSettings
    from ..recipe import Recipe

    images, skipped = _region_sets(place, allow_outside)
    names = tuple(name.strip() for name in splits.split(",") if name.strip())
    # --set wins over the options of the same key
    values = {"seed": seed, "splits": names, "limit": limit} | read_sets(sets, derive=DeriveSettings)["derive"]
    settings = validate(DeriveSettings, values)
    # a built dataset states the licence in each row, a recipe for each set
    by_set = {} if place.is_dir() else {each.name: each.licence for each in read_settings(Recipe, place).grounding.data}
    items, left_out = derive(images, settings, by_set)
    skipped.entries += left_out.entries
    write(out, items)
    skipped.write(out.with_suffix(".skipped.jsonl"))
    _echo_table(summary(items))
    typer.echo(skipped.summary(between=LINES))
    typer.echo(f"{len(items)} items; written: {out}")


@export.command("chat")
def export_chat(
    recipe: RecipeFile,
    *,
    form: Annotated[str, what("--format", help=f"Who reads it: {', '.join(CHAT_FORMATS)}")],
    split: Annotated[str, what(help="Which items: train, val or test")] = "train",
    evidence: SetEvidence = "predicted",
    boxes: Annotated[str | None, the_switch(help="Notation of boxes; left out: that of the recipe's base")] = None,
    out: Annotated[Path, output(help="Output file, one JSON object per line")],
) -> None:
    """Write the questions and reports of a recipe as conversations with evidence in them, to train elsewhere.

    `images` are paths: of the files themselves, or of PNG files beside the output (crops, overlays, DICOM). Region
    tokens are written as words and boxes. What is left out is listed beside the file, as `*.skipped.jsonl`.

    Example: medglip data export chat recipes/vqa/medgemma.yaml --format trl --evidence predicted --out train.jsonl
    """
    from ...grounding.bad_input import BadInput, nearest
    from ..inference.given import source_named
    from ..release.conversations import export_conversations

    if form not in CHAT_FORMATS:
        raise BadInput(f"unknown format {form!r}.", fix=f"--format: {nearest(form, CHAT_FORMATS)}")
    count, skipped = export_conversations(recipe, out, form, source_named(evidence), split, boxes)
    skipped.write(out.with_suffix(".skipped.jsonl"))
    if form == "llama-factory":
        entry = {out.stem: {"file_name": out.name, **LLAMA_FACTORY_ENTRY}}
        typer.echo(f"dataset_info.json beside it: {json.dumps(entry)}")
    typer.echo(skipped.summary(between=LINES))
    typer.echo(f"{count} conversations; written: {out}")


@data.command()
def leaks(
    train: Annotated[str, typer.Argument(help=f"DATASET:SCHEME:SPLIT, as vqa_rad:official:train. Schemes: {SCHEMES}")],
    test: Annotated[str, typer.Argument(help="The scored questions; SLAKE may name a language: ...:test:en")],
    root: Annotated[
        list[str] | None, what(help="DATASET=DIR; repeat it. Left out: the set's name below MEDGLIP_DATA")
    ] = None,
    seed: Annotated[int, what(help="Seed of the scheme image_grouped")] = 0,
    out: Json = None,
) -> None:
    """Count images, questions and answers that two splits of question sets share, and print their ids.

    Images are compared by their pixels and by a hash of their looks; without image files, by name and text alone.
    """
    from ..experiments.leaks import find_leaks, read_split

    (train_rows, _), (test_rows, skipped) = (read_split(name, root or [], seed) for name in (train, test))
    shared = find_leaks(train_rows, test_rows)
    _echo_table(shared.table())
    typer.echo(f"{shared.num_read} of {shared.num_images} images read; {skipped.summary()}")
    write_rows({"train": train, "test": test, **asdict(shared)}, out)


@assets.command("list")
def list_assets() -> None:
    """Print name, package, licence, size, and whether it is in the cache."""
    from ...grounding.assets import listing

    _echo_table(listing())


@assets.command()
def fetch(name: Annotated[str, typer.Argument(help="A name from `medglip assets list`")]) -> None:
    """Fetch one asset into the cache folder (MEDGLIP_CACHE), verify it, and print its path."""
    from ...grounding.assets import fetch as fetch_asset

    typer.echo(fetch_asset(name))
