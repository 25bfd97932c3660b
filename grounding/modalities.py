"""Imaging modalities: one row of `MODALITIES` is all that a further one needs."""

from dataclasses import dataclass

from .bad_input import BadInput, nearest


@dataclass(frozen=True, kw_only=True)
class Modality:
    """The names and properties of one modality."""

    image_words: str
    """What one of its images is called in captions: "X-ray image"."""
    spoken: str = ""
    """Its name in questions and answers; "": it is never asked about."""
    other_names: tuple[str, ...] = ()
    """Further names in data sets and of users, in lower case."""
    dicom_codes: tuple[str, ...] = ()
    """Values of the DICOM tag Modality (0008,0060)."""
    is_turned: bool = False
    """Its images have no upside and show no sides of the body: training may mirror and turn them."""
    looks_like: tuple[str, ...] = ()
    """Modalities that its images may be called as well, so that nothing denies it."""
    is_windowed: bool = False
    """Its grey values depend on the window that somebody chose: training may choose another one."""
    has_tiny_parts: bool = False
    """What is looked for is often a few pixels wide among many alike: training may look at a piece of an image."""
    window: tuple[float, float] | None = None
    """Stored values that volumes show from black to white where the data set states no window; None: by percentiles."""


MODALITIES: dict[str, Modality] = {
    "unknown": Modality(image_words="image", other_names=("",)),
    "xray": Modality(
        image_words="X-ray image",
        spoken="X-ray",
        other_names=("x-ray", "x ray", "radiograph", "chest x-ray"),
        dicom_codes=("CR", "DX"),
        looks_like=("mammography", "angiography"),
    ),
    "ct": Modality(
        image_words="CT image",
        spoken="CT",
        dicom_codes=("CT",),
        is_windowed=True,
        looks_like=("pet",),
        window=(-160.0, 240.0),  # HU: the usual abdominal window, level 40 and width 400
    ),
    "mr": Modality(
        image_words="MRI image",
        spoken="MRI",
        other_names=("mri",),
        dicom_codes=("MR",),
        is_windowed=True,
    ),
    "ultrasound": Modality(image_words="ultrasound image", spoken="ultrasound", dicom_codes=("US",)),
    "endoscopy": Modality(
        image_words="endoscopy image",
        spoken="endoscopy",
        other_names=("colonoscopy",),
        dicom_codes=("ES",),
        is_turned=True,
    ),
    "dermoscopy": Modality(
        image_words="dermoscopy image",
        spoken="dermoscopy",
        dicom_codes=("DMS",),
        is_turned=True,
        looks_like=("photograph",),
    ),
    "fundus": Modality(image_words="fundus photograph", spoken="fundus photography", dicom_codes=("OP",)),
    "histology": Modality(
        image_words="histology image",
        spoken="histology",
        other_names=("histopathology",),
        dicom_codes=("SM",),
        is_turned=True,
        has_tiny_parts=True,
        looks_like=("microscopy", "cytology"),  # it is seen through a microscope
    ),
    "microscopy": Modality(
        image_words="microscopy image",
        spoken="microscopy",
        other_names=(
            "blood smear",
            "blood smear microscopy",
            "fluorescence microscopy",
            "fluorescence",
            "light microscopy",
        ),
        dicom_codes=("GM",),
        is_turned=True,
        has_tiny_parts=True,
        looks_like=("histology", "cytology", "em"),
    ),
    "mammography": Modality(
        image_words="mammogram",
        spoken="mammography",
        other_names=("mammogram", "mammograms"),
        dicom_codes=("MG",),
        looks_like=("xray",),
    ),
    "angiography": Modality(
        image_words="X-ray angiogram",
        spoken="X-ray angiography",
        other_names=("x-ray angiography", "xray angiography", "coronary angiography", "angiogram"),
        dicom_codes=("XA",),
        looks_like=("xray",),
    ),
    "oct": Modality(
        image_words="OCT image",
        spoken="OCT",
        other_names=(
            *("oct angiography", "octa", "oct-a"),
            *("optical coherence tomography", "optical coherence tomography angiography"),
        ),
        dicom_codes=("OPT", "OCT", "OPTENF"),
    ),
    "pet": Modality(
        image_words="PET/CT image",
        spoken="PET/CT",
        other_names=("pet/ct", "pet-ct", "pet ct", "fdg-pet"),
        dicom_codes=("PT",),
        looks_like=("ct",),
    ),
    "em": Modality(
        image_words="electron microscopy image",
        spoken="electron microscopy",
        other_names=(
            *("electron microscopy", "scanning electron microscopy", "transmission electron microscopy"),
            *("sem", "tem"),
        ),
        is_turned=True,
        has_tiny_parts=True,
        looks_like=("microscopy",),
    ),
    "cytology": Modality(
        image_words="cytology image",
        spoken="cytology",
        other_names=("pap smear", "cervical cytology", "liquid-based cytology"),
        is_turned=True,
        has_tiny_parts=True,
        looks_like=("histology", "microscopy"),
    ),
    "photograph": Modality(
        image_words="clinical photograph",
        spoken="clinical photography",
        other_names=("clinical photograph", "clinical photography", "clinical photo", "photo"),
        dicom_codes=("XC",),  # external-camera photography
        looks_like=("dermoscopy",),
    ),
}
"""Modalities by our names; `unknown` is a trained choice, not an error. A core keeps the names it was trained with in
its configuration: a new row changes no trained core, for which the new modality is `unknown`."""


def parse_modality(name: str | None) -> str:
    """Our name of a modality written in a data set's, a DICOM header's or a user's words.

    Raises `BadInput` with the nearest valid name for anything not known.
    """
    word = (name or "").strip().lower()  # "" is a name of `unknown`
    for ours, modality in MODALITIES.items():
        if word == ours or word in modality.other_names or word.upper() in modality.dicom_codes:
            return ours
    raise BadInput(f"unknown modality {name!r}.", fix=nearest(word, MODALITIES))
