"""The images of a report, opened: `ReportText` -> `Report`."""

from collections.abc import Callable, Iterable
from typing import Any

from tqdm.auto import tqdm

from ...grounding.bad_input import BadInput, Skipped
from ...grounding.imaging.read import image_size, read_image
from ...grounding.types import AnnotatedImage
from ...grounding.vocabulary.labels import load_labels
from ...grounding.vocabulary.sentences import ground_sentences
from ..task import Report
from .rows import CONTEXT, ReportRow, ReportSettings, View, list_bad
from .sets import ReportContext
from .texts import ReportText, to_split_texts

RowReader = Callable[[Any, int, Skipped], list[ReportRow]]
"""`read_rows(settings, seed, skipped)` of a set."""


def rows_to_reports(
    name: str, read_rows: RowReader, settings: ReportSettings, context: ReportContext, skipped: Skipped
) -> list[Report]:
    """The rows of the set `name` as reports with their images, in order; studies without one go to `skipped`.

    `read` of a set of rows: `partial(rows_to_reports, name, read_rows)`. Of a study some of whose images are missing or
    torn the others are taken, and those listed; without its prior's image it goes on without. Raises `BadInput` as
    `read_rows`, and where no row of the split has a usable text.
    """
    rows = read_rows(settings, context.seed, skipped)
    texts = to_split_texts(rows, settings, context.only_split, name, skipped)
    reports: list[Report] = []
    for text in tqdm(texts, desc="images of reports", unit="report", disable=None):
        with list_bad(skipped, text.row.file, text.row.row):
            reports.append(_to_report(text, settings, skipped))
    return reports


def _to_report(text: ReportText, settings: ReportSettings, skipped: Skipped) -> Report:
    row = text.row
    views, images = _open_images(row, settings, skipped, settings.max_views)
    if not images:
        raise BadInput("no image of the study can be read.", fix="put its images there, or leave it out")
    prior_images: list[AnnotatedImage] = []
    if text.prior and text.prior.images and settings.prior in ("image", "both"):
        with list_bad(skipped, row.file, row.row, "prior of "):
            prior_images = _open_images(text.prior, settings, skipped, 1)[1]
    sentences = ground_sentences(text.text, images[0].regions, load_labels(), images[0].size_px, is_patient_side=True)
    names = tuple(view.name for view in views)
    return Report(
        report_id=row.report_id,
        image=images[0],
        others=tuple(images[1:]),
        views=names,
        text=" ".join(sentence.text for sentence in sentences),
        sentences=sentences,
        section=text.section,
        taken=row.taken,
        prior_image=prior_images[0] if prior_images else None,
        meta={**text.meta, "views": list(names)},
        **{name: getattr(text, name) for name in ("findings", "impression", "prior_text", *CONTEXT)},
    )


def _open_images(
    row: ReportRow, settings: ReportSettings, skipped: Skipped, max_images: int
) -> tuple[list[View], list[AnnotatedImage]]:
    """The first readable images of a study, frontal ones first. Raises `BadInput` where none is known to be frontal."""
    views: list[View] = []
    images: list[AnnotatedImage] = []
    # R2Gen's files are called 0.png and 1.png in every folder: the index keeps ids of one study apart.
    stems = [view.path.stem for view in row.images]
    for view in sort_frontal_first(row.images, settings.needs_frontal):
        if len(images) == max_images:
            break
        stem = view.path.stem
        name = stem if stems.count(stem) == 1 else f"{row.images.index(view)}-{stem}"
        with list_bad(skipped, row.file, row.row, f"image {view.path.name} of "):
            image = AnnotatedImage(
                image_id=f"{row.dataset}/{row.report_id}/{name}",
                image_path=view.path,
                modality=row.modality,
                group=row.group,
                dataset=row.dataset,
                split=row.split,
                size_px=read_image(view.path).size if settings.decode_images else image_size(view.path),
            )
            images.append(image)
            views.append(view)
    return views, images


def sort_frontal_first(views: Iterable[View], needs_frontal: bool) -> list[View]:
    """The views as a prompt shows them: frontal ones, those not known, the rest, each in their first order.

    Raises `BadInput` for none at all, and, if a frontal one is needed, where all are known and none is.
    """
    views = sorted(views, key=lambda view: {True: 0, None: 1, False: 2}[view.is_frontal])
    if not views:
        raise BadInput("no image.", fix="give its images, or read the set as text")
    if needs_frontal and views[0].is_frontal is False:
        names = ", ".join(view.name for view in views)
        raise BadInput(f"no frontal view ({names}).", fix="needs_frontal: false takes the study as it is")
    return views
