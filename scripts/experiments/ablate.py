"""`medglip vqa ablate RECIPE`: a grid of evidence sources, forms and seeds, one budget, one table of differences.

A cell is one adapter: `plain` (trained without evidence) or one set of forms, with one seed. Its adapter answers with
every source asked for. Core, regions and data are those of the base run and are made once.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from ...eval.catalog import tested_metrics
from ...eval.compare import compare_runs
from ...eval.probes import IMAGE_PROBES, ORIGINAL, probe
from ...eval.records import Record, read_records
from ...eval.score import EvalSettings, score
from ...eval.table import by_metric, table
from ...grounding.bad_input import BadInput, nearest
from ...grounding.evidence.names import FORMS, Form, Source
from ...grounding.evidence.sources import RegionCaches
from ...grounding.files import write_atomic
from ...grounding.grounders.medglip import MedGlipGrounder
from ...grounding.records import Task
from ...grounding.settings import read_settings, validate
from ...vqa.probes import Probe
from ...vqa.task import TaskItem
from ..inference.system import source_named
from ..pipeline.pipeline import Pipeline
from ..pipeline.run import tune_and_predict
from ..recipe import Recipe
from .forest import forest_svg

Changed = Mapping[str, Mapping[str, Sequence[Record]]]
"""Row of the grid -> `original` and each probe -> records of the same questions."""
BASELINE: Source = "none"
POOLED = (
    "Answers of all seeds are pooled: a sample counts once a seed, in the cluster of its image, so a value is the mean "
    "over seeds and its interval is over images, for these seeds. p-values: paired permutation of clusters, Holm over "
    "all rows and headline metrics."
)


@dataclass(frozen=True)
class Grid:
    """What is crossed; `none` is always a part, as the baseline."""

    sources: tuple[Source, ...]
    forms: tuple[tuple[Form, ...], ...]
    seeds: tuple[int, ...]

    @classmethod
    def parse(cls, sources: str, forms: Sequence[str], seeds: str) -> "Grid":
        """From the words of the command line. Raises `BadInput` with the nearest valid name."""
        named: dict[Source, None] = dict.fromkeys(source_named(name) for name in _words(sources, ","))
        try:
            numbers = tuple(dict.fromkeys(int(word) for word in _words(seeds, ",")))
        except ValueError as error:
            raise BadInput(f"seeds {seeds!r} are no whole numbers.", fix="--seeds 0,1,2") from error
        named.pop(BASELINE, None)
        grid = cls(
            tuple(named),
            tuple(dict.fromkeys(tuple(_form(word) for word in _words(form, "+")) for form in forms)),
            numbers,
        )
        if not (grid.sources and grid.forms and grid.seeds):
            raise BadInput(
                "nothing to compare with none.", fix="--sources none,predicted --forms text+tokens --seeds 0"
            )
        return grid

    @property
    def adapters(self) -> list[tuple[Form, ...]]:
        """The forms of every adapter; () is the plain one, first."""
        return [(), *self.forms]

    @property
    def rows(self) -> list[tuple[Source, tuple[Form, ...]]]:
        """Every combination that is held against `none`."""
        return [(source, forms) for forms in self.forms for source in self.sources]


class Cell(Pipeline):
    """One adapter and seed in a folder of its own, on the data, core and regions of the base run."""

    def __init__(self, base: Pipeline, recipe: Recipe):
        self.base = base
        super().__init__(recipe)
        self.skipped = base.skipped

    @cached_property
    def items(self) -> dict[Task, list[TaskItem]]:
        """Those of the base run."""
        return self.base.items

    @cached_property
    def vocabulary(self) -> dict[str, tuple[str, ...]]:
        """That of the base run."""
        return self.base.vocabulary

    @cached_property
    def grounder(self) -> MedGlipGrounder:
        """The core of the base run; never trained for a cell."""
        return self.base.grounder

    @property
    def grounder_dir(self) -> Path:
        """Where the base run has its core."""
        return self.base.grounder_dir

    @cached_property
    def caches(self) -> RegionCaches:
        """The regions of the base run."""
        return self.base.caches


def run_grid(recipe_path: Path, grid: Grid, task: Task, out: Path | None = None) -> str:
    """Train and predict what is not there yet, score all; return the table, which `out/ablation.md` holds too."""
    recipe = read_settings(Recipe, recipe_path)
    if getattr(recipe, task) is None:
        raise BadInput(f"the recipe has no section {task!r}.", file=recipe_path, fix="ablate another --task")
    base = Pipeline(recipe)
    wanted: tuple[Source, ...] = tuple(dict.fromkeys((BASELINE, *grid.sources, *recipe.sources)))
    base.recipe = _changed(recipe, {"sources": wanted})  # so that true regions are at hand where they are asked for
    out = out or recipe.out_dir / "ablation"
    for seed in grid.seeds:
        for forms in grid.adapters:
            _run_cell(base, grid, forms, seed, out, task)
    text = _write(grid, recipe, task, out)
    base.skipped.write(out / "skipped.jsonl")
    return f"{text}\n\n{base.skipped.summary()}\nwritten: {out / 'ablation.md'}, ablation.json, ablation.svg"


def _run_cell(base: Pipeline, grid: Grid, forms: tuple[Form, ...], seed: int, out: Path, task: Task) -> None:
    """One adapter and its predictions, unless they are all there."""
    folder = out / cell_name(forms, seed)
    sources: tuple[Source, ...] = grid.sources if forms else (BASELINE,)
    wanted = [*sources, *(f"probe {name}" for name in base.recipe.probes if task == "vqa")]
    done = folder / f"done-{task}.json"
    if done.exists() and set(wanted) <= set(json.loads(done.read_text())):
        return
    print(f"== cell {folder.name}: {', '.join(sources)}", flush=True)
    cell = Cell(base, cell_recipe(base.recipe, forms, seed, folder))
    cell.recipe = _changed(cell.recipe, {"sources": sources})  # sources may be added later: no part of the claim
    tune_and_predict(cell, "grounded" if forms else "plain", (task,))
    write_atomic(done, json.dumps(wanted))


def cell_recipe(recipe: Recipe, forms: tuple[Form, ...], seed: int, folder: Path) -> Recipe:
    """The recipe with other forms, and another seed of weights and training; data and shuffling keep the recipe's."""
    tuning = recipe.mllm_train.model_copy(update={"seed": seed})
    changes: dict[str, Any] = {
        "out_dir": folder,
        "sources": (BASELINE,),
        "mllm": recipe.mllm.model_copy(update={"seed": seed}),
        "mllm_train": tuning,
    }
    if forms:
        changes["evidence"] = recipe.evidence.model_copy(update={"forms": forms})
    return _changed(recipe, changes)


def _changed(recipe: Recipe, changes: dict[str, Any]) -> Recipe:
    """Checked anew, so that an oracle without truth is refused here."""
    return validate(Recipe, recipe.model_copy(update=changes).model_dump())


def cell_name(forms: tuple[Form, ...], seed: int) -> str:
    """`text+tokens-seed0`, `plain-seed0`."""
    return f"{'+'.join(forms) or 'plain'}-seed{seed}"


def pooled(out: Path, source: Source, forms: tuple[Form, ...], seeds: Sequence[int], task: Task) -> list[Record]:
    """The records of one row of the grid, all seeds, by id, which says the seed."""
    return pooled_files(out, f"records/{task}-{source}.jsonl", forms, seeds, task)


def pooled_files(out: Path, name: str, forms: tuple[Form, ...], seeds: Sequence[int], task: Task) -> list[Record]:
    """The records of the file `name` of every seed's cell, by id; that and `meta.pair_id` say the seed."""
    found = [
        cast(Record, {**record, "id": f"{record['id']}@{seed}", "meta": _of_seed(record.get("meta") or {}, seed)})
        for seed in seeds
        for record in read_records([out / cell_name(forms, seed) / name], task)
    ]
    return sorted(found, key=lambda record: record["id"])


def _of_seed(meta: Mapping[str, Any], seed: int) -> dict[str, Any]:
    return {**meta, "pair_id": f"{meta['pair_id']}@{seed}"} if meta.get("pair_id") else dict(meta)


def _write(grid: Grid, recipe: Recipe, task: Task, out: Path) -> str:
    """Score and compare every row, each set of questions by itself; table, numbers and picture; return the table."""
    settings = recipe.eval.model_copy(update={"strata": False})
    rows: list[tuple[Source, tuple[Form, ...]]] = [(BASELINE, ()), *grid.rows]
    cells: Cells = {(s, forms, seed): pooled(out, s, forms, [seed], task) for s, forms in rows for seed in grid.seeds}
    changed = _changed_pictures(cells, grid, recipe.probes if task == "vqa" else (), out)
    sets = list(dict.fromkeys(map(_set, cells[BASELINE, (), grid.seeds[0]])))
    texts: list[str] = []
    facts: dict[str, Any] = {"grid": asdict(grid), "pooling": POOLED, "settings": settings.model_dump(mode="json")}
    for name in sets:
        part: Cells = {key: [r for r in records if _set(r) == name] for key, records in cells.items()}
        found = _compared({key: records for key, records in part.items() if records}, grid, settings, task)
        lost, told = probe_drops(_of_set(changed, name), settings)
        found = replace(found, facts=found.facts | {"probes": lost}, text=f"{found.text}\n\n{told}") if lost else found
        facts |= {"sets": facts.get("sets", {}) | {name: found.facts}} if name else found.facts
        texts.append(f"## {name}\n\n{found.text}" if name else found.text)
        picture = f"ablation-{name}.svg" if name else "ablation.svg"
        write_atomic(out / picture, found.picture)
    text = "\n\n".join([*texts, f"Seeds {', '.join(map(str, grid.seeds))}. {POOLED}"])
    write_atomic(out / "ablation.json", json.dumps(facts, indent=1))
    write_atomic(out / "ablation.md", text + "\n")
    return text


def _changed_pictures(cells: "Cells", grid: Grid, probes: Sequence[Probe], out: Path) -> Changed:
    """Records of `none` and of predicted evidence with their own pictures and under each probe that has originals."""
    rows = [(BASELINE, ()), *(row for row in grid.rows if row[0] == "predicted")]
    under = [probe for probe in IMAGE_PROBES if probe in probes]
    return {
        _row(source, forms): {
            ORIGINAL: _pool(cells, source, forms, grid.seeds),
            **{p: pooled_files(out, f"probes/vqa-{source}.{p}.jsonl", forms, grid.seeds, "vqa") for p in under},
        }
        for source, forms in rows
        if under
    }


def probe_drops(changed: Changed, settings: EvalSettings) -> tuple[dict[str, Any], str]:
    """Numbers and a table: scores with the own picture less those under each probe, over the questions of both.

    p-values: paired permutation of clusters, Holm within a row. Nothing where no records are.
    """
    found = {
        row: probe(list(sources.values()), [f"{row} {name}" for name in sources], settings)
        for row, sources in changed.items()
        if all(sources.values())
    }
    if not found:
        return {}, ""
    lines = {f"{row} minus {name}": cells for row, one in found.items() for name, cells in one.drops.items()}
    facts = {
        row: {name: {metric: asdict(cell) for metric, cell in cells.items()} for name, cells in one.drops.items()}
        for row, one in found.items()
    }
    shown = table(by_metric(lines, tested_metrics("vqa")), "markdown", "evidence, less the changed picture")
    return facts, f"Drops where the picture is changed (Holm within a row of the grid):\n\n{shown}"


def _of_set(changed: Changed, name: str) -> Changed:
    return {
        row: {source: [record for record in records if _set(record) == name] for source, records in sources.items()}
        for row, sources in changed.items()
    }


Cells = dict[tuple[Source, tuple[Form, ...], int], list[Record]]
"""The records of each source, forms and seed."""


@dataclass(frozen=True)
class Found:
    """What one set of questions says: numbers, table, picture."""

    facts: dict[str, Any]
    text: str
    picture: str


def _compared(cells: Cells, grid: Grid, settings: EvalSettings, task: Task) -> Found:
    """Every row that has records here, such as an oracle where true regions are known, against `none`."""
    rows = [row for row in grid.rows if (*row, grid.seeds[0]) in cells]
    plain = _pool(cells, BASELINE, (), grid.seeds)
    runs = {_row(s, forms): _pool(cells, s, forms, grid.seeds) for s, forms in rows}
    compared = compare_runs([*runs.values(), plain], [*runs, BASELINE], task, settings)
    scores = {name: score(records, task, settings).metrics for name, records in {BASELINE: plain, **runs}.items()}
    none = {seed: _values(cells[BASELINE, (), seed], task, settings) for seed in grid.seeds}
    by_seed = {
        _row(s, forms): {seed: _less(_values(cells[s, forms, seed], task, settings), none[seed]) for seed in grid.seeds}
        for s, forms in rows
    }
    less_none = {one.a_name: one.metrics for one in compared}
    text = "\n\n".join(
        [
            table(by_metric(scores, tested_metrics(task)), "markdown", "evidence"),
            "Differences to `none`:",
            table(by_metric(less_none, tested_metrics(task)), "markdown", "evidence"),
            f"{compared[0].family}.",
        ]
    )
    facts = {
        "family": compared[0].family,
        "scores": {name: {k: asdict(v) for k, v in found.items()} for name, found in scores.items()},
        "differences": {one.a_name: {k: asdict(v) for k, v in one.metrics.items()} for one in compared},
        "by_seed": by_seed,
    }
    metric = next(name for name in reversed(tested_metrics(task)) if name in compared[0].metrics)
    lines = {one.a_name: one.metrics[metric].difference for one in compared}
    dots = {name: [found[metric] for found in seeds.values() if metric in found] for name, seeds in by_seed.items()}
    return Found(facts, text, forest_svg(lines, dots, f"{metric.replace('_', ' ')}: difference to no evidence"))


def _set(record: Record) -> str:
    """Which of a recipe's several sets a sample is of; "" where there is one."""
    return str((record.get("meta") or {}).get("set", ""))


def _pool(cells: Cells, source: Source, forms: tuple[Form, ...], seeds: Sequence[int]) -> list[Record]:
    return sorted((r for seed in seeds for r in cells[source, forms, seed]), key=lambda record: record["id"])


def _values(records: Sequence[Record], task: Task, settings: EvalSettings) -> dict[str, float]:
    """Each headline metric of one seed."""
    metrics = score(records, task, settings).metrics
    return {name: metrics[name].value for name in tested_metrics(task) if name in metrics}


def _less(ours: Mapping[str, float], theirs: Mapping[str, float]) -> dict[str, float]:
    return {name: value - theirs[name] for name, value in ours.items() if name in theirs}


def _row(source: Source, forms: tuple[Form, ...]) -> str:
    return f"{source} {'+'.join(forms)}".strip()


def tasks_named(name: str) -> Task:
    """The task of a user's word. Raises `BadInput` with the nearest valid one."""
    if name not in ("vqa", "report"):
        raise BadInput(f"unknown task {name!r}, {nearest(name, ('vqa', 'report'))}", fix="--task vqa")
    return name


def _form(word: str) -> Form:
    if word not in FORMS:
        raise BadInput(f"unknown form {word!r}, {nearest(word, FORMS)}", fix=f"forms: {', '.join(FORMS)}")
    return word


def _words(text: str, mark: str) -> list[str]:
    return [word.strip() for word in text.split(mark) if word.strip()]
