"""The images of a report, opened: `ReportText` -> `Report`."""

from collections.abc import Iterable, Sequence

from tqdm.auto import tqdm

from ...grounding.bad_input import BadInput, Skipped
from ...grounding.imaging.read import image_size, read_image
from ...grounding.types import AnnotatedImage
from ...grounding.vocabulary.labels import load_labels
from ...grounding.vocabulary.sentences import ground_sentences
from ..task import Report
from .rows import CONTEXT, ReportRow, ReportSettings, View, place, placed
from .texts import ReportText


def to_reports(texts: Sequence[ReportText], settings: ReportSettings, skipped: Skipped) -> list[Report]:
    """The texts with their images, in order; what cannot be shown goes to `skipped`.

    Of a study some of whose images are missing or torn the others are taken, and those listed; without its prior's
    image it goes on without.
    """
    found: list[Report] = []
    for text in tqdm(texts, desc="images of reports", unit="report", disable=None):
        try:
            found.append(_report(text, settings, skipped))
        except BadInput as error:
            skipped.add(place(text.row), placed(text.row, error))
    return found


def _report(text: ReportText, settings: ReportSettings, skipped: Skipped) -> Report:
    row = text.row
    views, images = _opened(row, settings, skipped, settings.max_views)
    if not images:
        raise BadInput("no image of the study can be read.", fix="put its images there, or leave it out")
    priors = _prior_images(text, settings, skipped)
    told = ground_sentences(text.text, images[0].regions, load_labels(), images[0].size_px, is_patient_side=True)
    return Report(
        report_id=row.report_id,
        image=images[0],
        others=tuple(images[1:]),
        views=tuple(view.name for view in views),
        text=" ".join(sentence.text for sentence in told),
        sentences=told,
        section=text.section,
        taken=row.taken,
        prior_image=priors[0] if priors else None,
        meta={**text.meta, "views": [view.name for view in views]},
        **{name: getattr(text, name) for name in ("findings", "impression", "prior_text", *CONTEXT)},
    )


def _prior_images(text: ReportText, settings: ReportSettings, skipped: Skipped) -> list[AnnotatedImage]:
    """The first image of the study before, where it is wanted and can be read."""
    if text.prior is None or not text.prior.images or settings.prior not in ("image", "both"):
        return []
    try:
        return _opened(text.prior, settings, skipped, 1)[1]
    except BadInput as error:
        skipped.add(f"prior of {place(text.row)}", placed(text.row, error))
        return []


def _opened(
    row: ReportRow, settings: ReportSettings, skipped: Skipped, most: int
) -> tuple[list[View], list[AnnotatedImage]]:
    """The first readable images of a study, frontal ones first. Raises `BadInput` where none is known to be frontal."""
    views = frontal_first(row.images, settings.needs_frontal)
    shown: list[View] = []
    images: list[AnnotatedImage] = []
    for view in views:
        if len(images) == most:
            break
        try:
            images.append(_image(row, view, settings.decode_images))
            shown.append(view)
        except BadInput as error:
            skipped.add(f"image {view.path.name} of {place(row)}", error)
    return shown, images


def frontal_first(images: Iterable[View], needs_frontal: bool) -> list[View]:
    """The views in the order shown: frontal ones, those not known, the rest, each in their first order.

    Raises `BadInput` for none at all, and, if a frontal one is needed, where all are known and none is.
    """
    views = sorted(images, key=lambda view: {True: 0, None: 1, False: 2}[view.is_frontal])
    if not views:
        raise BadInput("no image.", fix="give its images, or read the set as text")
    if needs_frontal and views[0].is_frontal is False:
        names = ", ".join(view.name for view in views)
        raise BadInput(f"no frontal view ({names}).", fix="needs_frontal: false takes the study as it is")
    return views


def _image(row: ReportRow, view: View, is_decoded: bool) -> AnnotatedImage:
    stems = [image.path.stem for image in row.images]
    name = view.path.stem if stems.count(view.path.stem) == 1 else f"{row.images.index(view)}-{view.path.stem}"
    return AnnotatedImage(
        image_id=f"{row.dataset}/{row.report_id}/{name}",
        image_path=view.path,
        modality=row.modality,
        group=row.group,
        dataset=row.dataset,
        split=row.part,
        size_px=read_image(view.path).size if is_decoded else image_size(view.path),
    )
