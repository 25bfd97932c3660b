"""Typed settings from one YAML file: unknown keys are refused with the nearest valid one, wrong values with the key."""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from .bad_input import BadInput, nearest


class Settings(BaseModel):
    """Base of every settings class: frozen, keyword only, no unknown keys; a docstring stands under each field."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


S = TypeVar("S", bound=Settings)


def read_settings(kind: type[S], path: Path, section: str | None = None) -> S:
    """`kind` from a YAML file, or from one of its top-level sections.

    Raises `BadInput` naming the file and every key that is unknown (with the nearest valid one), missing or wrong.
    """
    values = read_yaml(path)
    return validate(kind, values.get(section, {}) if section else values, path)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises `BadInput` for no such file, and for one that holds anything else."""
    if not path.is_file():
        raise BadInput("no such recipe.", file=path, fix="recipes/ holds ready ones")
    try:
        values = yaml.safe_load(path.read_text()) or {}
    except yaml.YAMLError as error:
        raise BadInput(f"not valid YAML: {error}", file=path, fix="check indentation and colons") from error
    if not isinstance(values, dict):
        raise BadInput("a recipe is a mapping of keys to values.", file=path, fix="see recipes/quickstart.yaml")
    return values


def validate(kind: type[S], values: dict[str, Any], file: Path | None = None) -> S:
    """`kind` from plain values; errors as in `read_settings`."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        problems = [_explain(kind, dict(detail)) for detail in error.errors()]
        raise BadInput("; ".join(problems), file=file, fix="`medglip run --help` lists the keys") from error


def _explain(kind: type[BaseModel], detail: dict[str, Any]) -> str:
    keys = [str(part) for part in detail["loc"]]
    name = ".".join(keys)
    if detail["type"] == "extra_forbidden":
        return f"unknown key {name!r}, {nearest(keys[-1], _fields_at(kind, keys[:-1]))}"
    said = str(detail["msg"]).removeprefix("Value error, ")
    return f"key {name!r}: {said}" if name else said


def _fields_at(kind: type[BaseModel], keys: list[str]) -> list[str]:
    """Valid keys of the settings class that the path of keys leads to."""
    found: Any = kind
    for key in keys:
        if key.isdigit():
            continue
        found = _model_in(found.model_fields[key].annotation) if key in getattr(found, "model_fields", {}) else found
    return list(getattr(found, "model_fields", {}))


def _model_in(annotation: Any) -> Any:
    """The settings class inside an annotation such as `tuple[DataSettings, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in getattr(annotation, "__args__", ()):
        if isinstance(model := _model_in(part), type) and issubclass(model, BaseModel):
            return model
    return annotation
