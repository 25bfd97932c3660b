"""What the user brings: the pictures of one case and what is stated of them; every tab reads them from here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import gradio as gr

from ....grounding.bad_input import BadInput
from ....grounding.imaging.nifti import AXES
from ....grounding.modalities import MODALITIES
from ....grounding.types import AnnotatedImage
from ...inference.user_image import user_image
from ..bring import error_line, is_volume, slice_of
from ..desk import Desk
from ..samples import LICENCE

NO_SAMPLE = "none"


@dataclass(frozen=True, kw_only=True)
class Case:
    """The fields of a case."""

    files: gr.File
    sample: gr.Dropdown
    modality: gr.Dropdown
    axis: gr.Dropdown
    part: gr.Slider
    model: gr.Dropdown

    @property
    def fields(self) -> list[Any]:
        """In the order in which `Given` takes their values."""
        return [self.files, self.sample, self.modality, self.axis, self.part, self.model]


@dataclass(frozen=True)
class Given:
    """Their values."""

    files: Sequence[str] | str | None
    sample: str
    modality: str
    axis: Any
    part: float
    model: str

    def paths(self, desk: Desk) -> list[Path]:
        """The pictures, of volumes the chosen slice. Raises `BadInput` where there is none."""
        files = [self.files] if isinstance(self.files, str) else list(self.files or ())
        if not files and self.sample not in (None, "", NO_SAMPLE):
            return [desk.samples[self.sample].image_path]
        if not files:
            raise BadInput("there is no picture.", fix="choose a file, or a sample")
        own = [Path(file) for file in files]
        return [slice_of(file, self.stated, self.axis, self.part) if is_volume(file) else file for file in own]

    def images(self, desk: Desk) -> list[AnnotatedImage]:
        """The same, read."""
        return [user_image(path, self.stated) for path in self.paths(desk)]

    @property
    def stated(self) -> str:
        """The modality as the user tells it, that of a sample as it is known; "": not told."""
        if self.modality:
            return self.modality
        return self.sample.partition("-")[0] if not self.files and self.sample not in (None, NO_SAMPLE) else ""


def build_case(desk: Desk) -> Case:
    """The fields at the top of the page."""
    with gr.Row():
        files = gr.File(label="Pictures", file_count="multiple", elem_id="mg-files", height=120)
        with gr.Column():
            sample = gr.Dropdown([NO_SAMPLE, *sample_names()], value=NO_SAMPLE, label="Sample", info=LICENCE)
            names = [("as the file tells", "")] + [
                (row.spoken or name, name) for name, row in MODALITIES.items() if name != "unknown"
            ]
            modality = gr.Dropdown(names, value="", label="Modality")
        with gr.Column():
            model = gr.Dropdown(desk.names, value=desk.names[0], label="Model", elem_id="mg-model")
            with gr.Accordion("Slice of a volume (NIfTI)", open=False):
                axis = gr.Dropdown(list(AXES), value="axial", label="Axis")
                part = gr.Slider(0, 1, 0.5, step=0.01, label="Place in the volume")
    return Case(files=files, sample=sample, modality=modality, axis=axis, part=part, model=model)


def sample_names() -> list[str]:
    """What the samples are called, before they are drawn."""
    from ..samples import NAMES

    return list(NAMES)


def telling(work: Callable[..., Any]) -> Callable[..., Any]:
    """The function with errors of the readers as the one line that the page shows."""

    @wraps(work)
    def told(*values: Any) -> Any:
        try:
            return work(*values)
        except (BadInput, OSError, MemoryError) as error:
            raise gr.Error(error_line(error), duration=None, print_exception=False) from None

    return told
