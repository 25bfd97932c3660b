"""Which grounder a name means: `small` and `small-research` come with the package, anything else is a folder or file.

torch and transformers are loaded only when a grounder is.
"""

import json
import os
import sys
from pathlib import Path

from ..bad_input import BadInput, nearest
from ..files import read_object
from ..grounder import Grounder
from .asked import AskedGrounder, is_asked
from .hub import HUB_NAME, hub_folder

NOTICES = {
    "small": "",
    "small-research": "small-research was trained on sets that forbid commercial use: research only (CC BY-NC-SA 4.0)",
}
"""A checkpoint of the package -> the notice written when it is loaded."""
SELF = "self"
"""The grounder that is the model which answers; `scripts.inference` knows it."""
_WEIGHTS = Path(__file__).parents[1] / "weights"


def is_shipped(name: str) -> bool:
    """Whether the package holds a checkpoint of this name."""
    return name in NOTICES and (_WEIGHTS / name / "config.json").is_file()


def checkpoint_folder(name: str | Path) -> Path:
    """The folder of `small`, `small-research`, or of a path, or what a training saved in `model` below that path; of
    `owner/name` that in the local cache of the hub.

    Raises `BadInput` where there is none.
    """
    if str(name) in NOTICES:
        if is_shipped(str(name)):
            return _WEIGHTS / str(name)
        fix = "give the folder of a checkpoint, such as runs/quickstart/grounding/model"
        raise BadInput(f"checkpoint {str(name)!r} does not come with this version.", fix=fix)
    folder = hub_folder(str(name)) if is_hub_name(str(name)) and _is_cached(str(name)) else Path(name)
    if not folder.is_dir():
        # runs/chest_core/grounding/model: the recipe of that name makes it
        recipe = f"recipes/{folder.parents[1].name}.yaml" if folder.parts[-2:] == ("grounding", "model") else ""
        made = f"train it: `medglip grounding train {recipe}`" if recipe else "give a folder"
        raise BadInput("no such checkpoint.", file=folder, fix=f"{made}; or {nearest(str(name), NOTICES)}")
    for candidate in (folder, folder / "model"):
        if (candidate / "config.json").is_file():
            return candidate
    raise BadInput("no checkpoint in this folder (no config.json).", file=folder, fix="a run has it in grounding/model")


def load_grounder(
    name: str | Path,
    *,
    device: str | None = None,
    max_per_phrase: int | None = None,
    min_score: float | None = None,
    batch_size: int | None = None,
    allow_download: bool = False,
) -> Grounder:
    """Our core or a zero-shot detector, told apart by `model_type` in the folder's config.json; or regions of a file
    (`given.FORMATS`), which are all taken; or a server or function (`asked`).

    `name`: see `checkpoint_folder`; also `owner/name` in the hub's local cache, from the hub itself with
    `allow_download`. Numbers left out are the grounder's own. Raises `BadInput` for a checkpoint that is neither.
    """
    if name == SELF:
        raise BadInput("here no model answers that could find for itself.", fix="--grounder small")
    if is_asked(str(name)):
        return AskedGrounder(str(name))
    if has_no_weights(str(name)):
        from .given import GivenGrounder

        return GivenGrounder(str(name))
    limits = {"max_per_phrase": max_per_phrase, "min_score": min_score, "batch_size": batch_size}
    given = {key: value for key, value in limits.items() if value is not None}
    if is_hub_name(str(name)):
        source: Path | str = _core_of_hub(str(name), allow_download) or str(name)
    else:
        source = checkpoint_folder(name)
    if notice := NOTICES.get(str(name)):
        print(notice, file=sys.stderr)
    if isinstance(source, Path) and read_object(source / "config.json").get("model_type") == "medglip":
        from .medglip import GrounderSettings, MedGlipGrounder  # torch is loaded here, not with this module

        return MedGlipGrounder.from_pretrained(source, device, GrounderSettings(**given) if given else None)
    from .zero_shot import ZeroShotGrounder, ZeroShotSettings

    settings = ZeroShotSettings(**given)
    return ZeroShotGrounder.from_pretrained(source, device, settings, local_files_only=not allow_download)


def vocabulary_of(name: str) -> dict[str, list[str]]:
    """`vocabulary.json` of a checkpoint: modality -> what is usually looked for; empty where there is none. Of a file
    of regions: what it names.

    It lies beside the weights; runs of before have it in their own folder, two above.
    """
    if name == SELF or is_asked(name):  # nobody knows its list: what `small` looks for is asked of it
        name = "small"
    if has_no_weights(name):
        from .given import GivenGrounder

        return GivenGrounder(name).vocabulary
    if is_hub_name(name) and not _is_cached(name):
        return {}
    folder = checkpoint_folder(name).resolve()
    places = [folder, folder.parent.parent] if folder.parent.name == "grounding" else [folder]
    files = (place / "vocabulary.json" for place in places)
    return next((read_vocabulary(file) for file in files if file.is_file()), {})


def _core_of_hub(name: str, allow_download: bool) -> Path | None:
    """The folder of `owner/name` if it is a core of ours; None: whatever else it is, transformers loads it by name."""
    from huggingface_hub import hf_hub_download

    try:
        where = {"local_files_only": not allow_download, "endpoint": os.environ.get("HF_ENDPOINT")}
        config = json.loads(Path(hf_hub_download(name, "config.json", **where)).read_text())
    except (OSError, ValueError):  # not there, no network: told where it is loaded
        return None
    return hub_folder(name, allow_download=allow_download) if config.get("model_type") == "medglip" else None


def _is_cached(name: str) -> bool:
    """Whether the hub's local cache holds a configuration of `owner/name`."""
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(name, "config.json"), str)


def read_vocabulary(file: Path) -> dict[str, list[str]]:
    """Modality -> phrases. Raises `BadInput` for a file that holds anything else."""
    vocabulary = read_object(file)
    if not all(isinstance(row, list) and all(isinstance(one, str) for one in row) for row in vocabulary.values()):
        raise BadInput("not lists of phrases, one for each modality.", file=file, fix="copy the folder again")
    return vocabulary


def has_no_weights(name: str) -> bool:
    """Whether a grounder's name means `self`, a server, a function, or regions that lie in a file or folder."""
    if name == SELF or is_asked(name):
        return True
    if name in NOTICES or is_hub_name(name):
        return False
    from .given import is_given

    return is_given(name)


def is_hub_name(name: str) -> bool:
    """Whether a name has the form `owner/name` and is no folder here."""
    return bool(HUB_NAME.fullmatch(name)) and not Path(name).exists()
