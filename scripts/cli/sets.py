"""`--set section.key=value`, which reaches every field of a settings class, and the older names of such options."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import create_model

from ...grounding.bad_input import BadInput, nearest
from ...grounding.foreign import parse_yaml
from ...grounding.settings import Settings, validate
from .groups import Command
from .options import setting

Sets = Annotated[
    list[str] | None,
    setting("--set", metavar="SECTION.KEY=VALUE", help="Change one setting, such as the examples above; repeat it"),
]


class _CommandWithSecondNames(Command):
    """A command some of whose settings have an option name as well: `--resamples 20` is `--set eval.resamples=20`."""

    second_names: ClassVar[Mapping[str, str]]
    """`--resamples` to `eval.resamples`; `--strata` to `eval.strata=true`, for one that takes no value."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, list(self.spell_out(args)))

    def spell_out(self, args: Sequence[str]) -> Iterator[str]:
        """The words of a call with every second name written as `--set`."""
        # ["--resamples", "20", "--no-strata"] -> ["--set", "eval.resamples=20", "--set", "eval.strata=false"]
        words = iter(args)
        for word in words:
            name, equals, value = word.partition("=")
            if name not in self.second_names:
                yield word
                continue
            key = self.second_names[name]
            if "=" not in key:
                if not equals and (value := next(words, None)) is None:
                    raise BadInput(f"{name} needs a value.", fix=f"--set {key}=VALUE")
                key = f"{key}={value}"
            yield from ("--set", key)


def second_names(section: str, *keys: str, flags: Sequence[str] = ()) -> type[Command]:
    """A class of command in which `--some-key VALUE` is a hidden second name of `--set section.some_key=VALUE`.

    `flags`: keys whose name takes no value; `--no-KEY` turns them off.
    """
    # "train.batch_size" of section "fine_tune": {"--batch-size": "fine_tune.train.batch_size"}
    names = {f"--{key.rpartition('.')[2].replace('_', '-')}": f"{section}.{key}" for key in keys}
    for key in flags:
        name = key.replace("_", "-")
        names |= {f"--{name}": f"{section}.{key}=true", f"--no-{name}": f"{section}.{key}=false"}
    return type("Command", (_CommandWithSecondNames,), {"second_names": names})


def read_sets(sets: Sequence[str] | None, **sections: type[Settings]) -> dict[str, dict[str, Any]]:
    """What `--set section.key=value` says, by section: only the keys that are given, nested as the settings are.

    Values are read as YAML. Raises `BadInput` for what is no such assignment, and for an unknown section, an unknown
    key (with the nearest valid one) and a wrong value.
    """
    values: dict[str, dict[str, Any]] = {section: {} for section in sections}
    for word in sets or ():
        path, equals, text = word.partition("=")
        section, *keys = path.strip().split(".")
        if not equals or not keys:
            raise BadInput(f"--set {word}: no section, key and value.", fix="--set SECTION.KEY=VALUE")
        if section not in sections:
            raise BadInput(f"--set {word}: unknown section {section!r}.", fix=nearest(section, sections))
        inner = values[section]  # "train.steps=3" becomes {"train": {"steps": 3}}
        for key in keys[:-1]:
            inner = inner.setdefault(key, {})
        inner[keys[-1]] = parse_yaml(text, fix=f"the shell may need quotes: --set '{path}=VALUE'")
    # over the defaults, so that a key whose settings have required neighbours may be given alone
    whole = {section: merge(kind().model_dump(), values[section]) for section, kind in sections.items()}
    fields: dict[str, Any] = {section: (kind, ...) for section, kind in sections.items()}
    validate(create_model("Sets", __base__=Settings, **fields), whole)
    return values


def merge(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with the changes over them, section within section."""
    inner = {k: merge(values[k], v) for k, v in changes.items() if isinstance(v, Mapping) and k in values}
    return {**values, **changes, **inner}
