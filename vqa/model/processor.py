"""Any family's processor, also where torchvision is missing: then without the video part, which needs it.

torchvision is no dependency: a wheel of it that does not fit the torch that is installed breaks the import of both, and
images alone do without. Newer families check that a video processor is there, so a placeholder stands for it.
"""

import inspect
import sys
import warnings
from pathlib import Path
from typing import Any

import transformers
from huggingface_hub import snapshot_download, try_to_load_from_cache
from transformers import AutoConfig, AutoFeatureExtractor, AutoImageProcessor, AutoProcessor, AutoTokenizer

from ...grounding.bad_input import BadInput, damaged, in_one_line
from ...grounding.files import read_object
from ...grounding.grounders.pretrained import is_hub_name
from ...grounding.model import image_tower  # noqa: F401 - registers the core's tower with transformers
from ..families import family_of

_PARTS = ("processor_class", "image_processor", "video_processor", "tokenizer", "feature_extractor", "auto_map")


def safe_options(allow_download: bool = True) -> dict[str, Any]:
    """What every loader of transformers is told: no code of the model's folder, nothing from the hub unless allowed."""
    return {"trust_remote_code": False, "local_files_only": not allow_download}


def load_processor(base: str, *, allow_download: bool = True) -> Any:
    """The processor of a model folder or hub name, padding on the left, as generation needs it, by its family's rules.

    `allow_download`: of a hub name, else its files in the local cache. Warns of what is not known of an architecture
    without a record. Raises `BadInput` for a folder without a processor,
    and for a checkpoint without the chat template its family needs.
    """
    options = safe_options(allow_download)
    if is_hub_name(base) and not allow_download and not _is_cached(base):
        problem = "its base is a model of a hub, and not on this machine."
        raise BadInput(problem, file=base, fix="--download fetches it; its licence and authors are on its page there")
    try:
        processor = AutoProcessor.from_pretrained(base, **options)
    except Exception as error:  # of whatever class: see `damaged`
        if not is_video_missing(error):
            fix = "give the folder or hub name of an image-text model"
            raise BadInput(f"no processor: {in_one_line(error)}", file=base, fix=fix) from error
        where = base if Path(base).is_dir() else snapshot_download(base, local_files_only=not allow_download)
        with damaged(Path(where)):
            processor = _without_video(Path(where))
    if not hasattr(processor, "tokenizer"):
        raise BadInput(f"no processor, only {type(processor).__name__}.", file=base, fix="give an image-text model")
    with damaged(Path(base)):
        config = AutoConfig.from_pretrained(base, **options)
    family = family_of(config)
    if family.warning:
        warnings.warn(f"{config.model_type}: {family.warning}", stacklevel=2)
    if family.needs_template and not processor.chat_template:
        fix = "take an instruction-tuned checkpoint: a base one knows no turns of question and answer"
        raise BadInput(f"{type(processor).__name__} has no chat template.", file=base, fix=fix)
    processor.tokenizer.padding_side = "left"
    family.prepare(processor)
    return processor


def _is_cached(name: str) -> bool:
    """Whether the configuration of a model of the hub lies in its local cache."""
    return isinstance(try_to_load_from_cache(name, "config.json"), str)


def is_video_missing(error: Exception) -> bool:
    """Whether it is only the video part that cannot be loaded; num2words counts frames in words."""
    return any(words in str(error).lower() for words in ("torchvision", "load video processor", "num2words"))


def _without_video(folder: Path) -> Any:
    """The family's own class, built from its parts with a placeholder where the video processor would be."""
    files = (folder / "processor_config.json", folder / "tokenizer_config.json")
    config, tokenizer_config = (read_object(file) if file.exists() else {} for file in files)
    name = config.get("processor_class") or tokenizer_config.get("processor_class")
    if not hasattr(transformers, str(name)):
        raise BadInput(f"unknown processor class {name!r}.", file=folder, fix="install torchvision, or another base")
    template, kind = folder / "chat_template.jinja", getattr(transformers, str(name))
    # SmolVLM's class is not built without num2words, which writes the number of a video's frames in words
    module: Any = sys.modules[kind.__module__]
    lacks_num2words = getattr(module, "num2words", "") is None
    if lacks_num2words:
        module.num2words = NoVideo()
    hears = "feature_extractor" in inspect.signature(kind).parameters  # Gemma 4, which then is built with this part
    try:
        return _class_without_video(kind)(
            image_processor=AutoImageProcessor.from_pretrained(folder, **safe_options()),
            tokenizer=AutoTokenizer.from_pretrained(folder, **safe_options()),
            video_processor=NoVideo(),
            **({"feature_extractor": AutoFeatureExtractor.from_pretrained(folder, **safe_options())} if hears else {}),
            chat_template=template.read_text() if template.exists() else None,
            **{key: value for key, value in config.items() if key not in _PARTS and not isinstance(value, dict | list)},
        )
    finally:
        if lacks_num2words:
            module.num2words = None


class NoVideo:
    """Stands where the video processor would be; using it is an error."""

    model_input_names: tuple[str, ...] = ()
    _auto_class = None
    merge_size = temporal_patch_size = 2  # these are read when a processor is built or called
    num_frames, fps = 8, 1
    size = {"longest_edge": 56}  # noqa: RUF012

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        """Refuse."""
        raise BadInput("video input needs torchvision.", fix="install it, or give pictures")

    def to_dict(self) -> dict[str, Any]:
        """Nothing to save."""
        return {}

    def save_pretrained(self, *args: Any, **kwargs: Any) -> list[str]:
        """Nothing to save."""
        return []


def _class_without_video(kind: type) -> type:
    """The class under its own name, with its check of the parts off and the placeholder left out of what is saved."""

    def to_dict(self: Any) -> dict[str, Any]:
        video, self.video_processor = self.video_processor, None
        try:
            return {key: value for key, value in kind.to_dict(self).items() if key != "video_processor"}
        finally:
            self.video_processor = video

    body: dict[str, Any] = {"__module__": kind.__module__, "to_dict": to_dict}
    body["check_argument_for_proper_class"] = lambda self, name, value: None  # it would refuse the placeholder
    return type(kind.__name__, (kind,), body)
