"""What records of a run keep: cited regions, every image, probes that pair with their originals."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from making import make_image

from medglip.eval.probes import IMAGE_PROBES, probe
from medglip.eval.records import read_records
from medglip.eval.score import score
from medglip.eval.settings import EvalSettings
from medglip.grounding.bad_input import BadInput
from medglip.grounding.evidence.evidence import PLAIN, Evidence, EvidenceSettings, select
from medglip.grounding.files import read_lines
from medglip.grounding.settings import validate
from medglip.grounding.types import Region
from medglip.grounding.vocabulary.negation import Negation
from medglip.grounding.vocabulary.sentences import Sentence
from medglip.report.records import ReportTruth
from medglip.report.task import Report
from medglip.report.text.citation_targets import to_cited
from medglip.scripts.pipeline.pipeline import Pipeline
from medglip.scripts.pipeline.training import weigh_examples
from medglip.scripts.recipe import Mix, Recipe
from medglip.vqa.probes import PROBES
from medglip.vqa.rephrasings import NUM
from medglip.vqa.task import Question

NAMES = {"model": "x", "adapter": "adapter-grounded"}
STUDY = make_image("a", group="g", size_px=(80, 50))
QUESTION = Question(
    question_id="q",
    image=STUDY,
    question="Is it left?",
    answer="yes",
    answer_type="closed",
    others=(replace(STUDY, image_id="b"),),
    meta={"pair_id": "p"},
)


def parsed(text: str, settings: EvidenceSettings) -> dict[str, Any]:
    region = Region(phrase="liver", box_xyxy_px=np.array([1, 2, 30, 40], np.float32), score=0.8)
    weak = replace(region, score=0.1)
    evidence = Evidence.of_image("predicted", (80, 50), (region, weak))
    made = QUESTION.job(QUESTION.to_example(evidence), settings, NAMES)
    return made.fields | made.parse(text, select(evidence, settings))


def test_records_name_every_image_and_what_the_question_brings() -> None:
    record = parsed("Yes [1]", EvidenceSettings())
    assert (record["image_id"], record["cluster_id"], record["parsed"]) == ("a", "t/g", "yes")
    assert (record["meta"]["image_ids"], record["meta"]["pair_id"]) == (["a", "b"], "p")
    assert "citations" not in record["meta"]
    assert "prediction" not in record


def test_every_image_of_a_scored_question_is_held_out() -> None:
    training = replace(QUESTION, image=replace(STUDY, split="train", image_id="c"))
    line: Any = SimpleNamespace(recipe=SimpleNamespace(eval_split="test"), all_items=[QUESTION, training])
    scored: Any = Pipeline.scored_images
    assert [image.image_id for image in scored.fget(line)] == ["a", "b"]


def test_cited_regions_are_kept_and_those_that_do_not_exist_counted() -> None:
    record = parsed("Yes [1, 2].", EvidenceSettings(cite=True))
    assert (record["prediction"], record["parsed"], record["meta"]["raw"]) == ("Yes.", "yes", "Yes [1, 2].")
    cited = record["meta"]["citations"]
    assert (cited["cited"], cited["missing"]) == ([1], [2])  # the second scores too low to be shown
    assert [(r["number"], r["phrase"], r["box_xyxy_px"]) for r in cited["regions"]] == [(1, "liver", [1, 2, 30, 40])]
    assert record["meta"]["image_ids"] == ["a", "b"]


def region(phrase: str, x: float, score: float = 0.8) -> Region:
    return Region(phrase=phrase, box_xyxy_px=np.array([x, 2, x + 20, 40], np.float32), score=score)


METRICS = (
    *("label_micro_f1", "label_macro_f1"),
    *("radfact_spatial_precision", "radfact_spatial_recall", "radfact_logical_f1"),
)
LIVER, SPLEEN = region("liver", 1), region("spleen", 40)
TRUE = Report(
    report_id="r",
    image=replace(STUDY, regions=(LIVER,), phrases=("liver", "spleen")),
    text="The liver.",
    sentences=(Sentence(text="The liver.", regions=(LIVER,)),),
)


def report_record(text: str, settings: EvidenceSettings, report: Report = TRUE) -> dict[str, Any]:
    evidence = Evidence.of_image("predicted", (80, 50), (region("liver", 2), SPLEEN))
    made = report.job(report.to_example(evidence), settings, NAMES)
    return made.fields | made.parse(text, select(evidence, settings))


def test_a_report_that_is_to_cite_is_kept_both_ways_and_scored_without_citations() -> None:
    record = report_record("The liver is large [1]. Bright [2, 7]. No spleen.", EvidenceSettings(cite=True))
    meta = record["meta"]
    assert record["prediction"] == record["parsed"] == "The liver is large. Bright. No spleen."
    assert meta["raw"] == "The liver is large [1]. Bright [2, 7]. No spleen."
    rows = meta["attribution"]
    assert [(row["cited"], row["grounded"], row["missing_citations"], row["support"]) for row in rows] == [
        ([0], [0], [], "both"),
        ([1], [], [7], "cited"),
        ([], [], [], "not_needed"),
    ]
    assert (meta["agreement"]["num_cited"], meta["agreement"]["num_grounded"]) == (2, 1)
    assert [[r["phrase"] for r in s["regions"]] for s in meta["sentences"]] == [["liver"], ["spleen"], []]
    assert [s["is_negated"] for s in meta["sentences"]] == [False, False, True]
    cited = meta["citations"]
    assert (cited["cited"], cited["missing"], cited["shown"]) == ([1, 2], [7], 2)
    assert [r["truth"] for r in cited["regions"]] == [[[1.0, 2.0, 21.0, 40.0]], []]
    assert [s["text"] for s in meta["reference_sentences"]] == ["The liver."]


@pytest.mark.parametrize("cite", [True, False])
def test_where_findings_are_annotated_a_report_is_judged_without_further_steps(cite: bool) -> None:
    true = region("cyst", 1)
    image = replace(STUDY, regions=(true,), phrases=("cyst", "calcification"))
    report = Report(report_id="r", image=image, text="A cyst.", sentences=(Sentence(text="A cyst.", regions=(true,)),))
    exact = ReportTruth(labels=("calcification", "cyst"))
    settings = EvidenceSettings(cite=cite)
    evidence = Evidence.of_image("predicted", (80, 50), (region("cyst", 2),))
    made = report.job(report.to_example(evidence), settings, NAMES, exact)
    record: Any = {
        "id": "r",
        "prediction": "",
        **made.fields,
        **made.parse("There is a cyst. No calcification is seen.", evidence),
    }
    record["prediction"] = record["parsed"]
    scores = score([record, record | {"id": "s", "cluster_id": "other"}], "report", EvalSettings(metrics=METRICS))
    found = {name: one.value for name, one in scores.metrics.items()}
    assert found == {**dict.fromkeys(METRICS, 1.0), "label_macro_f1": 0.5}  # no record has a calcification
    unasked = report.job(report.to_example(evidence), settings, NAMES).parse("There is a cyst.", evidence)["meta"]
    assert not {"labels", "radfact"} & set(unasked)


def test_sentences_of_a_model_that_saw_no_regions_are_grounded_in_what_the_core_finds() -> None:
    image = replace(STUDY, regions=(LIVER,), phrases=("liver", "cyst"))
    report = replace(TRUE, image=image)
    exact = ReportTruth(labels=("cyst",), evidence={"r": Evidence.of_image("predicted", (80, 50), (LIVER,))})
    made = report.job(report.to_example(Evidence.none()), PLAIN, NAMES, exact)
    meta = made.parse("The liver.", Evidence.none())["meta"]
    assert meta["radfact"]["candidate"][0]["boxes"] == meta["radfact"]["candidate"][0]["evidence_boxes"] != []
    assert meta["sentences"][0]["regions"] == []  # it was shown none


@pytest.mark.parametrize("cite", [True, False])
def test_the_switch_of_negation_reaches_regions_of_what_was_written_and_never_the_judge(cite: bool) -> None:
    image = replace(STUDY, regions=(LIVER,), phrases=("liver", "cyst"))
    evidence = Evidence.of_image("predicted", (80, 50), (region("cyst", 2),))
    found = {}
    names: tuple[Negation, ...] = ("rules", "off")
    for negation in names:
        report = replace(TRUE, image=image)
        shown, truth = EvidenceSettings(cite=cite), ReportTruth(labels=("cyst",))
        made = report.job(report.to_example(evidence), shown, NAMES, truth, negation)
        found[negation] = made.parse("No cyst.", evidence)["meta"]
        assert found[negation]["negation"] == negation
    assert [len(found[name]["sentences"][0]["regions"]) for name in found] == [0, 1]
    assert found["rules"]["labels"] == found["off"]["labels"] == {"reference": {"cyst": 0}, "prediction": {"cyst": 0}}
    statuses = [found[name]["radfact"]["candidate"][0]["status"] for name in found]
    assert statuses == ["entailed", "entailed"]


def test_citations_of_further_images_stand_apart() -> None:
    evidence = Evidence.of_image("predicted", (80, 50), (LIVER,))
    evidence = replace(evidence, images=(evidence.first, replace(evidence.first, regions=(SPLEEN,))))
    settings = EvidenceSettings(cite=True)
    report = replace(TRUE, others=(replace(STUDY, image_id="b"),))
    meta = report.job(report.to_example(evidence), settings, NAMES).parse("Bright [2]. Liver [1, 3].", evidence)["meta"]
    rows = meta["attribution"]
    assert [(row["cited"], row.get("cited_elsewhere"), row["missing_citations"]) for row in rows] == [
        ([], [2], []),
        ([0], None, [3]),
    ]
    assert [row["support"] for row in rows] == ["cited", "both"]
    assert [row.get("image") for row in meta["citations"]["regions"]] == [2, None]


def test_a_report_that_is_not_to_cite_is_kept_as_ever() -> None:
    record = report_record("The liver is large [1].", EvidenceSettings(), replace(TRUE, sentences=()))
    assert record["parsed"] == "The liver is large [1]."
    assert "prediction" not in record
    assert not {"raw", "attribution", "agreement", "citations", "reference_sentences"} & set(record["meta"])
    assert [[r["phrase"] for r in s["regions"]] for s in record["meta"]["sentences"]] == [["liver"]]


@pytest.mark.parametrize(
    ("kind", "cite", "shares"),
    [
        ("grounded", True, {"asked": 0.25, "plain": 0.25, "cited": 0.5}),
        ("plain", True, {"asked": 0.25, "plain": 0.75}),
        ("grounded", False, {"asked": 0.25, "plain": 0.75}),
    ],
)
def test_a_mix_gives_each_kind_its_share_however_many_there_are(
    kind: str, cite: bool, shares: dict[str, float]
) -> None:
    cites, mix = cite and kind == "grounded", Mix(vqa=1, report=1, cited=2)
    none = Evidence.none()
    report = TRUE.to_example(none)
    questions, reports = [QUESTION.to_example(none)] * 3, [to_cited(TRUE, report) if cites else report]
    drawn, weights = weigh_examples({"vqa": questions, "report": reports}, mix, cites)
    assert weights is not None
    found = dict.fromkeys(shares, 0.0)
    for example, weight in zip(drawn, weights, strict=True):
        is_report = example.example_id == "r"
        found["asked" if not is_report else "cited" if example.may_cite else "plain"] += weight / sum(weights)
    assert found == pytest.approx(shares)
    assert weigh_examples({"vqa": questions, "report": reports}, None, cites) == ([*questions, *reports], None)


def test_a_mix_of_nothing_that_is_there_is_refused() -> None:
    mix = Mix(vqa=1, report=0, cited=0)
    with pytest.raises(BadInput, match="share 0"):
        weigh_examples({"vqa": [], "report": [TRUE.to_example(Evidence.none())]}, mix, cites=False)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"probes": ["blank"]}, "'vqa' is needed"),
        ({"probes": ["absent"], "vqa": {"data": "vqa_rad"}}, "'absent' needs"),
    ],
)
def test_probes_without_their_questions_are_refused(values: dict[str, Any], words: str) -> None:
    data = {"data": [{"layout": "phantom", "path": "p"}]}
    with pytest.raises(ValueError, match=words):
        validate(Recipe, {"name": "t", "out_dir": "o", "phantoms": {}, "grounding": data, **values})


@pytest.mark.thorough
def test_a_run_writes_probes_that_can_be_scored(write_recipe: Callable[[Path], Path], tmp_path: Path) -> None:
    from medglip.scripts.pipeline.run import run

    path = write_recipe(tmp_path)
    more = {"probes": list(PROBES), "report": None, "sources": ["none", "predicted", "shuffled"]}
    shown = {"forms": ["text", "overlay"], "cite": True, "scores": True, "max_regions": 2, "min_score": 0.0}
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | more | {"evidence": shown}))
    run(path)
    regions = tmp_path / "run" / "probes" / "grounding.corrupt.jsonl"
    assert len(list((tmp_path / "run" / "probes").glob("*.jsonl"))) == 2 * len(PROBES) + 1
    found = [read_records([file], "grounding") for file in (tmp_path / "run" / "records" / "grounding.jsonl", regions)]
    assert len(found[1]) == 5 * len(found[0])
    assert len(probe(found, ["a", "b"]).curves["ap50"]) == 6
    for source in ("none", "predicted"):
        original = tmp_path / "run" / "records" / f"vqa-{source}.jsonl"
        files = {name: tmp_path / "run" / "probes" / f"vqa-{source}.{name}.jsonl" for name in PROBES}
        hashes = {row["id"]: row["prompt_sha256"] for row in read_lines(original)}
        for name, file in files.items():
            rows = list(read_lines(file))
            assert rows
            if name != "absent":
                names = [row["meta"].get("original", row["id"]) for row in rows]
                assert set(names) == set(hashes)
                assert all(row["id"].startswith(name) for row, name in zip(rows, names, strict=True))
                assert all(row["prompt_sha256"] != hashes[name] for row, name in zip(rows, names, strict=True))
        records = [read_records([file], "vqa") for file in (original, *files.values())]
        result = probe(records, ["records"])
        assert set(result.drops) == {
            *IMAGE_PROBES,
            *(f"corrupt-{severity}" for severity in range(1, 6)),
            *(f"rephrased-{number}" for number in range(1, NUM + 1)),
        }
        assert set(result.consistency) == {"corrupt", "rephrased"}
        assert result.counts["original"]["adversarial_pairs"] == len(list(read_lines(files["absent"]))) / 2 > 0
    cited = [row["meta"]["citations"] for row in read_lines(tmp_path / "run" / "records" / "vqa-predicted.jsonl")]
    assert all(set(entry) == {"cited", "missing", "shown", "regions"} for entry in cited)


@pytest.mark.slow
def test_a_run_that_cites_mixes_and_warms_up_keeps_both_ways_of_grounding(
    write_recipe: Callable[[Path], Path], tmp_path: Path
) -> None:
    from medglip.scripts.pipeline.run import run

    texts = tmp_path / "reports.jsonl"
    texts.write_text(
        "".join(f'{{"report": "FINDINGS: Mass {k}.\\nIMPRESSION: Mass.", "patient": "{k}"}}\n' for k in range(9))
    )
    path = write_recipe(tmp_path)
    values = yaml.safe_load(path.read_text())
    values |= {"sources": ["none", "predicted"], "evidence": {"forms": ["text"], "cite": True, "min_score": 0.0}}
    train = values["mllm_train"]["train"]
    warm_up = {"data": "generic", "generic": {"path": str(texts)}, "train": {"train": train}}
    values["mllm_train"] |= {"mix": {"vqa": 1, "report": 1, "cited": 2}, "warm_up": warm_up}
    path.write_text(yaml.safe_dump(values))
    run(path)
    rows = {
        source: list(read_lines(tmp_path / "run" / "records" / f"report-{source}.jsonl"))
        for source in values["sources"]
    }
    assert all({"sentences", "attribution", "agreement", "citations"} <= set(row["meta"]) for row in rows["predicted"])
    assert not any("attribution" in row["meta"] for row in rows["none"])
    assert all("reference_sentences" in row["meta"] for row in rows["none"] + rows["predicted"])
    assert all("[" not in row["prediction"] or row["meta"]["raw"] for row in rows["predicted"])
    assert (tmp_path / "run" / "warm-up" / "seed0" / "complete").exists()
