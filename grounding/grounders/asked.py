"""Grounders of others, asked for each image: a Python function `module:function`, or a server by its URL.

A function gets the path of the image and the phrases; a server gets `POST {"image": BASE64 OF THE FILE, "phrases":
[...], "modality": "ct"}`. Both give rows as in `regions.jsonl`: `{"phrase": "liver", "box_xyxy_px": [x0, y0, x1, y1],
"score": 0.7}`, a server as `{"regions": [...]}`.
"""

import base64
import json
import re
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from ..bad_input import BadInput, explain
from ..files import file_sha256, sha256
from ..grounder import Grounder, Images, Phrases, unique_phrases
from ..types import AnnotatedImage, Region, region_from_json
from .given.lines import check_inside

TIMEOUT_S = 120
_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")

Ask = Callable[[AnnotatedImage, Sequence[str]], Any]
"""An image and phrases to rows of regions."""


def is_asked(name: str) -> bool:
    """Whether a name means a server or a function."""
    return is_url(name) or _FUNCTION.fullmatch(name) is not None


def is_url(name: str) -> bool:
    """Whether a name means a server."""
    return name.startswith(("http://", "https://"))


class AskedGrounder(Grounder):
    """Whatever finds regions elsewhere. Its regions are kept until its name, or the function's file, changes."""

    def __init__(self, name: str):
        self.name = name
        self.ask, version = (_server(name), "") if is_url(name) else _function(name)
        self.fingerprint = sha256(f"asked {name} {version}")

    def ground(self, images: Images, phrases: Phrases) -> list[list[Region]]:
        """Regions of phrases that were asked for, best first. Raises `BadInput` for an answer that holds none."""
        return [self._ground(image, unique_phrases(row)) for image, row in zip(images, phrases, strict=True)]

    def _ground(self, image: AnnotatedImage, phrases: Sequence[str]) -> list[Region]:
        if not phrases:
            return []
        with explain(f"{self.name} gives no regions", Exception, file=image.image_path, fix="see docs/extend.md"):
            regions = [region_from_json(row) for row in self.ask(image, phrases)]
        for region in regions:
            check_inside(region, image.size_px, image.image_path, self.name)
        return sorted((r for r in regions if r.phrase in phrases), key=lambda region: -region.score)


def _server(url: str) -> Ask:
    def ask(image: AnnotatedImage, phrases: Sequence[str]) -> Any:
        picture = base64.b64encode(image.image_path.read_bytes()).decode()
        body = {"image": picture, "phrases": list(phrases), "modality": image.modality}
        request = Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urlopen(request, timeout=TIMEOUT_S) as reply:
            return json.loads(reply.read())["regions"]

    return ask


def _function(name: str) -> tuple[Ask, str]:
    """The function, of a module here or installed, and the hash of its file."""
    module_name, _, attribute = name.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    with explain(f"no function {name!r}", Exception, fix="module:function, of a module here or installed"):
        module = import_module(module_name)
        function = getattr(module, attribute)
    if not callable(function):
        raise BadInput(f"{name!r} is no function.", fix="a function of a path and phrases")
    file = Path(module.__file__ or "")
    return lambda image, phrases: function(image.image_path, list(phrases)), file_sha256(file) if file.is_file() else ""
