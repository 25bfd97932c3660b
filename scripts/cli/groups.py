"""What our commands look like: groups that load when they are used, flags without a type, arguments in capitals."""

from collections.abc import Callable, MutableMapping
from functools import cache
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.main import get_group

from ...grounding.bad_input import BadInput


def _without_types(params: list[Any]) -> list[Any]:
    """The same parameters; help shows a flag as `--download`, where typer has `--download <bool>`."""
    for param in params:
        if isinstance(param, TyperOption) and param.is_flag and param.metavar is None:
            param.metavar = ""
    return params


GROUNDER = "--grounder"
SECOND = {"--checkpoint": GROUNDER, "--regions": GROUNDER}
"""Second names of options, which work and are not shown -> the name that is."""


def _spell_out(values: dict[str, Any], names: dict[str, str], references: str) -> None:
    """Write the short forms of source and grounder in full. `names`: of the parameters, by their options."""
    found, source = values.get(names.get(GROUNDER, "")), values.get(names.get("--evidence", ""))
    if GROUNDER in names and source == "file":
        if not found:
            raise BadInput("--evidence file without a file.", fix="--regions PATH")
        values[names["--evidence"]] = "predicted"
    if GROUNDER in names and source == "self":
        if found not in (None, source):
            raise BadInput("--evidence self names who finds.", fix="leave --grounder out")
        values |= {names["--evidence"]: "predicted", names[GROUNDER]: source}
    if references:
        if not found:
            raise BadInput("--references explains COCO results.", fix="give them as --regions PATH")
        values[names[GROUNDER]] = f"{found},{references}"


class Command(TyperCommand):
    """A command whose usage reads `IMAGES... [QUESTION]`, where typer has `{images}... [question]`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """With second names as the first, and the short forms of the switch in full.

        `--evidence file --regions PATH` is `--evidence predicted --grounder PATH`, `--evidence self` is
        `--evidence predicted --grounder self`; the file behind `--references` comes
        after a comma. Raises `BadInput` for two grounders, and for a file that is not named.
        """
        known, references = {name for param in self.params for name in param.opts}, ""
        words, left = list[str](), iter(args)
        for word in left:
            name, equals, value = word.partition("=")
            if GROUNDER in known and name == "--references" not in known:
                references = value if equals else next(left, "")
                continue
            is_second = SECOND.get(name) in known and name not in known
            words.append(f"{SECOND[name]}{equals}{value}" if is_second else word)
        if sum(word.partition("=")[0] == GROUNDER for word in words) > 1:
            raise BadInput("two options say who finds.", fix="give --grounder, or --regions of --evidence file")
        try:
            rest = super().parse_args(ctx, words)
        except typer.BadParameter as error:  # of a choice, which typer has pydantic check
            error.message = error.message.removeprefix("Value error, ")
            raise
        _spell_out(ctx.params, {name: param.name for param in self.params for name in param.opts}, references)
        return rest

    def get_params(self, ctx: Any) -> list[Any]:
        """With those that typer adds, `--help`."""
        return _without_types(super().get_params(ctx))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """`[OPTIONS] IMAGES... [QUESTION]`."""
        names = (
            (param.metavar or str(param.name).upper() + "..." * (param.nargs != 1), param.required)
            for param in self.params
            if isinstance(param, TyperArgument) and not param.hidden
        )
        return ["[OPTIONS]", *(name if is_required else f"[{name}]" for name, is_required in names)]


class Group(TyperGroup):
    """A group of them."""

    def get_params(self, ctx: Any) -> list[Any]:
        """With those that typer adds, `--install-completion` among them."""
        return _without_types(super().get_params(ctx))


class Commands(typer.Typer):
    """Where such commands are registered."""

    def __init__(self, **settings: Any):
        values = {"cls": Group, "no_args_is_help": True, "rich_markup_mode": "markdown"}
        super().__init__(**values | settings)

    def command(self, name: str | None = None, *, cls: type[TyperCommand] = Command, **settings: Any) -> Callable:  # pyright: ignore[reportIncompatibleMethodOverride]
        """As in typer."""
        return super().command(name, cls=cls, **settings)


def later(module: str, name: str) -> type[Group]:
    """A group whose commands are those of `name` in `module`, imported when one of them is looked for.

    So the help of all groups costs none of them.
    """

    class Later(Group):
        @property
        def commands(self) -> MutableMapping[str, Any]:  # pyright: ignore[reportIncompatibleVariableOverride]
            return _group(module, name).commands

        @commands.setter
        def commands(self, nothing: object) -> None:
            """What typer has at first: none."""

    return Later


@cache
def _group(module: str, name: str) -> TyperGroup:
    return get_group(getattr(import_module(f".{module}", __package__), name))
