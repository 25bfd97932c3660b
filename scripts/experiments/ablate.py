"""`medglip vqa ablate RECIPE`: a grid of evidence sources, forms and seeds, one budget, one table of differences.

A cell is one adapter: `plain` (trained without evidence) or one set of forms, with one seed. Its adapter answers with
every source asked for. A source like `shuffled:shuffled` is asked of adapters of its own, which learned with the one
before the colon. Core, regions and data are those of the base run and are made once.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple, cast, get_args

from ...eval.catalog import tested_metrics
from ...eval.compare import compare_runs
from ...eval.probes import ORIGINAL, PROBES, probe
from ...eval.records import Record, read_records
from ...eval.score import EvalSettings, score
from ...eval.statistics.bootstrap import Estimate
from ...eval.table import by_metric, table
from ...grounding.bad_input import BadInput, check_name
from ...grounding.evidence.names import SOURCES, Form, Source, TrainSource, parse_forms, row_name
from ...grounding.files import write_atomic
from ...grounding.foreign import read_json
from ...grounding.records import Task
from ...grounding.run_folder import RunFolder
from ...grounding.settings import read_settings, validate
from ..inference.given import source_named
from ..pipeline.pipeline import Adapter as AdapterKind
from ..pipeline.pipeline import Pipeline, claim
from ..pipeline.preflight import check_models, tell_unscored
from ..pipeline.references import REFERENCES, write_references
from ..pipeline.run import tune_and_predict
from ..pipeline.tasks import TASKS
from ..recipe import Recipe

logger = logging.getLogger("medglip")

Cells = Mapping[str, Mapping[str, Sequence[Record]]]
"""Row of the grid (`predicted text+tokens`) -> seed, or probe -> records."""
BASELINE: Source = "none"
LEFT, WIDTH, ROW, TOP = 230, 380, 26, 46
"""Pixels of a forest plot: names, axis, height of a line, title."""
POOLED = (
    "Answers of all seeds are pooled: a sample counts once a seed, in the cluster of its image, so a value is the mean "
    "over seeds and its interval is over images, for these seeds. p-values: paired permutation of clusters, Holm over "
    "all rows and headline metrics."
)


class Asked(NamedTuple):
    """A source that an adapter answers with, and the one it learned with; None: that of the recipe."""

    source: Source
    learned: TrainSource | None = None


class Adapter(NamedTuple):
    """What the adapters of a grid differ in beside their seeds. `forms`: () for the plain one."""

    forms: tuple[Form, ...] = ()
    learned: TrainSource | None = None


@dataclass(frozen=True)
class Grid:
    """What is crossed; `none` is always a part, as the baseline."""

    sources: tuple[Asked, ...]
    forms: tuple[tuple[Form, ...], ...]
    seeds: tuple[int, ...]

    @classmethod
    def parse(cls, sources: str, forms: Sequence[str], seeds: str, *, has_floors: bool = False) -> "Grid":
        """From the words of the command line. Raises `BadInput` with the nearest valid name.

        `has_floors`: there is something else to compare `none` with, so it may be asked alone.
        """
        named: dict[Asked, None] = dict.fromkeys(_asked(word) for word in _words(sources, ","))
        named.pop(Asked(BASELINE), None)
        try:
            numbers = dict.fromkeys(int(word) for word in _words(seeds, ","))
        except ValueError as error:
            raise BadInput(f"seeds {seeds!r} are no whole numbers.", fix="--seeds 0,1,2") from error
        sets = dict.fromkeys(map(parse_forms, forms))
        if not ((named or has_floors) and sets and numbers):
            fix = "--sources none,predicted --forms text+tokens --seeds 0"
            raise BadInput("nothing to compare with none.", fix=fix)
        return cls(tuple(named), tuple(sets), tuple(numbers))

    @property
    def adapters(self) -> dict[Adapter, tuple[Source, ...]]:
        """Every adapter, the plain one first, and the sources that it is asked with."""
        asked: dict[Adapter, tuple[Source, ...]] = {Adapter(): (BASELINE,)}
        for source, adapter in self.rows:
            asked[adapter] = (*asked.get(adapter, ()), source)
        return asked

    @property
    def rows(self) -> list[tuple[Source, Adapter]]:
        """Every combination that is held against `none`."""
        return [(one.source, Adapter(forms, one.learned)) for forms in self.forms for one in self.sources]


class Cell(Pipeline):
    """One adapter and seed in a folder of its own, on the data, core and regions of the base run."""

    def __init__(self, base: Pipeline, recipe: Recipe):
        super().__init__(recipe)
        self.base, self.skipped = base, base.skipped
        # properties that a pipeline computes once: the base run has, and no cell trains a core or looks for regions
        self.items, self.vocabulary = base.items, base.vocabulary
        self.grounder, self.caches = base.grounder, base.caches

    @property
    def grounder_dir(self) -> Path:
        """Where the base run has its core."""
        return self.base.grounder_dir


def run_grid(recipe_path: Path, grid: Grid, task: str, out: Path | None = None) -> str:
    """Train and predict what is not there yet, score all; return the table, which `out/ablation.md` holds too."""
    name, recipe = check_name(task, TASKS, "task"), read_settings(Recipe, recipe_path)
    if getattr(recipe, name) is None:
        raise BadInput(f"the recipe has no section {name!r}.", file=recipe_path, fix="ablate another --task")
    out = out or recipe.out_dir / "ablation"
    with RunFolder(recipe.out_dir).locked(), RunFolder(out).locked():
        check_models(recipe)
        tell_unscored(recipe)
        return run_cells(Pipeline(recipe), grid, name, out, tune_and_predict)


Answer = Callable[[Pipeline, AdapterKind, tuple[Task, ...]], None]
"""What is done with a cell: trained and asked (`tune_and_predict`), or asked alone."""


def run_cells(base: Pipeline, grid: Grid, name: Task, out: Path, answer: Answer) -> str:
    """Every cell that is not there yet, then the scores and the table."""
    recipe = base.recipe
    asked = (source for one in grid.sources for source in filter(None, one))
    wanted: tuple[Source, ...] = tuple(dict.fromkeys((BASELINE, *asked, *recipe.sources)))
    base.recipe = with_changes(recipe, {"sources": wanted})  # so that true regions are at hand where they are asked for
    has_run = run_adapters(base, grid, out, name, answer)
    if name == "vqa" and (has_run or not RunFolder(out).record_file(name, REFERENCES[0]).exists()):
        write_references(base, out)
    text = _write(grid, recipe, name, out)
    base.skipped.write(out / "skipped.jsonl")
    return f"{text}\n\n{base.skipped.summary()}\nwritten: {out / 'ablation.md'}, ablation.json, ablation.svg"


def run_adapters(base: Pipeline, grid: Grid, out: Path, task: Task, answer: Answer = tune_and_predict) -> bool:
    """Every adapter of a grid with every seed, `run_cell` by `run_cell`; whether anything was left to do."""
    cells = [(adapter, sources, seed) for seed in grid.seeds for adapter, sources in grid.adapters.items()]
    has_run = [run_cell(base, *cell, out, task, answer) for cell in cells]  # all of them, before it is asked
    return any(has_run)


def run_cell(
    base: Pipeline,
    adapter: Adapter,
    sources: tuple[Source, ...],
    seed: int,
    out: Path,
    task: Task,
    answer: Answer,
) -> bool:
    """One adapter and its predictions, unless they are all there; whether anything was left to do."""
    folder = out / cell_name(adapter, seed)
    recipe = cell_recipe(base.recipe, adapter, seed, folder)
    claim(recipe)  # more steps than the cell was trained for open it again
    wanted = [*sources, *(f"probe {name}" for name in base.recipe.probes if name in TASKS[task].probes)]
    done = RunFolder(folder).done_file(task)
    if done.exists() and set(wanted) <= set(read_json(done, "remove it: what is missing is predicted again")):
        return False
    logger.info("== cell %s: %s", folder.name, ", ".join(sources))
    cell = Cell(base, recipe)
    cell.recipe = with_changes(recipe, {"sources": sources})  # after the claim, which names none of them
    answer(cell, "grounded" if adapter.forms else "plain", (task,))
    write_atomic(done, json.dumps(wanted))
    return True


def cell_recipe(recipe: Recipe, adapter: Adapter, seed: int, folder: Path) -> Recipe:
    """The recipe with an adapter's evidence, another seed of weights and training; data and shuffling stay as in it."""
    changes: dict[str, Any] = {"out_dir": folder, "sources": (BASELINE,)}
    changes["mllm"] = recipe.mllm.model_copy(update={"seed": seed})
    changes["mllm_train"] = recipe.mllm_train.model_copy(update={"seed": seed})
    if adapter.forms:
        learned = adapter.learned or recipe.evidence.train_source
        changes["evidence"] = recipe.evidence.model_copy(update={"forms": adapter.forms, "train_source": learned})
    return with_changes(recipe, changes)


def with_changes(recipe: Recipe, changes: dict[str, Any]) -> Recipe:
    """Checked anew, so that an oracle without truth is refused here."""
    return validate(Recipe, recipe.model_copy(update=changes).model_dump())


def cell_name(adapter: Adapter, seed: int) -> str:
    """`text+tokens-seed0`, `text+tokens-shuffled-seed0` (learned with shuffled evidence), `plain-seed0`."""
    return "-".join(filter(None, ["+".join(adapter.forms) or "plain", adapter.learned, f"seed{seed}"]))


def pooled(
    out: Path, source: Source, adapter: Adapter, seeds: Sequence[int], task: Task, probe: str = ""
) -> list[Record]:
    """The records of one row of the grid, all seeds, by id; that and `meta.pair_id` say the seed.

    `probe`: those under that probe.
    """
    records: list[Record] = []
    for seed in seeds:
        cell = RunFolder(out / cell_name(adapter, seed))
        file = cell.probe_file(task, source, probe) if probe else cell.record_file(task, source)
        # of a mix without true regions an oracle has answered nothing
        for record in read_records([file], task) if file.exists() or not SOURCES[source].needs_truth else ():
            meta = dict(record.get("meta") or {})
            # pairs of the probe `absent` hold within a seed alone
            if meta.get("pair_id"):
                meta["pair_id"] = f"{meta['pair_id']}@{seed}"
            if meta.get("original"):
                meta["original"] = f"{meta['original']}@{seed}"
            records.append(cast(Record, {**record, "id": f"{record['id']}@{seed}", "meta": meta}))
    return sorted(records, key=itemgetter("id"))


def _write(grid: Grid, recipe: Recipe, task: Task, out: Path) -> str:
    """Score and compare every row, each set of questions by itself; table, numbers and picture; return the table."""
    settings = recipe.eval.model_copy(update={"strata": False})
    every: list[tuple[Source, Adapter]] = [(BASELINE, Adapter()), *grid.rows]
    rows = {row_title(*one, recipe): one for one in every}
    cells: Cells = {
        name: {str(seed): pooled(out, source, adapter, [seed], task) for seed in grid.seeds}
        for name, (source, adapter) in rows.items()
    }
    # answers of `none` and of predicted evidence with their own images and under each probe that has originals
    probes = [name for name in PROBES if name in TASKS[task].probes and name in recipe.probes]
    changed: Cells = {
        name: {
            ORIGINAL: _pool(cells[name]),
            **{one: pooled(out, source, adapter, grid.seeds, task, one) for one in probes},
        }
        for name, (source, adapter) in rows.items()
        if probes and source in (BASELINE, "predicted")
    }
    files = {name: RunFolder(out).record_file(task, name) for name in REFERENCES if task == "vqa"}
    references: Cells = {name: {"": read_records([file], task)} for name, file in files.items() if file.exists()}
    texts: list[str] = []
    facts: dict[str, Any] = {"grid": grid, "pooling": POOLED, "settings": settings.model_dump(mode="json")}
    for name in dict.fromkeys(map(set_of, _pool(cells[BASELINE]))):
        own, text, svg = _compare(_of_set(cells, name), settings, task, _of_set(references, name))
        drops, drops_text = probe_drops(_of_set(changed, name), settings, task)
        if drops:
            own, text = own | {"probes": drops}, f"{text}\n\n{drops_text}"
        facts |= {"sets": facts.get("sets", {}) | {name: own}} if name else own
        texts.append(f"## {name}\n\n{text}" if name else text)
        if svg:
            write_atomic(out / (f"ablation-{name}.svg" if name else "ablation.svg"), svg)
    text = "\n\n".join([*texts, f"Seeds {', '.join(map(str, grid.seeds))}. {POOLED}"])
    write_atomic(out / "ablation.json", json.dumps(facts, indent=1, default=asdict))
    write_atomic(out / "ablation.md", text + "\n")
    return text


def probe_drops(changed: Cells, settings: EvalSettings, task: Task = "vqa") -> tuple[dict[str, Any], str]:
    """Numbers and a table: scores with the own picture less those under each probe, over the questions of both.

    `changed`: row of the grid -> `original` and each probe -> records of the same questions. p-values: paired
    permutation of clusters, Holm within a row. Nothing where no records are.
    """
    results = {
        row: probe(list(under.values()), [f"{row} {name}" for name in under], settings).drops
        for row, under in changed.items()
        if all(under.values())
    }
    if not results:
        return {}, ""
    lines = {f"{row} minus {name}": drop for row, drops in results.items() for name, drop in drops.items()}
    shown = table(by_metric(lines, tested_metrics(task)), "markdown", "evidence, less the changed picture")
    return results, f"Drops where the picture is changed (Holm within a row of the grid):\n\n{shown}"


def _compare(cells: Cells, settings: EvalSettings, task: Task, references: Cells) -> tuple[dict[str, Any], str, str]:
    """Numbers, table and SVG of every row that has records here (an oracle has where true regions are known).

    `references` are scored beside the rows, once and not a seed, and not compared.
    Where `none` alone has some there is nothing to compare: its scores, and no SVG.
    """
    pools = {row: records for row, by_seed in cells.items() if (records := _pool(by_seed))}
    tested, rows = tested_metrics(task), [row for row in pools if row != BASELINE]
    beside = {name: records for name, parts in references.items() if (records := _pool(parts))}
    scores = {row: score(records, task, settings).metrics for row, records in (pools | beside).items()}
    text = table(by_metric(scores, tested), "markdown", "evidence")
    if not rows:
        return {"scores": scores}, f"{text}\n\nNothing to compare: no source of the grid has evidence here.", ""
    compared = compare_runs([pools[row] for row in (*rows, BASELINE)], [*rows, BASELINE], task, settings)
    differences = {one.a_name: one.metrics for one in compared}
    by_seed: dict[str, dict[str, dict[str, float]]] = {row: {} for row in rows}
    for seed, records in cells[BASELINE].items():  # "predicted text" -> 0 -> metric -> its value less that of `none`
        none = score(records, task, settings).metrics
        for row in rows:
            ours = score(cells[row][seed], task, settings).metrics
            both = [name for name in tested if name in ours and name in none]
            by_seed[row][seed] = {name: ours[name].value - none[name].value for name in both}
    facts = {"family": compared[0].family, "scores": scores, "differences": differences, "by_seed": by_seed}
    shown = table(by_metric(differences, tested), "markdown", "evidence")
    text = f"{text}\n\nDifferences to `none`:\n\n{shown}\n\n{compared[0].family}."
    metric = next(name for name in reversed(tested) if name in compared[0].metrics)
    lines = {row: metrics[metric].difference for row, metrics in differences.items()}
    dots = {row: [values[metric] for values in seeds.values() if metric in values] for row, seeds in by_seed.items()}
    title = f"{metric.replace('_', ' ')}: difference to no evidence"
    return facts, text, forest_svg(lines, dots, title)


def set_of(record: Record) -> str:
    """Which of a recipe's several sets a sample is of; "" where there is one."""
    return str((record.get("meta") or {}).get("set", ""))


def _of_set(cells: Cells, name: str) -> Cells:
    return {
        row: {key: [record for record in records if set_of(record) == name] for key, records in parts.items()}
        for row, parts in cells.items()
    }


def _pool(by_seed: Mapping[str, Sequence[Record]]) -> list[Record]:
    return sorted(chain.from_iterable(by_seed.values()), key=itemgetter("id"))


def row_title(source: Source, adapter: Adapter, recipe: Recipe) -> str:
    """`predicted text+tokens`, `shuffled → shuffled tokens`, `none`."""
    return f"{row_name(source, adapter.learned or recipe.evidence.train_source)} {'+'.join(adapter.forms)}".strip()


def _asked(word: str) -> Asked:
    """`shuffled`, or `shuffled:shuffled`, learned before asked."""
    learned, colon, source = word.rpartition(":")
    if not colon:
        return Asked(source_named(source))
    if source == BASELINE:
        raise BadInput(f"{word!r}: the plain adapter learns with no evidence.", fix=f"{learned}:withheld")
    own = check_name(learned, get_args(TrainSource), "source to learn from")
    return Asked(source_named(source), cast(TrainSource, own))


def _words(text: str, mark: str) -> list[str]:
    return [word.strip() for word in text.split(mark) if word.strip()]


def forest_svg(rows: Mapping[str, Estimate], dots: Mapping[str, Sequence[float]], title: str) -> str:
    """A forest plot: a line an interval, a dot a value, a faint dot a seed.

    `rows`: name -> difference with its interval; `dots`: name -> values of single seeds.
    """
    values = [v for e in rows.values() for v in (e.value, e.low, e.high) if v is not None]
    values += [0.0, *(v for seeds in dots.values() for v in seeds)]
    low, high = min(values), max(values)
    room = 0.08 * (high - low) or 0.05
    low, high = low - room, high + room

    def x(value: float) -> float:
        return round(LEFT + WIDTH * (value - low) / (high - low), 1)

    bottom = TOP + ROW * len(rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 20}" height="{bottom + 40}" '
        'font-family="sans-serif" font-size="13">',
        f'<text x="10" y="22" font-weight="bold">{escape(title)}</text>',
        f'<line x1="{x(0)}" x2="{x(0)}" y1="{TOP - 8}" y2="{bottom}" stroke="#999" stroke-dasharray="4 3"/>',
    ]
    for number, (name, estimate) in enumerate(rows.items()):
        y = TOP + ROW * number + ROW / 2
        parts.append(f'<text x="{LEFT - 10}" y="{y + 4}" text-anchor="end">{escape(name)}</text>')
        if estimate.low is not None and estimate.high is not None:
            ends = f'x1="{x(estimate.low)}" x2="{x(estimate.high)}" y1="{y}" y2="{y}"'
            parts.append(f'<line {ends} stroke="#225" stroke-width="2"/>')
        seeds = dots.get(name, ())  # faint, so that those of one value show as one darker dot
        parts += [f'<circle cx="{x(value)}" cy="{y}" r="3" fill="#225" opacity="0.3"/>' for value in seeds]
        parts.append(f'<circle cx="{x(estimate.value)}" cy="{y}" r="5" fill="#225"/>')
    marks = (low + room, 0.0, high - room)  # the smallest and the largest value, and no difference between them
    for value in marks:
        parts.append(f'<text x="{x(value)}" y="{bottom + 20}" text-anchor="middle">{value:+.2f}</text>')
    return "\n".join([*parts, "</svg>\n"])
