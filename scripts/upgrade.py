"""Recipes and run folders of version 0.1 in the spelling of today.

0.1:    vqa: {data: vqa_rad, vqa_rad: {limit: 9}}       mllm_train: {train: {steps: 80}}    grounding: {settings: {...}}
today:  vqa: {data: [{set: vqa_rad, limit: 9}]}         mllm_train: {steps: 80}             grounding: {...}
"""

from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

import yaml

from ..grounding.bad_input import BadInput
from ..grounding.settings import read_yaml
from ..grounding.training.recipe import flatten_settings
from ..grounding.training.settings import TrainSettings
from ..report.datasets.sets import REPORT_SETS
from ..vqa.datasets.sets import QUESTION_SETS

OLD_SETS = ("derived", "vqa_rad", "covid_notes", "mimic_cxr", "iu_xray", "generic")
"""Sections that both tasks had, whether the set was one of theirs or not."""
_RATES = ("steps", "batch_size", "learning_rate", "warmup_steps", "clip_norm")
"""Rates with defaults of their own where `train` was left out; else those it lacked had those of any training."""


def upgrade_recipe(values: Mapping[str, Any], *, is_run: bool = False) -> dict[str, Any]:
    """The same recipe in today's spelling; what is spelt so already stays as it is.

    `is_run`: the file of a run, in which version 0.1 wrote every key with its default, those without effect too: they
    are dropped. In a recipe they are refused: raises `ValueError` with the key and what to do.
    """
    new = dict(values)
    if isinstance(grounding := new.get("grounding"), dict):
        new["grounding"] = flatten_settings(grounding)
    if isinstance(tuning := new.get("mllm_train"), dict):
        new["mllm_train"] = _flatten_training(tuning)
        warm_up = tuning.get("warm_up")
        # `data: generic, generic: {...}, train: {train: {...}}` -> `data: {set: generic, ...}` and the rates
        if isinstance(warm_up, dict) and isinstance(warm_up.get("data"), str):
            moved = _move_sets("mllm_train.warm_up", warm_up, [warm_up["data"]], is_run)
            (entry,), train = moved.pop("data"), moved.pop("train", None)
            rates = {} if train is None else {"group_by_length": False, **_flatten_training(train)}
            new["mllm_train"]["warm_up"] = {"data": entry, **moved, **rates}
    for name in ("vqa", "report"):
        if isinstance(section := new.get(name), dict):
            new[name] = _upgrade_section(name, section, is_run)
    return new


def _flatten_training(values: Mapping[str, Any]) -> dict[str, Any]:
    """`train: {steps: 80}` -> `steps: 80`, with the defaults that such a `train` had."""
    new = {key: value for key, value in values.items() if key != "train"}
    # {train: {steps: 80}} had the defaults of any training for what it left out; no `train` at all has the task's own
    if isinstance(train := values.get("train"), dict):
        defaults = TrainSettings().model_dump(include=set(_RATES))
        return {**defaults, **train, **new}
    return new if train is None else dict(values)


def _upgrade_section(name: str, values: Mapping[str, Any], is_run: bool) -> dict[str, Any]:
    """`data: vqa_rad, vqa_rad: {...}` -> `data: [{set: vqa_rad, ...}]`."""
    data = values.get("data")
    names = [data] if isinstance(data, str) else data
    if not isinstance(names, list | tuple) or not all(isinstance(one, str) for one in names):
        return dict(values)
    new = _move_sets(name, values, list(names), is_run)
    if name == "vqa" and "negation" in new:
        if not is_run:
            raise ValueError("key 'vqa.negation': it does nothing, questions deny nothing; remove it")
        del new["negation"]
    return new


def _move_sets(name: str, values: Mapping[str, Any], names: list[str], is_run: bool) -> dict[str, Any]:
    """The sections of the sets that are read, moved into `data`; the others did nothing."""
    unused = [key for key in values if key in OLD_SETS and key not in names]
    if unused and not is_run:
        raise ValueError(f"key '{name}.{unused[0]}': it does nothing, data is {', '.join(names)}; remove it")
    new = {key: value for key, value in values.items() if key not in OLD_SETS}
    table = QUESTION_SETS if name == "vqa" else REPORT_SETS
    new["data"] = []
    for one in names:
        own = values.get(one) or {}
        if is_run and one in table:  # a run wrote every key; `derived` had those of questions for reports, too
            fields = {*table[one].settings().model_fields, "include_frame"}
            own = {key: value for key, value in own.items() if key in fields}
        new["data"].append({"set": one, **own})
    return new


def upgrade_file(file: Path) -> tuple[str, int]:
    """A recipe file in today's spelling, as YAML, and how many lines of comments it loses.

    Comments before the first key are kept. Raises `BadInput` for no recipe, and for keys that do nothing.
    """
    values, lines = read_yaml(file), file.read_text().splitlines()
    try:
        new = upgrade_recipe(values)
    except ValueError as error:
        raise BadInput(f"{error}.", file=file, fix="remove the key and call again") from error
    # YAML is written anew from values, which hold no comments: those above the first key are copied, others counted
    top = list(takewhile(lambda line: not line.strip() or line.startswith("#"), lines))
    lost = sum("#" in line for line in lines[len(top) :])
    body = yaml.safe_dump(new, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)
    return "\n".join([*top, body]), lost
