"""Every key of a recipe, from the settings classes: the page `docs/recipe.md`, and the list that a test freezes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic import BaseModel, TypeAdapter

from .recipe import Recipe

HEADER = """# Keys of a recipe

Written by `medglip recipe docs > docs/recipe.md` from the settings' own docstrings; a test holds it against them.
`medglip recipe schema` prints the same as JSON Schema. `medglip recipe upgrade FILE` writes a recipe of version 0.1 in
this spelling; `medglip` reads both.
"""


@dataclass(frozen=True)
class Key:
    """One key: its dotted name, its type in words, its default ("required" where there is none), its docstring."""

    name: str
    kind: str
    default: str
    text: str


def recipe_keys(model: type[BaseModel] = Recipe, prefix: str = "") -> Iterator[Key]:
    """The keys of a settings class in their order, each before those of its section.

    The data sets of a list have the name of their class's first key between the dots: `vqa.data[vqa_rad].limit`.
    """
    for field, info in model.model_fields.items():
        members = list(_members(info.annotation))
        name = f"{prefix}{field}"
        if members:
            kind = "list" if get_origin(info.annotation) is tuple else "section"
        else:
            kind = _cell(_type_words(TypeAdapter[Any](info.annotation or Any).json_schema()))
        default = info.get_default(call_default_factory=True)
        if info.is_required() or default in (None, (), ""):
            shown = "required" if info.is_required() else "left out"
        else:
            shown = "as below" if members else f"`{_cell(str(default))}`"
        yield Key(name, kind, shown, " ".join((info.description or "").split()))
        for member in members:
            # of one class: `vqa.generate.`; of a union, each by the name of its set: `vqa.data[vqa_rad].`
            tag = f"[{get_args(member.model_fields['set'].annotation)[0]}]" if len(members) > 1 else ""
            yield from recipe_keys(member, f"{name}{tag}.")


def recipe_page() -> str:
    """The page as Markdown: a table for each section."""
    sections: dict[str, list[Key]] = {}  # "vqa.generate" -> its keys; "" -> those at the top
    for key in recipe_keys():
        sections.setdefault(key.name.rpartition(".")[0], []).append(key)
    parts = [HEADER]
    for name, keys in sections.items():
        rows = [f"| `{k.name.rpartition('.')[2]}` | {k.kind} | {k.default} | {_cell(k.text)} |" for k in keys]
        head = [f"## {name or 'Top level'}\n", "| key | value | default | |", "|---|---|---|---|"]
        parts.append("\n".join([*head, *rows]))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _members(annotation: Any) -> Iterator[type[BaseModel]]:
    """The settings classes inside an annotation, those of a list or union among them."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _members(part)


def _type_words(schema: Mapping[str, Any]) -> str:
    """A JSON schema in a few words: `one of a, b`, `list of integer`, `number or null`."""
    # {"anyOf": [{"type": "integer"}, {"type": "null"}]} -> "integer or null"
    if "anyOf" in schema:
        return " or ".join(_type_words(one) for one in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return "one of " + ", ".join(str(one) or '""' for one in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {_type_words(schema['items'])}" if "items" in schema else "list"
    return str(schema.get("format", schema.get("type", "any")))
