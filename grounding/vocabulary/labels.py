"""The label tree of `labels.yaml`: organ -> part -> finding, synonyms, descriptions, what is usual; words to labels."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ..bad_input import ROW_ERRORS, BadInput, nearest
from ..foreign import read_yaml
from ..modalities import parse_modality

VERSION = 2
"""The version of the file that this release reads; a checkpoint can name the one it was trained with."""
LEVELS = ("organ", "part", "finding")
"""Levels of labels, from the outside in."""

_FILE = Path(__file__).with_name("labels.yaml")
_LISTS = ("path", "synonyms", "modalities", "codes", "also", "overlaps")
_KEYS = (*_LISTS, "description", "region", "kind", "is_a", "sides")
_WORDS = re.compile(r"[a-z0-9]+")
_SINGULARS = {
    "vertebrae": "vertebra",
    "nuclei": "nucleus",
    "metastases": "metastasis",
    "tumour": "tumor",
    "tumours": "tumor",
    "oedema": "edema",
    "haematoma": "hematoma",
    "haematomas": "hematoma",
}


@dataclass(frozen=True, kw_only=True)
class Label:
    """One word of the house; the keys are those of `labels.yaml`, explained at its head.

    `path` lies above it, from the outside in; `modalities` are those it is usual in; `kind` and `region` are empty
    where they follow from the path; `is_a`: a kind of the label above it; `overlaps` can be true of the same region.
    """

    path: tuple[str, ...] = ()
    synonyms: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    overlaps: tuple[str, ...] = ()
    description: str = ""
    region: str = ""
    kind: str = ""
    is_a: bool = False
    sides: bool = False


@dataclass(frozen=True, kw_only=True)
class LabelTree:
    """Labels by name. Any method takes a label, a synonym, a plural or another spelling; unknown words are no error.

    `regions`: body region -> the roots of the paths that lie in it. Raises `BadInput` for a word with two meanings,
    a circle, and an overlap with what is no label.
    """

    labels: Mapping[str, Label]
    regions: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    _names: dict[tuple[str, ...], str] = field(default_factory=dict, init=False, repr=False)
    _codes: dict[tuple[str, ...], str] = field(default_factory=dict, init=False, repr=False)
    _shared: dict[tuple[str, ...], list[str]] = field(default_factory=dict, init=False, repr=False)
    _above: dict[str, tuple[str, ...]] = field(default_factory=dict, init=False, repr=False)
    _levels: dict[str, str] = field(default_factory=dict, init=False, repr=False)
    _below: dict[str, list[str]] = field(default_factory=dict, init=False, repr=False)
    _beside: dict[tuple[str, ...], list[str]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        for label, entry in self.labels.items():
            self._name(label, (label, *entry.synonyms), self._names)
            for word in entry.also:
                self._shared.setdefault(_stems(word), []).append(label)
            if unknown := set(entry.overlaps) - set(self.labels):
                name = min(unknown)
                raise BadInput(f"{label!r} overlaps {name!r}, which is no label.", fix=nearest(name, self.labels))
        for label, entry in self.labels.items():
            self._name(label, entry.codes, self._codes)
            self._above[label] = self._walk_up(label, ())
            is_below_finding = any(self.labels[name].kind == "finding" for name in self._above[label])
            usual = "finding" if is_below_finding else "part" if self._above[label] else "organ"
            self._levels[label] = entry.kind or usual
            self._beside.setdefault(entry.path, []).append(label)
            for above in self._above[label]:
                self._below.setdefault(above, []).append(label)

    def _name(self, label: str, words: tuple[str, ...], names: dict[tuple[str, ...], str]) -> None:
        for word in words:
            known = self._names.get(_stems(word)) or names.setdefault(_stems(word), label)
            if known != label:
                raise BadInput(f"{word!r} means both {known!r} and {label!r}.", fix="keep it under one label")

    def _walk_up(self, label: str, below: tuple[str, ...]) -> tuple[str, ...]:
        """Labels above, outermost first, with what lies above those."""
        if label in below:
            raise BadInput(f"{label!r} lies above itself.", fix="take it out of the path of a label above it")
        parts = [part for part in self.labels[label].path if part in self.labels]
        return tuple(dict.fromkeys(name for p in parts for name in (*self._walk_up(p, (*below, label)), p)))

    # --- words to labels ---------------------------------------------------------------------------------------------

    def label(self, phrase: str) -> str:
        """The label that the phrase names, else the phrase itself in lower case and single spaces.

        Names that only data sets use count too: "rib_left_1" is a left rib.
        """
        return self._find(_stems(phrase)) or " ".join(phrase.lower().split())

    def candidates(self, word: str, *, body_region: str | None = None) -> tuple[str, ...]:
        """Labels that a word of another data set may mean, in file order: none if unknown, several if ambiguous.

        "tumor" may be one of the brain, of the liver ...; `body_region` keeps those of one region, else those of any.
        """
        key = _stems(word)
        named = {*self._shared.get(key, ()), self._find(key)}
        meant = tuple(label for label in self.labels if label in named)
        if body_region is None:
            return meant
        regions = [self.body_region(label) for label in meant]
        region = body_region if body_region in regions else "any"
        return tuple(label for label, where in zip(meant, regions, strict=True) if where == region)

    def phrases_in(self, text: str) -> tuple[str, ...]:
        """Labels named in the text, whole words only, in order of occurrence, each once.

        A longer name hides the shorter ones inside it: "left lung" is not also "lung".
        """
        return tuple(dict.fromkeys(label for _, _, label in self.mentions_in(text)))

    def mentions_in(self, text: str) -> tuple[tuple[int, int, str], ...]:
        """Every mention of a label in the text in order: [start, end) in characters, and the label."""
        characters = [match.span() for match in _WORDS.finditer(_lower(text))]
        words = _stems(text)
        longest = max(map(len, self._names), default=0)
        spans = [(i, j) for i in range(len(words)) for j in range(i + 1, min(i + longest, len(words)) + 1)]
        names = [span for span in spans if words[slice(*span)] in self._names]
        is_taken = [False] * len(words)
        mentions: list[tuple[int, int, str]] = []
        for start, stop in sorted(names, key=lambda span: (span[0] - span[1], span[0])):
            # The longest names first: "left lung base" takes its words, and "left lung" and "lung" find them taken.
            if not any(is_taken[start:stop]):
                is_taken[start:stop] = [True] * (stop - start)
                mentions.append((characters[start][0], characters[stop - 1][1], self._names[words[start:stop]]))
        return tuple(sorted(mentions))

    def _find(self, key: tuple[str, ...]) -> str | None:
        """The label of a name or code; a side behind it ("kidney_right") is read as before it."""
        sides = [i for i, word in enumerate(key) if word in ("left", "right")]
        keys = [key]
        if len(sides) == 1:
            side = sides[0]
            keys.append((key[side], *key[:side], *key[side + 1 :]))  # ("rib", "left", "1") as ("left", "rib", "1")
        return next((names[k] for k in keys for names in (self._names, self._codes) if k in names), None)

    # --- what is known of a label ------------------------------------------------------------------------------------

    def path(self, phrase: str) -> tuple[str, ...]:
        """Organ -> part -> the label itself; empty for a phrase that the tree does not hold."""
        label = self.label(phrase)
        return (*self.labels[label].path, label) if label in self.labels else ()

    def synonyms(self, phrase: str) -> tuple[str, ...]:
        """Other words for the label."""
        return self._entry(phrase).synonyms

    def description(self, phrase: str) -> str:
        """How it looks in an image, in a few words; empty for a phrase that the tree does not hold."""
        return self._entry(phrase).description

    def body_region(self, phrase: str) -> str:
        """Body region of the label ("chest"; "any" for words of all of them); empty for an unknown phrase."""
        if not (path := self.path(phrase)):
            return ""
        # Its own region first, then that of its root, then what the table has for the root.
        by_root = next((region for region, roots in self.regions.items() if path[0] in roots), path[0])
        return self._entry(phrase).region or self._entry(path[0]).region or by_root

    def level(self, phrase: str) -> str:
        """`organ`, `part` or `finding`; empty for a phrase that the tree does not hold."""
        return self._levels.get(self.label(phrase), "")

    def _entry(self, phrase: str) -> Label:
        return self.labels.get(self.label(phrase), Label())

    # --- above, below, beside ----------------------------------------------------------------------------------------

    def ancestors(self, phrase: str) -> tuple[str, ...]:
        """Labels above the phrase, from the outside in: what is true of it may be true of them, so never negatives."""
        return self._above.get(self.label(phrase), ())

    def kinds_of(self, phrase: str) -> tuple[str, ...]:
        """The ancestors that it is a kind of, from the outside in: its regions are regions of theirs as well.

        Of its other ancestors it is a part, or a finding in them: they are there too, yet its box is not theirs.
        """
        label, above = self.label(phrase), self.ancestors(phrase)
        if not above:
            return ()
        parent = above[-1]
        is_finding = self._levels[label] == self._levels[parent] == "finding"
        if not (is_finding or self.labels[label].is_a or label in (f"left {parent}", f"right {parent}")):
            return ()
        return (*self.kinds_of(parent), parent)

    def descendants(self, phrase: str) -> tuple[str, ...]:
        """Labels below the phrase, in file order."""
        return tuple(self._below.get(self.label(phrase), ()))

    def is_near(self, first: str, second: str) -> bool:
        """Whether both words can be true of one region: the same label, one above the other, or listed to overlap."""
        one, two = self.label(first), self.label(second)
        if one == two or one in self.ancestors(two) or two in self.ancestors(one):
            return True
        return two in self._entry(one).overlaps or one in self._entry(two).overlaps

    def siblings(self, phrase: str) -> tuple[str, ...]:
        """Labels of the same parent and level, and the one of the other side: hard negatives for its regions.

        Never an ancestor, a descendant, or a label that can be true of the same region (`overlaps`, both ways);
        words of any region, which have no parent, have none.
        """
        label = self.label(phrase)
        entry = self._entry(label)
        if not entry.path:
            return ()
        near = {label, *entry.overlaps, *self._above[label], *self._below.get(label, ())}
        beside = self._beside[entry.path]
        sides = {"left": "right", "right": "left"}
        twin = " ".join(sides.get(word, word) for word in label.split())  # the label itself where it has no side
        twins = [twin] if twin in self.labels and twin not in beside else []
        same = [name for name in (*beside, *twins) if name not in near and label not in self.labels[name].overlaps]
        return tuple(name for name in same if self._levels[name] == self._levels[label])


def _stems(text: str) -> tuple[str, ...]:
    """Words without case, hyphens or plural: a key for comparing, not for showing ("pancreas" becomes "pancrea")."""
    return tuple(map(_stem, _WORDS.findall(_lower(text))))


def _lower(text: str) -> str:
    """Lower case, letter for letter, so that places in it are places in the text: "İ" alone has two small letters."""
    lower = text.lower()
    return lower if len(lower) == len(text) else "".join(letter.lower()[0] for letter in text)


@cache  # a text repeats its words, and every look-up of a label takes stems
def _stem(word: str) -> str:
    if word in _SINGULARS:
        return _SINGULARS[word]
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith("sses"):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


@cache
def load_labels() -> LabelTree:
    """The label tree of the house, read once."""
    return read_labels(_FILE)


def read_labels(file: Path) -> LabelTree:
    """A label tree from a YAML file like `labels.yaml`: `version`, `sources`, `regions`, `labels`.

    Raises `BadInput` naming the file for wrong YAML, another version, an unknown key, kind or modality, a word with
    two meanings, and a label above itself.
    """
    try:
        rows = read_yaml(file)
        _refuse_unknown(rows, ("version", "sources", "regions", "labels"))
        if rows.get("version") != VERSION:
            raise BadInput(f"version is {rows.get('version')!r}.", fix=f"this release reads version {VERSION}")
        written = {str(name): _read_label(str(name), row or {}) for name, row in (rows.get("labels") or {}).items()}
        labels: dict[str, Label] = {}
        for name, label in written.items():
            labels[name] = label
            # kidney with `sides`: "right kidney" and "left kidney", sides of the patient, stand below it.
            for side in ("right", "left") if label.sides else ():
                if (sided := f"{side} {name}") not in written:
                    labels[sided] = Label(
                        path=(*label.path, name),
                        synonyms=tuple(f"{side} {word}" for word in label.synonyms),
                        description=f"{label.description}, on the patient's {side}",
                        region=label.region,
                        kind=label.kind,
                    )
        regions = {region: tuple(roots) for region, roots in (rows.get("regions") or {}).items()}
        return LabelTree(labels=labels, regions=regions)
    except BadInput as error:
        what = "not a label tree: " if error.file else ""  # it could not be read
        raise BadInput(what + error.problem, file=file, fix=error.fix) from error
    except ROW_ERRORS as error:
        fix = "`version: 2`, then `labels: {label: {path: [...]}}`"
        raise BadInput(f"not a label tree: {error}", file=file, fix=fix) from error


def _read_label(name: str, row: dict[str, Any]) -> Label:
    _refuse_unknown(row, _KEYS, f" of {name!r}")
    if row.get("kind", LEVELS[0]) not in LEVELS:
        raise BadInput(f"kind of {name!r} is {row['kind']!r}.", fix=nearest(str(row["kind"]), LEVELS))
    for key in _LISTS:
        if not isinstance(row.get(key), list | None):
            raise BadInput(f"{key} of {name!r} is {row[key]!r}.", fix=f"a list: `{key}: [{row[key]}]`")
    values = {key: tuple(map(str, row.get(key) or ())) for key in _LISTS}
    values["modalities"] = tuple(map(parse_modality, values["modalities"]))
    words = {key: str(row.get(key) or "") for key in ("description", "region", "kind")}
    flags = {key: bool(row.get(key)) for key in ("is_a", "sides")}
    return Label(**values, **words, **flags)  # pyright: ignore[reportArgumentType]


def _refuse_unknown(row: dict[str, Any], keys: tuple[str, ...], where: str = "") -> None:
    if unknown := set(row) - set(keys):
        name = min(map(str, unknown))
        raise BadInput(f"unknown key {name!r}{where}.", fix=nearest(name, keys))
