"""Adapters that come with the package, by name: `vqa/weights/KIND/NAME`. Anything else is a folder.

`aligned/small`: the small default behind the shipped core `small`, taught to look at the picture (`mllm: {aligned:
small}`); `adapter/small`: the same, taught to answer with evidence (`--adapter small`, and what `vqa ask` takes);
`adapter/small-reports`: taught to say what its regions show (what `report write` takes). `NAME-plain` had the same
draws without evidence, and answers where `--evidence none` is asked.
"""

from pathlib import Path
from typing import Literal

from ...grounding.bad_input import BadInput, nearest
from ...grounding.grounders.hub import hub_folder
from ...grounding.grounders.pretrained import is_hub_name

ShippedKind = Literal["aligned", "adapter"]
NAMES: dict[ShippedKind, tuple[str, ...]] = {
    "aligned": ("small",),
    "adapter": ("small", "small-plain", "small-reports", "small-reports-plain"),
}
FACTS = "facts.json"
"""Beside the weights: the data sets that they learned from, with licences and counts."""
OUR_FILE = "medglip_mllm.json"
"""In the folder of every adapter: base, settings, what evidence it learned with, its core."""
WEIGHTS = Path(__file__).parents[1] / "weights"


def is_shipped(kind: ShippedKind, name: str) -> bool:
    """Whether the package holds an adapter of this kind and name."""
    return name in NAMES[kind] and (WEIGHTS / kind / name / "adapter_config.json").is_file()


def shipped_folder(kind: ShippedKind, name: str | Path) -> Path:
    """The folder of a name that comes with the package; of `owner/name` that in the hub's local cache; of any other,
    the folder itself, whatever it holds.

    Raises `BadInput` for a name that does not come with this version and is no folder either, and for no folder.
    """
    if is_shipped(kind, str(name)):
        return WEIGHTS / kind / str(name)
    folder = Path(name)
    if folder.is_dir():
        return folder
    if is_hub_name(str(name)):
        return hub_folder(str(name))
    what = "aligned adapter" if kind == "aligned" else "adapter"
    if str(name) in NAMES[kind]:
        made = "`medglip vqa align` makes one" if kind == "aligned" else "a run has it in adapter-grounded"
        raise BadInput(f"{what} {str(name)!r} does not come with this version.", fix=f"give a folder: {made}")
    raise BadInput(f"no such {what}.", file=folder, fix=f"give a folder; or {nearest(str(name), NAMES[kind])}")
