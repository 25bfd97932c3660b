"""Typed settings from one YAML file: unknown keys are refused with the nearest valid one, wrong values with the key."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from . import foreign
from .bad_input import BadInput, nearest


class Settings(BaseModel):
    """Base of every settings class: frozen, keyword only, no unknown keys; a docstring stands under each field."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


S = TypeVar("S", bound=Settings)


def read_settings(kind: type[S], path: Path) -> S:
    """`kind` from a YAML file.

    Raises `BadInput` naming the file and every key that is unknown (with the nearest valid one), missing or wrong.
    """
    return validate(kind, read_yaml(path), path)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises `BadInput` for no such file, and for one that holds anything else."""
    if not path.is_file():
        raise BadInput("no such recipe.", file=path, fix="`medglip init KIND` writes one for your own data")
    values = foreign.read_yaml(path) or {}
    if not isinstance(values, dict):
        raise BadInput("a recipe is a mapping of keys to values.", file=path, fix="see recipes/quickstart.yaml")
    return values


def validate(kind: type[S], values: dict[str, Any], file: Path | None = None) -> S:
    """`kind` from plain values; errors as in `read_settings`."""
    try:
        return kind.model_validate(values, context={"file": file})
    except ValidationError as error:
        problems = [_explain(kind, dict(detail)) for detail in error.errors()]
        raise BadInput("; ".join(problems), file=file, fix="`medglip recipe docs` prints every key") from error


def _explain(kind: type[BaseModel], detail: dict[str, Any]) -> str:
    keys, model = _walk(kind, detail["loc"])
    name, context = ".".join(keys), detail.get("ctx", {})
    if detail["type"] == "extra_forbidden":
        return f"unknown key {name!r}, {nearest(keys[-1], getattr(model, 'model_fields', ()))}"
    if detail["type"].startswith("union_tag"):
        key = context["discriminator"].strip("'")
        fields = [one.model_fields[key] for one in _members(model) if key in one.model_fields]
        names = [str(value) for info in fields for value in get_args(info.annotation)]
        if "tag" not in context:
            return f"key {name!r}: say which one by {key!r}, valid: {', '.join(names)}"
        return f"key {name!r}: no {key} is called {context['tag']!r}, {nearest(str(context['tag']), names)}"
    words = str(detail["msg"]).removeprefix("Value error, ")
    if isinstance(error := context.get("error"), BadInput):  # one sentence: what to do about it ends the whole
        words = ", ".join([error.problem.removesuffix("."), *filter(None, [error.fix])])
    return f"key {name!r}: {words}" if name else words


def _walk(kind: Any, location: Sequence[str | int]) -> tuple[list[str], Any]:
    """The keys of an error's location, and the settings class, else the type, that holds its last key."""
    # ("vqa", "data", 0, "vqa_rad", "limitt") has the keys vqa, data, 0 and limitt: vqa_rad is the tag of a union's
    # member, which its values do not hold as a key; the holder is the settings class with that tag.
    keys, holder = [], kind
    for part in location:
        members = _members(kind)
        fields = next((one.model_fields for one in members if str(part) in one.model_fields), None)
        tagged = next((one for one in members if part in _tags(one)), None)
        holder = members[0] if len(members) == 1 else kind
        if isinstance(part, int) or fields:
            keys.append(str(part))
            kind = fields[str(part)].annotation if fields else kind
        elif tagged:
            kind = holder = tagged
        elif not members or len(members) == 1:  # a key that is unknown, or of a plain mapping
            keys.append(str(part))
    return [key for key in keys if "[" not in key], kind if kind is not holder and len(_members(kind)) > 1 else holder


def _members(annotation: Any) -> list[type[BaseModel]]:
    """The settings classes inside an annotation such as `tuple[DataSettings, ...]`; several of a union."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [member for part in getattr(annotation, "__args__", ()) for member in _members(part)]


def _tags(model: type[BaseModel]) -> list[Any]:
    """Names that set a class apart from the others of its union: the values of its required literals."""
    literal = (info for info in model.model_fields.values() if get_origin(info.annotation) is Literal)
    return [value for info in literal if info.is_required() for value in get_args(info.annotation)]
