"""How much is asked of region sets, and the kinds of items there are."""

from typing import Literal, get_args

from pydantic import Field

from ...grounding.settings import Settings

ItemKind = Literal["modality", "body", "organ", "presence", "side", "count", "size", "position", "relation", "caption"]
KINDS: tuple[ItemKind, ...] = get_args(ItemKind)
"""Kinds of items; each has one or several forms of question, named `kind` or `kind-form`."""


class DeriveSettings(Settings):
    """How much is asked of which images."""

    seed: int = Field(default=0, ge=0)
    """Seed of all draws; the same images and settings give the same bytes."""
    per_kind: int = Field(default=2, ge=1)
    """At most so many items of each kind for an image; captions: one."""
    kinds: tuple[ItemKind, ...] = ()
    """Only items of these kinds, such as presence, side and position; all when left out."""
    splits: tuple[str, ...] = ()
    """Only images of these splits; all when left out."""
    limit: int | None = Field(default=None, gt=0)
    """At most so many images of each set, drawn with the seed; all when left out."""
    balance: bool = True
    """Leave out items until yes and no are equally common in each set and split, and no open answer is the majority."""
