"""What our commands look like: groups that load when they are used, flags without a type, arguments in capitals."""

from collections.abc import Callable, MutableMapping
from functools import cache
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.main import get_group


def _without_types(params: list[Any]) -> list[Any]:
    """The same parameters; help shows a flag as `--download`, where typer has `--download <bool>`."""
    for param in params:
        if isinstance(param, TyperOption) and param.is_flag and param.metavar is None:
            param.metavar = ""
    return params


class Command(TyperCommand):
    """A command whose usage reads `IMAGES... [QUESTION]`, where typer has `{images}... [question]`."""

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
