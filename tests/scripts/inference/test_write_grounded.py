import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import numpy as np
import pytest
from making import make_image
from PIL import Image
from typer.testing import CliRunner

from medglip.grounding.bad_input import BadInput
from medglip.grounding.evidence.evidence import Evidence, EvidenceSettings, select
from medglip.grounding.evidence.sources import Query
from medglip.grounding.grounder import Grounder
from medglip.grounding.types import NOTICE, AnnotatedImage, Region
from medglip.report.describe import NOT_BACKED
from medglip.report.output.grounded import file_stem
from medglip.report.output.schema import schema
from medglip.report.task import Report, instruction
from medglip.scripts.cli.main import app
from medglip.scripts.inference import write_report as grounded
from medglip.scripts.inference.system import TrainedSystem
from medglip.scripts.inference.systems import AdapterSystem, run_or_adapter
from medglip.scripts.inference.user_image import user_report
from medglip.scripts.inference.write_report import (
    NEVER_LEARNED,
    Outputs,
    write_description,
    write_grounded,
)
from medglip.vqa.inference.settings import GenerateSettings
from medglip.vqa.model.grounded_mllm import OUR_FILE
from medglip.vqa.model.shipped import FACTS


def region(phrase: str, x: float, score: float) -> Region:
    box = np.array([x, 4, x + 10, 14], np.float32)
    return Region(phrase=phrase, box_xyxy_px=box, score=score, embedding=np.zeros(4, np.float32))


class Finder(Grounder):
    """Finds a nodule and the heart, and is sure that there is no effusion."""

    fingerprint, embedding_dim = "finder", 4
    is_presence_calibrated = True
    found = (region("nodule", 2, 0.9), region("heart", 20, 0.8), region("nodule", 40, 0.2))
    chances = {"nodule": 0.9, "heart": 0.9, "pleural effusion": 0.02}  # noqa: RUF012 - never changed

    def ground(self, images: Sequence[AnnotatedImage], phrases: Sequence[Sequence[str]]) -> list[list[Region]]:
        return [[one for one in self.found if one.phrase in row] for row in phrases]

    def ground_with_presence(self, images: Sequence[AnnotatedImage], phrases: Sequence[Sequence[str]]) -> Any:
        regions = self.ground(images, phrases)
        return [
            (found, {p: self.chances.get(p, 0.5) for p in row}) for found, row in zip(regions, phrases, strict=True)
        ]


class Run:
    """A finished run that always says the same."""

    folder, checkpoint, finder, recipe = Path("runs/tiny"), None, Finder(), None
    grounder = SimpleNamespace(embed=lambda images, regions: [list(row) for row in regions])
    mllm = SimpleNamespace(base="tiny")
    vocabulary = {"xray": ["nodule", "heart", "pleural effusion"]}  # noqa: RUF012 - never changed

    core_name = "tiny/grounding"
    negation, generate_settings = TrainedSystem.negation, TrainedSystem.generate_settings

    def has_learned(self, task: str) -> bool | None:
        return getattr(self.recipe, task) is not None if self.recipe else None

    def __init__(self, says: str, cite: bool = False):
        self.says, self.shown = says, EvidenceSettings(cite=cite)

    def query(self, image: AnnotatedImage, others: Sequence[AnnotatedImage] = ()) -> Any:
        return Query.of([image, *others], ("nodule",))

    def regions(self, image: AnnotatedImage, phrases: Sequence[str]) -> list[Region]:
        return self.finder.ground([image], [phrases])[0]

    def evidence(self, query: Any, source: str) -> Evidence:
        parts = [self.evidence_of(one.image, one.phrases, source).first for one in query.images]
        return Evidence(source=source, images=tuple(parts))

    def evidence_of(self, image: AnnotatedImage, phrases: Sequence[str], source: Any) -> Evidence:
        regions = () if source == "none" else tuple(self.regions(image, phrases))
        return Evidence.of_image(source, image.size_px, regions)

    def evidence_settings(self, source: str) -> EvidenceSettings:
        return self.shown

    def adapter(self, source: str) -> Path:
        return self.folder / f"adapter-{source}"

    def model(self, source: str) -> None:
        return None

    def write(self, example: Any, source: str, settings: Any) -> Any:
        assert example.may_cite == self.shown.cite
        self.decoded = settings
        return SimpleNamespace(text=self.says, evidence=select(example.evidence, self.shown))


def alone(image: AnnotatedImage) -> Report:
    return Report(report_id=image.image_path.stem, image=image, text="")


@pytest.fixture
def image(tmp_path: Path) -> AnnotatedImage:
    path = tmp_path / "a.png"
    Image.new("L", (60, 40), 90).save(path)
    return make_image("a", image_path=path, modality="xray", dataset="u", size_px=(60, 40))


def test_an_adapter_that_never_learned_reports_says_so(image: AnnotatedImage, tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / OUR_FILE).write_text("{}")
    facts = {"name": "phantom", "licence": "CC0", "what": "questions", "items": 3, "images": 2}
    loose = AdapterSystem(folder)
    assert loose.has_learned("report") is None
    for what, expected in (("questions", False), ("reports", True)):
        (folder / FACTS).write_text(json.dumps([facts | {"what": what}]))
        assert loose.has_learned("report") is expected
    asked: Any = Run("Clear.")
    wrote: Any = Run("Clear.")
    asked.recipe = SimpleNamespace(report=None)
    lines = write_grounded(asked, alone(image), "none", Outputs(folder=tmp_path))
    assert lines[0] == NEVER_LEARNED
    assert NEVER_LEARNED not in write_grounded(wrote, alone(image), "none", Outputs(folder=tmp_path))


def test_a_user_s_decoding_goes_before_the_recipe_s(image: AnnotatedImage, tmp_path: Path) -> None:
    run: Any = Run("Clear.")
    run.recipe = SimpleNamespace(report=SimpleNamespace(generate=GenerateSettings(num_beams=2), negation="rules"))
    write_grounded(run, alone(image), "none", Outputs(folder=tmp_path, decoding={"max_new_tokens": 5, "no_repeat": 3}))
    assert run.decoded == GenerateSettings(num_beams=2, max_new_tokens=5, no_repeat=3)
    with pytest.raises(BadInput, match="temperature"):
        write_grounded(run, alone(image), "none", Outputs(folder=tmp_path, decoding={"temperature": 1.0}))


def test_a_run_and_an_adapter_at_once_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="both --run and --adapter"):
        run_or_adapter(tmp_path, tmp_path, None, "small")


def written(image: AnnotatedImage, out: Path, *args: Any) -> tuple[list[str], dict[str, Any]]:
    says, run, source = args
    lines = write_grounded(run(says), alone(image), source, Outputs(folder=out))
    values = json.loads((out / "a.json").read_text())
    jsonschema.validate(values, schema())
    return lines, values


def test_several_views_make_one_text_and_a_page_each(image: AnnotatedImage, tmp_path: Path) -> None:
    lateral = tmp_path / "b c.png"
    Image.new("L", (60, 40), 80).save(lateral)
    before = tmp_path / "prior.txt"
    before.write_text("No nodule\nthen.")
    told = {"body_part": "Chest", "indication": "Cough."}
    asked = user_report([image.image_path, lateral], "xray", [image.image_path], before, **told)
    assert asked.to_example(Evidence.none()).context == "X-ray of the chest."
    assert [one.image_path for one in asked.images] == [image.image_path, lateral, image.image_path]
    assert instruction(asked).startswith("Indication: Cough.\nPrior report: No nodule then.\n")
    run: Any = Run("A nodule [1]. It grew [2]. And [3]. And [4].", cite=True)
    lines = write_grounded(run, asked, "predicted", Outputs(folder=tmp_path / "out"))
    assert lines[0] == "2 images as one study: one text for all"
    assert "It grew. [in b c]" in lines
    pages = [json.loads((tmp_path / "out" / f"{file_stem(name)}.json").read_text()) for name in ("a", "b c")]
    assert [[sentence["cited"] for sentence in page["sentences"]] for page in pages] == [
        [[0], [], [], []],
        [[], [0], [], []],
    ]
    assert [page["sentences"][3]["missing_citations"] for page in pages] == [[4], [4]]
    assert [page["sentences"][1]["support"] for page in pages] == ["cited", "cited"]
    assert [page["sentences"][1].get("elsewhere") for page in pages] == [["b c"], None]
    assert [page["sentences"][2]["support"] for page in pages] == ["neither", "neither"]  # in the study before
    assert "to check: sentence 3 rests on no region of this study, cited or found." in lines
    assert [page["other_views"] for page in pages] == [["b c"], ["a"]]
    assert [page["prior"] for page in pages] == [["a.png", "report"]] * 2
    assert f'href="{file_stem("b c")}.html"' in (tmp_path / "out" / "a.html").read_text()


def test_images_of_one_name_are_refused(image: AnnotatedImage, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    other = tmp_path / "x" / "a.png"
    other.write_bytes(image.image_path.read_bytes())
    with pytest.raises(BadInput, match="two images are called 'a'"):
        user_report([image.image_path, other], None)
    with pytest.raises(BadInput, match=r"none\.txt: no such file. Fix: give a UTF-8 text file"):
        user_report([other], None, prior_report=tmp_path / "none.txt")


def test_text_is_read_both_ways_and_held_against_presence(image: AnnotatedImage, tmp_path: Path) -> None:
    says = "A nodule [1]. The heart is large. There is a pleural effusion."
    lines, values = written(image, tmp_path / "out", says, lambda text: Run(text, cite=True), "predicted")
    first, second, third = values["sentences"]
    assert (first["text"], first["cited"], first["grounded"], first["support"]) == ("A nodule.", [0], [0], "both")
    assert [values["regions"][place]["phrase"] for place in second["regions"]] == ["heart"]
    assert (second["cited"], second["support"], third["support"]) == ([], "grounded", "neither")
    assert third["contradictions"] == [{"phrase": "pleural effusion", "said": "present", "chance": 0.02}]
    assert third["text"] == "There is a pleural effusion."
    assert any("to check: sentence 3" in line for line in lines)
    assert NOTICE in lines
    assert (values["model"], values["adapter"], values["grounder"]) == (
        "tiny",
        "tiny/adapter-predicted",
        "tiny/grounding",
    )
    assert "medglip" in values["versions"]


def test_presence_is_held_against_the_text_only_where_it_means_something(image: AnnotatedImage, tmp_path: Path) -> None:
    says = "There is a pleural effusion."

    class Untrained(Run):
        vocabulary = {"xray": ["nodule"]}  # noqa: RUF012 - never changed

    class Uncalibrated(Run):
        finder = Finder()
        finder.is_presence_calibrated = False

    for run in (Untrained, Uncalibrated):
        _, values = written(image, tmp_path / run.__name__, says, run, "none")
        assert values["presences"] == {}
        assert "contradictions" not in values["sentences"][0]


@pytest.mark.parametrize(
    ("wanted", "in_recipe", "used"), [(None, None, "rules"), (None, "off", "off"), ("rules", "off", "rules")]
)
def test_who_tells_denials_is_the_users_choice_then_the_recipes(
    image: AnnotatedImage, tmp_path: Path, wanted: Any, in_recipe: str | None, used: str
) -> None:
    run: Any = Run("No nodule.")
    report = SimpleNamespace(negation=in_recipe, generate=GenerateSettings())
    run.recipe = SimpleNamespace(report=report) if in_recipe else None
    write_grounded(run, alone(image), "none", Outputs(folder=tmp_path, negation=wanted))
    values = json.loads((tmp_path / "a.json").read_text())
    jsonschema.validate(values, schema())
    assert values["negation"] == used
    assert values["sentences"][0]["is_negated"] is (used == "rules")
    assert bool(values["sentences"][0]["regions"]) is (used == "off")
    assert values["presences"]["nodule"] == 0.9
    assert ("contradictions" in values["sentences"][0]) is (used == "rules")  # with off nothing is denied


def test_a_title_says_the_modality_that_was_told(image: AnnotatedImage, tmp_path: Path) -> None:
    says = "MRI image of the chest. A nodule on the right. No pleural effusion."
    lines, values = written(image, tmp_path / "out", says, Run, "predicted")
    assert [sentence["text"] for sentence in values["sentences"]] == [
        "X-ray image of the chest.",
        "A nodule on the image's right.",
        "No pleural effusion.",
    ]
    assert values["modality"] == "xray"
    assert values["sentences"][0]["remarks"] == ["said “MRI image”; file or user told X-ray, so the words were changed"]
    # the nodule of the finder lies upper left
    assert values["sentences"][1]["remarks"][0].startswith("puts “nodule” in the right part of the image")
    assert any("to check: sentence 2 puts “nodule”" in line for line in lines)
    assert "0.60" in (tmp_path / "out" / "a.html").read_text(), "the page shows from where on a denial is flagged"


def test_the_console_prints_what_the_page_lists_to_check(image: AnnotatedImage, tmp_path: Path) -> None:
    lines, _ = written(image, tmp_path / "out", "No nodule. A fracture. A polyp.", Run, "predicted")
    page = (tmp_path / "out" / "a.html").read_text()
    checks = [line.removeprefix("to check: ") for line in lines if line.startswith("to check: ")]
    assert len(checks) == 3
    assert all(check[1:] in page for check in checks)
    assert "denied although the grounder gives it 0.60 or more (0.90)" in checks[0]
    assert checks[1:] == [f"sentence {k} rests on no region, cited or found." for k in (2, 3)]


def test_a_strange_picture_and_a_guess_are_said_everywhere(image: AnnotatedImage, tmp_path: Path) -> None:
    class Strange(Finder):
        def familiarity(self, images: Sequence[AnnotatedImage]) -> list[float]:
            return [0.2] * len(images)

    class Familiar(Finder):
        def familiarity(self, images: Sequence[AnnotatedImage]) -> list[float]:
            return [0.9] * len(images)

    class Alike(Familiar):
        def likely_modalities(self, images: Sequence[AnnotatedImage]) -> list[dict[str, float]]:
            return [{"ct": 0.8, "mr": 0.2}] * len(images)

    run: Any = Run("A nodule.")
    run.finder = Strange()
    out = tmp_path / "out"
    line = "this image is unlike anything this core has learned"
    assert any(line in said for said in write_grounded(run, alone(image), "predicted", Outputs(folder=out)))
    values = json.loads((out / "a.json").read_text())
    jsonschema.validate(values, schema())
    assert (values["in_distribution"], values["ood_score"]) == (False, 0.8)
    assert line in (out / "a.html").read_text()
    untold = replace(image, modality="unknown")
    guessed: Any = Run("CT image. A nodule.")
    guessed.finder = Familiar()
    lines = write_grounded(guessed, alone(untold), "predicted", Outputs(folder=out))
    assert lines[0] == "modality: X-ray (a guess)"
    values = json.loads((out / "a.json").read_text())
    assert values["in_distribution"] is True
    guessed.finder = Alike()  # training images say more than phrases
    assert write_grounded(guessed, alone(untold), "predicted", Outputs(folder=out))[0] == "modality: CT (a guess)"
    guessed.finder = Familiar()
    of_before: Any = Run("CT image. A nodule.")  # a core that cannot tell is silent
    lines = write_grounded(of_before, alone(untold), "predicted", Outputs(folder=out))
    assert not any("guess" in line or "learned" in line for line in lines)
    values = json.loads((out / "a.json").read_text())
    assert "in_distribution" not in values
    assert "remarks" not in values["sentences"][0]
    write_grounded(guessed, alone(untold), "predicted", Outputs(folder=out))
    values = json.loads((out / "a.json").read_text())
    assert values["sentences"][0]["text"] == "CT image.", "a guess changes no word"
    assert "the core's own guess is X-ray" in values["sentences"][0]["remarks"][0]


def test_sides_are_told_as_the_patient_s_where_it_is_known_how_the_image_lies(
    image: AnnotatedImage, tmp_path: Path
) -> None:
    chest = replace(image, body_part="chest")
    run: Any = Run("A nodule on the left.")
    for told, said in ((chest, "A nodule on the patient's right."), (image, "A nodule on the image's left.")):
        write_grounded(run, alone(told), "predicted", Outputs(folder=tmp_path, side="patient"))
        values = json.loads((tmp_path / "a.json").read_text())
        assert values["sentences"][0]["text"] == said
        assert "remarks" not in values["sentences"][0], "the nodule lies on the image's left"
    assert "the patient's are not known here" in values["notes"][-1]


def test_whose_sides_are_meant_is_told_where_a_remark_names_one(image: AnnotatedImage, tmp_path: Path) -> None:
    lines, _ = written(image, tmp_path / "out", "A nodule in the lower part.", Run, "predicted")
    assert lines[0].startswith("sides: of the image")
    assert any("its region lies in the upper left" in line for line in lines)


def test_an_unknown_engine_is_refused_before_anything_is_loaded(image: AnnotatedImage, tmp_path: Path) -> None:
    words = ["report", "write", str(image.image_path), "--run", str(tmp_path / "none"), "--negation", "of"]
    with pytest.raises(BadInput, match="did you mean 'off'"):
        CliRunner().invoke(app, words, catch_exceptions=False)


def test_without_evidence_sentences_are_still_grounded_afterwards(image: AnnotatedImage, tmp_path: Path) -> None:
    _, values = written(image, tmp_path / "out", "A nodule.", Run, "none")
    assert values["evidence"] == "none"
    assert [row["phrase"] for row in values["regions"]] == ["nodule"]
    assert values["sentences"][0]["support"] == "grounded"


def test_an_empty_text_is_an_empty_report(image: AnnotatedImage, tmp_path: Path) -> None:
    _, values = written(image, tmp_path / "out", "", Run, "none")
    assert values["sentences"] == []
    assert values["presences"] == {}


def test_a_description_rests_on_the_marked_region(
    image: AnnotatedImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def say(model: Any, examples: list[Any], settings: EvidenceSettings, generation: Any) -> list[Any]:
        asked.append((examples[0], settings))
        return [
            SimpleNamespace(
                text="Round and bright. No pleural effusion.", evidence=select(examples[0].evidence, settings)
            )
        ]

    monkeypatch.setattr(grounded, "generate", say)
    write_description(Run(""), image, "2,4,12,14", Outputs(folder=tmp_path / "out"))  # pyright: ignore[reportArgumentType]
    (example, settings), *_ = asked
    assert {"text", "crops"} <= set(settings.forms)
    assert example.evidence.regions[0].phrase == "nodule"
    values = json.loads((tmp_path / "out" / "a-2-4-12-14.json").read_text())
    jsonschema.validate(values, schema())
    assert all(sentence["regions"][0] == 0 for sentence in values["sentences"])
    assert values["regions"][0]["box_xyxy_px"] == [2, 4, 12, 14]
    assert "Description of region 1" in (tmp_path / "out" / "a-2-4-12-14.html").read_text()


def test_a_box_in_which_nothing_is_found_has_no_score_and_no_description(
    image: AnnotatedImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grounded, "generate", lambda *_: pytest.fail("the model was asked"))
    lines = write_description(Run(""), image, "30,20,40,30", Outputs(folder=tmp_path / "out"))  # pyright: ignore[reportArgumentType]
    assert any(line.endswith("was found as this box. [marked region]") for line in lines)
    assert NOT_BACKED in lines
    assert "1.00" not in (tmp_path / "out" / "a-30-20-40-30.html").read_text()


def test_a_citation_of_another_phrase_is_no_support(image: AnnotatedImage, tmp_path: Path) -> None:
    lines, values = written(image, tmp_path / "out", "An ulcer [1].", lambda text: Run(text, cite=True), "predicted")
    assert "An ulcer." in lines, "no region, and no blank, behind it"
    assert "to check: sentence 1 cites a region of “nodule”, which it does not name." in lines
    assert "to check: sentence 1 rests on no region, cited or found." in lines
    assert values["sentences"][0]["cited"] == [0]


def test_a_region_found_in_another_image_of_the_study_is_support(image: AnnotatedImage, tmp_path: Path) -> None:
    class ByImage(Finder):
        def ground(self, images: Sequence[AnnotatedImage], phrases: Sequence[Sequence[str]]) -> list[list[Region]]:
            return super().ground(images, phrases) if images[0].image_path.stem == "a" else [[] for _ in phrases]

    lateral = tmp_path / "b.png"
    Image.new("L", (60, 40), 80).save(lateral)
    run: Any = Run("A nodule. A polyp.")
    run.finder = ByImage()
    study = user_report([image.image_path, lateral], "xray")
    lines = write_grounded(run, study, "predicted", Outputs(folder=tmp_path / "out"))
    assert [line for line in lines if "rests on no region" in line] == [
        "to check: sentence 2 rests on no region, cited or found."
    ] * 2
    assert 'A nodule. <small>(in <a href="a.html">a</a>)</small>' in (tmp_path / "out" / "b.html").read_text()


def test_schema_and_coco_are_commands(image: AnnotatedImage, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["report", "schema"], catch_exceptions=False)
    assert json.loads(result.output)["title"] == "medglip-report-1"
    written(image, tmp_path / "out", "A nodule.", Run, "predicted")
    words = ["report", "coco", str(tmp_path / "out"), "--out", str(tmp_path / "coco")]
    assert "1 reports, nothing skipped" in CliRunner().invoke(app, words, catch_exceptions=False).output
    assert len(json.loads((tmp_path / "coco" / "predictions.json").read_text())) == 2


@pytest.mark.slow
def test_a_finished_run_writes_and_describes_a_dicom_file_in_every_form(tiny_run: Path, tmp_path: Path) -> None:
    from pydicom import dcmread
    from pydicom.data import get_testdata_file

    scan = str(get_testdata_file("CT_small.dcm"))
    for words in (["report", "write", scan], ["report", "describe", scan, "--box", "20,30,70,90"]):
        words += ["--run", str(tiny_run), "--out", str(tmp_path), "--dicom"]
        result = CliRunner().invoke(app, words, catch_exceptions=False)
        assert NOTICE in result.output
    stems = ("CT_small", "CT_small-20-30-70-90")
    for stem in stems:
        jsonschema.validate(json.loads((tmp_path / f"{stem}.json").read_text()), schema())
        assert "<svg" in (tmp_path / f"{stem}.html").read_text()
        assert dcmread(tmp_path / f"{stem}.sr.dcm").Modality == "SR"
