"""A row of the tables of question and report sets, and how a set is read by its name; the tables are in the rooms."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeVar

from ..bad_input import BadInput, Skipped, check_name, damaged
from ..settings import Settings
from .corpus import of_split


@dataclass(frozen=True, kw_only=True)
class SetContext:
    """What the reader of a set gets from its caller, beside the settings.

    `seed`: of splits that are drawn. `only_split`: train, val or test alone; None: all three. `phantom_dir`: the
    recipe's own phantoms; None outside of a recipe.
    """

    seed: int = 0
    only_split: str | None = None
    phantom_dir: Path | None = None


@dataclass(frozen=True, kw_only=True)
class TaskSet:
    """One set. `module`: its file beside the table; `settings_class`: the name of its settings class there.

    `title`, `licence`: as pages show them. `has_regions`: true regions come with its images, for the source `oracle`
    and whatever else needs them. `needs`: what a recipe must have for it: the section `phantoms`, or region sets in
    `grounding.data`.
    """

    module: str
    settings_class: str
    title: str
    licence: str
    has_regions: bool = False
    needs: Literal["", "phantoms", "region_sets"] = ""

    def load(self) -> ModuleType:
        """The module, imported now."""
        return import_module(f".{self.module}", type(self).__module__.rpartition(".")[0])

    def settings(self) -> type[Settings]:
        """The settings class."""
        return getattr(self.load(), self.settings_class)


Row = TypeVar("Row", bound=TaskSet)


def find_set(table: Mapping[str, Row], noun: str, name: str) -> Row:
    """The row of this name. `noun`: question or report. Raises `BadInput` with the nearest valid name."""
    return table[check_name(name, table, f"{noun} set")]


def read_items(
    table: Mapping[str, Row], noun: str, name: str, settings: Settings, context: SetContext, skipped: Skipped
) -> list[Any]:
    """The items of a set, as its `read` gives them; what cannot be used goes to `skipped`, with file and row.

    `settings`: of the set's own class. Raises `BadInput` for an unknown name, settings of another set, a set that is
    not there, and one without a usable item of `context.only_split`.
    """
    row = find_set(table, noun, name)
    if not isinstance(settings, row.settings()):
        raise BadInput(f"{type(settings).__name__} are no settings of {name}.", fix=f"give {row.settings_class}")
    path = getattr(settings, "path", None)
    # what no reader foresaw of a file of other people is told, too
    with damaged(Path(path) if path else Path(name), "take the set as published, or as its file in the docs says"):
        items = row.load().read(settings, context, skipped)
    return of_split(items, [item.image.split for item in items], context.only_split, noun, name, skipped)
