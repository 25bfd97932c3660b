"""`medglip data build`: many sets -> one grounded dataset, in three steps that each continue where they stopped.

    sets ──read, relabel, hash──▶ parts ──16 bytes a row──▶ which rows stay, on which side ──▶ shards + card

Parts and shards are written whole or not at all, by number, so a rerun after a kill gives the same bytes. Many calls
may share the first step (`build_shard`); the last one to end goes on.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...bad_input import BadInput, Skipped, damaged
from ...files import claim_folder, file_sha256, locked, read_object, sha256, write_atomic
from ...foreign import open_parquet
from ...parts.work import Run, Workers, cut, finish, open_workers
from ...vocabulary.labels import load_labels
from ..corpus import one_spelling
from ..load import read_set, set_folder
from ..rows import skipping
from ..schema import image_to_row, upgrade_table
from .built import BUILT_FEATURES, claim, is_own, shards, stored_path
from .card import TALLIED, CardFacts, card, tally
from .harmonize import Excluded, Notes, Row, harmonize, label_of, read_licences, stored_image
from .manifest import BuildSettings, SourceSettings
from .plan import Exclusion, Piece, Plan, make_plan

VERSION = 1
"""Of the rules of a build; parts of another version are not taken over."""

WAIT_S = 86400.0
"""How long a shard waits for another that is writing the dataset."""
_PART_ROWS = 512
_ANEW = "remove this folder to build anew"
_GROUP_ROWS = 256  # rows a row group: what a worker and a streaming reader hold at once
_FOR_THE_PLAN = {"thumbnail": pa.binary(256), "draw": pa.float64()}
_PART_SCHEMA = pa.schema([*BUILT_FEATURES.arrow_schema, *map(pa.field, *zip(*_FOR_THE_PLAN.items(), strict=True))])
Portion = list[Row] | tuple[Path, range]
"""Rows of a set, or where they are: row groups of a shard."""
Entries = list[tuple[str, str, str]]
"""(row, kind of reason, reason) of what is left out."""


def build(settings: BuildSettings, workers: int | Workers = 1) -> CardFacts:
    """Build the dataset into `settings.out_dir`, or continue there, with so many processes; what came of it.

    Writes `data-00000-of-00012.parquet` ..., `README.md` (the card), `excluded.jsonl` (each row left out, and why) and
    last `shards.json`. The bytes depend on sets and manifest alone, not on workers or interruptions. Sources changed
    since an interruption are not noticed: their finished parts stay. Raises `BadInput` for a folder of another
    manifest or label tree, and when no row is left.
    """
    if facts := _claim(settings):
        return facts
    with open_workers(Workers(number=workers) if isinstance(workers, int) else workers) as run:
        _read_sets(settings, run)
        return _write_rows(settings, run)


def build_shard(settings: BuildSettings, workers: Workers) -> CardFacts | None:
    """Read the parts of `workers.shard`; the call that finds all parts there writes the dataset, as `build` does.

    None: other shards have parts to read yet. Raises `BadInput` as `build`.
    """
    if facts := _claim(settings):
        return facts
    with workers.own_shard(settings.out_dir / "parts"), open_workers(workers) as run:
        _read_sets(settings, run, workers.takes)
        # of two that end at once one writes, and the other finds it written
        with locked(settings.out_dir / ".lock", "a dataset", wait_s=WAIT_S):
            if facts := _claim(settings):
                return facts
            is_read = all(_set_file(settings, number).is_file() for number in range(len(settings.sources)))
            return _write_rows(settings, run) if is_read else None


def _claim(settings: BuildSettings) -> CardFacts | None:
    """Make the folder this build's; what came of it, where it is finished."""
    out = settings.out_dir
    stamp = sha256(settings.model_dump_json(exclude={"out_dir"}) + repr(load_labels().labels) + f"v{VERSION}")
    manifest = settings.model_dump(mode="json", exclude={"out_dir"})
    problem = "this folder holds a build of another manifest or label tree"
    claim_folder(out / "build.json", {"sha256": stamp, "manifest": manifest}, problem)
    if not (out / "shards.json").is_file():
        return None
    with damaged(out / "shards.json", _ANEW):
        return CardFacts.from_json(read_object(out / "shards.json", _ANEW))


def _set_file(settings: BuildSettings, number: int) -> Path:
    """Is there when all parts of a set are: what its reader left out behind the last of them."""
    return settings.out_dir / "parts" / f"{number:03d}.json"


def _read_sets(settings: BuildSettings, run: Run, takes: Callable[[int], bool] = lambda part: True) -> None:
    """Step 1: every set as parts of a few hundred harmonized rows, those that `takes` says."""
    (settings.out_dir / "parts").mkdir(parents=True, exist_ok=True)
    for number in range(len(settings.sources)):
        if not _set_file(settings, number).is_file():
            _read_set(settings, number, run, takes)


def _read_set(settings: BuildSettings, number: int, run: Run, takes: Callable[[int], bool]) -> None:
    source, done = settings.sources[number], _set_file(settings, number)
    files, skipped = list[Path](), Skipped()

    def jobs() -> Iterator[tuple[Any, ...]]:
        # a set of another layout is read from its start, also where some of its parts are there already
        for k, portion in enumerate(_portions(source, skipped)):
            files.append(done.with_name(f"{done.stem}-{k:06d}.parquet"))
            unreadable = _take_entries(skipped)
            # small sets have one part: they, too, are spread over the shards
            if takes(number + k) and not files[-1].is_file():
                yield files[-1], source, portion, unreadable

    finish(run(partial(_write_part, settings), jobs(), f"read {source.set_name}"))
    if all(file.is_file() for file in files):  # of several shards the last one finds those of the others
        write_atomic(done, json.dumps({"excluded": _take_entries(skipped)}))


def _write_rows(settings: BuildSettings, run: Run) -> CardFacts:
    """Steps 2 and 3: which rows stay, on which side; then these as shards, in the order of the manifest."""
    out, parts = settings.out_dir, settings.out_dir / "parts"
    plan = make_plan(settings, parts)
    if not plan.num_kept:
        raise BadInput("no row is left.", file=out, fix="see labels and licences of the manifest")
    count = -(-plan.num_kept // settings.shard_rows)
    files = [out / shard_name(k, count) for k in range(count)]
    missing = [(k * settings.shard_rows, file) for k, file in enumerate(files) if not file.is_file()]
    jobs = ((file, plan.pieces(start, settings.shard_rows)) for start, file in missing)
    finish(run(partial(write_shard, settings.images == "bytes"), jobs, "write shards"))
    facts = _finish(settings, plan, parts)
    claim(out)
    shutil.rmtree(parts)
    return facts


def _portions(source: SourceSettings, skipped: Skipped) -> Iterator[Portion]:
    """Rows of a set, some hundred at a time; of a built one where its rows are, for the workers to read."""
    if source.layout == "built":
        for shard in shards(set_folder(source)):
            groups = open_parquet(shard).num_row_groups
            # two row groups are as many rows as a part has
            yield from ((shard, range(k, min(k + 2, groups))) for k in range(0, groups, 2))
        return
    licences, rows = read_licences(source), map(image_to_row, read_set(source, skipped))
    for portion in cut(rows, _PART_ROWS):
        for row in portion if licences else ():
            row["licence"] = licences.get(one_spelling(Path(row["image_path"]).name), "")
        yield portion


def _take_entries(skipped: Skipped) -> Entries:
    """What the reader left out since the last call."""
    entries, skipped.entries = skipped.entries, []
    return [(entry["item"], "unreadable", entry["why"]) for entry in entries]


def _write_part(
    settings: BuildSettings, file: Path, source: SourceSettings, portion: Portion, unreadable: Entries
) -> None:
    if isinstance(portion, tuple):
        file_of_set, groups = portion
        given = upgrade_table(pq.ParquetFile(file_of_set).read_row_groups(list(groups))).to_pylist()
        folder, may_leave = file_of_set.parent, source.allow_outside or is_own(file_of_set.parent)
    else:
        given, folder, may_leave = portion, Path(), True  # its reader has looked at its names
    notes = Notes(rows=len(given), excluded=unreadable)
    naming = cache(partial(label_of, source=source, unknown=source.unknown_labels or settings.unknown_labels))
    rows: list[Row] = []
    for row in given:
        broken = Skipped()
        with skipping(broken, Path(row["image_path"]), row["image_id"]):
            if not row.get("image"):
                stored_path(folder, row["image_path"], may_leave)
            try:
                rows.append(harmonize(row, source, settings, naming, notes))
            except Excluded as error:
                notes.excluded.append((row["image_id"], error.kind, str(error)))
        notes.excluded += _take_entries(broken)
    table = pa.Table.from_pylist(rows, _PART_SCHEMA.with_metadata({"medglip": notes.to_json()}))
    _write_whole(file, table.schema, table.to_batches(_GROUP_ROWS))


def _write_whole(file: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    """A Parquet file with a row group for each batch, whole or absent."""
    unfinished = file.with_name(f".{file.name}.part")
    with pq.ParquetWriter(unfinished, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)
    unfinished.replace(file)


def shard_name(number: int, count: int) -> str:
    """`data-00003-of-00012.parquet`."""
    return f"data-{number:05d}-of-{count:05d}.parquet"


def write_shard(has_bytes: bool, file: Path, pieces: Sequence[Piece]) -> None:
    """The rows of these pieces of parts, with their split and their image."""
    schema = BUILT_FEATURES.arrow_schema

    def batches() -> Iterator[pa.RecordBatch]:
        for piece in pieces:
            table = upgrade_table(pq.read_table(piece.part)).take(pa.array(piece.indices))
            splits = [split or own for split, own in zip(piece.splits, table["split"].to_pylist(), strict=True)]
            table = table.set_column(table.column_names.index("split"), "split", pa.array(splits, pa.string()))
            for batch in table.drop_columns(list(_FOR_THE_PLAN)).to_batches(_GROUP_ROWS):
                rows = batch.select(["image", "image_path"]).to_pylist()
                images = [stored_image(row) if has_bytes else None for row in rows]
                column = pa.array(images, schema.field("image").type)
                batch = batch.set_column(batch.schema.names.index("image"), "image", column)
                yield batch.select(schema.names).cast(schema)

    _write_whole(file, schema, batches())


def _finish(settings: BuildSettings, plan: Plan, parts: Path) -> CardFacts:
    """The list of what was left out, the card, and, last, the manifest of finished shards."""
    out = settings.out_dir
    facts = CardFacts(name=settings.name, kept=plan.num_kept, alike_left_in=plan.alike_left_in)
    unfinished = out / ".excluded.jsonl.part"
    with unfinished.open("w", encoding="utf-8") as file:
        for entry in chain(_left_out_before(settings, parts, facts), plan.duplicates()):
            row = dict(zip(("source", "row", "kind", "why"), entry, strict=True))
            facts.excluded[row["source"], row["kind"]] += 1  # millions perhaps: counted and written one by one
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    unfinished.replace(out / "excluded.jsonl")
    for shard in shards(out):
        for batch in pq.ParquetFile(shard).iter_batches(_GROUP_ROWS, columns=list(TALLIED)):
            facts.tally.update(tally(batch))
        facts.shards.append({"shard": shard.name, "sha256": file_sha256(shard)})
    write_atomic(out / "README.md", card(settings, facts))
    write_atomic(out / "shards.json", json.dumps(facts.to_json(), indent=1) + "\n")
    return facts


def _left_out_before(settings: BuildSettings, parts: Path, facts: CardFacts) -> Iterator[Exclusion]:
    """What the steps before the plan left out, set by set; notes of the parts are counted on the way."""
    for number, source in enumerate(settings.sources):
        for part in sorted(parts.glob(f"{number:03d}-*.parquet")):
            notes = Notes.from_json(pq.read_schema(part).metadata[b"medglip"])
            facts.add_notes(source.set_name, notes)
            yield from ((source.set_name, *entry) for entry in notes.excluded)
        with damaged(parts / f"{number:03d}.json", _ANEW):
            entries = read_object(parts / f"{number:03d}.json", _ANEW)["excluded"]
        yield from ((source.set_name, row, kind, why) for row, kind, why in entries)
