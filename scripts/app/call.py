"""One call of a tool by name: its schema, its arguments checked, its pictures brought in, its turn."""

import inspect
import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from pydantic.fields import FieldInfo

from ...grounding.bad_input import BadInput, check_name
from .bring import from_address, keep
from .desk import Desk
from .stacks import is_volume, slice_of
from .tools import TOOLS


@cache
def arguments_of(name: str) -> type[BaseModel]:
    """The arguments of a tool as a class of pydantic, from its function."""
    tool = TOOLS[name]
    hints = get_type_hints(tool, include_extras=True)
    fields: dict[str, Any] = {
        key: (hints[key], ... if given.default is inspect.Parameter.empty else given.default)
        for key, given in inspect.signature(tool).parameters.items()
        if key != "desk"
    }
    return create_model(f"{name.title()}Arguments", __config__=ConfigDict(extra="forbid"), **fields)


def summary_of(name: str) -> str:
    """What a tool does, the first line of its docstring."""
    return (inspect.getdoc(TOOLS[name]) or "").partition("\n")[0]


def pictures_of(name: str) -> list[str]:
    """The arguments that are pictures."""
    return [key for key, field in arguments_of(name).model_fields.items() if _is_picture(field)]


def _is_picture(field: FieldInfo) -> bool:
    return field.annotation in (Path, Path | None)


def schema_of(name: str) -> dict[str, Any]:
    """The JSON schema of a tool's arguments; a picture is a `data:` address there."""
    schema = arguments_of(name).model_json_schema()
    for key in pictures_of(name):
        words = schema["properties"][key]["description"].replace(
            "as a file or a data:...;base64, address", "as a data:...;base64, address"
        )
        schema["properties"][key] = {"type": "string", "description": words}
    return schema


def call(desk: Desk, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The result of a tool. A picture is (name of the file, content), a `data:` address, or a file of ours (`Path`).

    Waits for its turn. Raises `BadInput` for an unknown tool, for wrong arguments, and whatever the tool raises.
    """
    arguments, given = arguments_of(check_name(name, TOOLS, "tool")), dict(values)
    with desk.scratch() as folder:
        for key in pictures_of(name):
            if given.get(key) in (None, ""):
                given.pop(key, None)
            else:
                given[key] = bring_in(given[key], folder, key)
        read = checked(arguments, given)
        with desk.at_work():
            for key in pictures_of(name):
                if read.get(key) and is_volume(read[key]):
                    read[key] = slice_of(read[key], read.get("modality", ""))
            return TOOLS[name](desk, **read)


def bring_in(picture: Any, folder: Path, key: str = "image") -> Path:
    """The picture of an argument as a file of the folder. Raises `BadInput` for whatever else was sent."""
    if isinstance(picture, tuple):
        return keep(picture[1], picture[0], folder)
    if isinstance(picture, Path):  # of our own temporary folder: its name may be anything
        return Path(shutil.copyfile(picture, folder / keep(b"-", picture.name, folder).name))
    if not isinstance(picture, str):
        raise BadInput(f"{key!r} is no picture.", fix="send a file, or data:image/png;base64,...")
    return from_address(picture, folder)


def checked(arguments: type[BaseModel], given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a tool. Raises `BadInput` for the first that is wrong, with why."""
    try:
        read = arguments.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))[:60]
        is_name = first["type"] in ("missing", "extra_forbidden")
        fix = f"arguments are {', '.join(arguments.model_fields)}" if is_name else "send another value, or leave it out"
        raise BadInput(f"argument {where!r}: {first['msg']}.", fix=fix) from error
    return {key: getattr(read, key) for key in arguments.model_fields}
