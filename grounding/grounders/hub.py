"""Folders of a hub of models: `owner/name` fetched into the local cache, and a folder of ours pushed there.

https://huggingface.co or what HF_ENDPOINT names; HF_TOKEN or `hf auth login` says who pushes.
"""

import os
import re
from pathlib import Path
from typing import Any, Literal

from ..bad_input import BadInput, in_one_line

Kind = Literal["model", "dataset"]
HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
"""`owner/name`."""


def hub_folder(name: str, *, allow_download: bool = False, kind: Kind = "model") -> Path:
    """The folder of `owner/name` in the local cache, with `allow_download` fetched there.

    Raises `BadInput` where it is not there, and where the hub cannot be reached or does not know it.
    """
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, repo_type=kind, local_files_only=not allow_download, endpoint=_endpoint()))
    except Exception as error:  # the client has errors of its own, those of its transport and of the disk
        if allow_download:
            raise BadInput(f"could not be fetched: {in_one_line(error)}", file=name, fix=_FIX) from error
        problem = f"no such folder, and no {kind} of this name in the local cache of the hub."
        raise BadInput(problem, file=name, fix=f"--download fetches it, or `hf download {name}`") from error


def cached_folder(name: str, kind: Kind) -> Path:
    """As `hub_folder`, of the cache alone. Raises `BadInput` for what is no `owner/name`, too."""
    if not HUB_NAME.fullmatch(name):
        raise BadInput("no name of a hub.", file=name, fix="owner/name")
    return hub_folder(name, kind=kind)


def push_folder(folder: Path, name: str, kind: Kind = "model") -> str:
    """Upload a folder as `owner/name`, made private where it is new; return its address.

    Raises `BadInput` for a name of another form, and where the hub cannot be reached or refuses it.
    """
    from huggingface_hub import HfApi

    check_push(name)
    api: Any = HfApi(endpoint=_endpoint())
    try:
        address = api.create_repo(name, repo_type=kind, private=True, exist_ok=True)
        api.upload_folder(
            repo_id=name,
            repo_type=kind,
            folder_path=folder,
            commit_message="Pushed by medglip",
            ignore_patterns=[".*", "*.lock", "latest/*"],  # locks and checkpoints of a training
        )
    except Exception as error:
        raise BadInput(f"could not be pushed: {in_one_line(error)}", file=name, fix=_FIX) from error
    return str(address)


def check_push(name: str | None) -> None:
    """Raises `BadInput` unless it is `owner/name`, or None: before anything is trained or built."""
    if name is not None and not HUB_NAME.fullmatch(name):
        raise BadInput(f"--push {name}: no name of a hub.", fix="--push owner/name")


_FIX = "check name and network, and who you are: HF_TOKEN or `hf auth login`; HF_ENDPOINT names another hub"


def _endpoint() -> str | None:
    # read at each call: the client itself reads it when it is imported
    return os.environ.get("HF_ENDPOINT")
