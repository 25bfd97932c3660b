import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from PIL import Image

from medglip.grounding.types import NOTICE, Region
from medglip.grounding.vocabulary.attribution import attribute, sentences_of
from medglip.grounding.vocabulary.contradictions import Contradiction
from medglip.grounding.vocabulary.labels import load_labels
from medglip.report.output.grounded import GroundedReport, from_json, to_json
from medglip.report.output.schema import schema
from medglip.report.output.write import write


def full_report() -> GroundedReport:
    mask = np.zeros((30, 40), bool)
    mask[5:15, 10:20] = True
    nodule = Region(phrase="nodule", box_xyxy_px=np.array([10, 5, 20, 15], np.float32), mask=mask, score=0.75)
    heart = Region(phrase="heart", box_xyxy_px=np.array([0, 0, 40, 30], np.float32), path=("chest", "heart"))
    regions = (nodule, heart)
    says = "A nodule [1, 9]. No effusion. A fracture. It grew [3]."
    read = attribute(says, regions, load_labels(), (40, 30), num_shown=3, here=range(1, 3))
    return GroundedReport(
        report_id="case-1",
        image="a.png",
        size_px=(40, 30),
        sentences=sentences_of(read, regions),
        regions=regions,
        model="tiny",
        grounder="small",
        evidence="predicted",
        attributions=read,
        contradictions=(Contradiction(sentence=2, phrase="fracture", said="present", chance=0.01),),
        presences={"nodule": 0.9, "fracture": 0.01},
        elsewhere={3: ("case-1-lateral",)},
    )


def test_what_is_written_follows_the_schema_and_comes_back(tmp_path: Path) -> None:
    file, _ = write(full_report(), Image.new("L", (40, 30)), tmp_path)
    values = json.loads(file.read_text())
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(values, schema())
    assert to_json(from_json(values)) == values
    assert values["notice"] == NOTICE == "Research use, not for diagnosis."
    assert values["sentences"][0] | {"text": ""} == {
        "text": "",
        "is_negated": False,
        "regions": [0],
        "cited": [0],
        "grounded": [0],
        "missing_citations": [9],
        "is_normal": False,
        "support": "both",
    }
    assert values["sentences"][2]["contradictions"] == [{"phrase": "fracture", "said": "present", "chance": 0.01}]


def test_files_of_before_are_valid_and_read() -> None:
    values = to_json(full_report())
    for key in ("presences", "agreement", "grounder", "negation", "forms", "other_views"):
        del values[key]
    values["sentences"] = [
        {key: sentence[key] for key in ("text", "is_negated", "regions")} for sentence in values["sentences"]
    ]
    jsonschema.validate(values, schema())
    old = from_json(values)
    assert old.attributions == ()
    assert old.contradictions == ()
    assert old.agreement is None


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"image": "a/b.png"}, "image"),
        ({"format": "other"}, "format"),
        ({"patient": "x"}, "patient"),
        ({"size_px": [40]}, "size_px"),
        ({"presences": {"nodule": 1.5}}, "presences.nodule"),
    ],
)
def test_other_json_is_refused_by_name(change: dict, named: str) -> None:
    with pytest.raises(jsonschema.ValidationError) as refused:
        jsonschema.validate(to_json(full_report()) | change, schema())
    assert named in f"{refused.value.json_path} {refused.value.message}"
