"""What the user brings: the pictures of one case and what is stated of them; every tab reads them from here."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from ....grounding.bad_input import BadInput
from ....grounding.imaging.dicom import read_dicom
from ....grounding.imaging.nifti import AXES
from ....grounding.imaging.read import is_dicom
from ....grounding.imaging.window import GreyValues
from ....grounding.modalities import MODALITIES
from ....grounding.types import AnnotatedImage
from ...inference.user_image import user_image
from ..bring import FAULTS, error_line
from ..desk import Desk
from ..samples import LICENCE, NAMES
from ..stacks import MIDDLE, frame_of, is_volume, one_of_each_series, slice_of, values_of

NO_SAMPLE = "none"
MOST_PICTURES = 16


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
        """The pictures; of volumes, series and files of several frames the chosen one. Raises `BadInput` where there
        is none, and for more than `MOST_PICTURES`.
        """
        return [self._single(file) for file in self._chosen(desk)]

    def _chosen(self, desk: Desk) -> list[Path]:
        if not self.own and self.sample not in (None, "", NO_SAMPLE):
            return [desk.samples[self.sample].image_path]
        own = one_of_each_series(self.own, self.part)
        if not 0 < len(own) <= MOST_PICTURES:
            raise BadInput(f"there are {len(own) or 'no'} pictures.", fix=f"choose 1 to {MOST_PICTURES}, or a sample")
        return own

    def grey(self, desk: Desk) -> GreyValues | None:
        """The values of the first picture before its window; None for colours."""
        return values_of(self._chosen(desk)[0], self.stated, self.axis, self.part)

    def _single(self, file: Path) -> Path:
        if is_volume(file):
            return slice_of(file, self.stated, self.axis, self.part)
        return frame_of(file, self.part) if is_dicom(file) else file

    def images(self, desk: Desk) -> list[AnnotatedImage]:
        """The same, read."""
        return [user_image(path, self.stated) for path in self.paths(desk)]

    @property
    def own(self) -> list[Path]:
        """The files of the user."""
        return [Path(file) for file in ([self.files] if isinstance(self.files, str) else self.files or ())]

    @property
    def stated(self) -> str:
        """The modality as the user tells it, that of a sample or of a frame as it is known; "": not told."""
        if self.modality or self.part == MIDDLE or not self.own:
            known = "" if self.own or self.sample in (None, NO_SAMPLE) else self.sample.partition("-")[0]
            return self.modality or known
        return next((read_dicom(file).modality for file in self.own if is_dicom(file)), "")


def build_case(desk: Desk) -> Case:
    """The fields at the top of the page."""
    with gr.Row():
        with gr.Column():
            files = gr.File(label="Pictures", file_count="multiple", elem_id="mg-files", height=120)
            folder = gr.UploadButton("A folder (DICOM)", file_count="directory", size="sm")
        with gr.Column():
            sample = gr.Dropdown([NO_SAMPLE, *NAMES], value=NO_SAMPLE, label="Sample", info=LICENCE, filterable=False)
            names = [("as the file tells", "")] + [
                (row.spoken or name, name) for name, row in MODALITIES.items() if name != "unknown"
            ]
            modality = gr.Dropdown(names, value="", label="Modality", filterable=False)
        with gr.Column():
            model = gr.Dropdown(desk.names, value=desk.names[0], label="Model", elem_id="mg-model", filterable=False)
            with gr.Accordion("Slice of a volume, a series or a film", open=False):
                axis = gr.Dropdown(list(AXES), value="axial", label="Axis", info="Of NIfTI", filterable=False)
                part = gr.Slider(0, 1, MIDDLE, step=0.01, label="Place", info="0: the first slice or frame")
    folder.upload(lambda sent: sent, folder, files, api_visibility="private", show_progress="hidden")
    noting(desk, files)
    return Case(files=files, sample=sample, modality=modality, axis=axis, part=part, model=model)


def noting(desk: Desk, *fields: Any) -> None:
    """Whatever is uploaded into these fields, or offered in them, goes at the end of the session."""

    def note(sent: Any, request: gr.Request) -> None:
        desk.note(str(request.session_hash), [sent] if isinstance(sent, str) else sent or ())

    for field in fields:
        field.change(note, field, None, api_visibility="private", show_progress="hidden")


@contextmanager
def faults_told() -> Iterator[None]:
    """Inside, errors of the readers become the one line that the page shows."""
    try:
        yield
    except FAULTS as error:
        raise gr.Error(error_line(error), duration=None, print_exception=False) from None


def telling(desk: Desk) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A function of the page with errors of the readers as the one line that is shown; `stopping` ends what it does."""

    def decorate(work: Callable[..., Any]) -> Callable[..., Any]:
        def told(request: gr.Request, *values: Any) -> Any:
            with faults_told(), desk.stoppable(str(request.session_hash)):
                return work(*values)

        return told

    return decorate


def stopping(desk: Desk, button: gr.Button, running: Sequence[Any]) -> None:
    """The button ends these events, and what is computed for them."""

    def stop(request: gr.Request) -> None:
        desk.stop(str(request.session_hash))

    button.click(stop, None, None, cancels=list(running), queue=False, api_visibility="private")
