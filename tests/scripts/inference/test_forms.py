"""What an adapter is shown of its evidence: some of the forms it learned, none of it, and who answers without."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from making import make_image
from typer.testing import CliRunner

from medglip.grounding.bad_input import BadInput
from medglip.grounding.evidence.evidence import PLAIN, EvidenceSettings
from medglip.grounding.evidence.sources import Query
from medglip.scripts.cli.main import app
from medglip.scripts.inference.systems import AdapterSystem, RulesSystem, RunSystem, load_system

Adapter = Callable[..., Path]


@pytest.fixture
def adapter(tmp_path: Path) -> Adapter:
    """Writes what an adapter says of itself; nothing here loads its weights."""

    def write(name: str, settings: EvidenceSettings) -> Path:
        (tmp_path / name).mkdir()
        (tmp_path / name / "medglip_mllm.json").write_text(json.dumps({"evidence": settings.model_dump(mode="json")}))
        return tmp_path / name

    return write


def test_forms_are_a_part_of_those_learned_and_another_is_refused_by_name(adapter: Adapter) -> None:
    system = load_system(adapter("a", EvidenceSettings(forms=("text", "tokens", "crops"))))
    system.show_only(None)
    assert system.evidence_settings("predicted").forms == ("text", "tokens", "crops")
    system.show_only("crops+text")
    assert system.evidence_settings("predicted").forms == ("crops", "text")
    assert system.learned_forms == ("text", "tokens", "crops")
    for given, said in (("text+overlay", "never learned the form 'overlay'"), ("croops", "crops"), ("", "no form")):
        with pytest.raises(BadInput, match=said):
            system.show_only(given)
    with pytest.raises(BadInput, match="never learned the form 'text'"):
        load_system(adapter("p", PLAIN)).show_only("text")
    AdapterSystem(None, base="base").show_only("text+crops")  # a base alone reads what needs no vectors
    with pytest.raises(BadInput, match="'tokens'"):
        RulesSystem().show_only("tokens")


@pytest.mark.parametrize(
    "words",
    [
        ["vqa", "predict", "--dataset", "phantom", "--root", "x", "--out", "r.jsonl"],
        ["vqa", "ask", "a.png", "Why?"],
        ["report", "predict", "--dataset", "phantom", "--root", "x", "--out", "r.jsonl"],
        ["report", "write", "a.png"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_every_command_refuses_a_form_that_was_never_learned(
    words: list[str], adapter: Adapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = adapter("a", EvidenceSettings(forms=("text",)))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="'a' never learned the form 'crops'"):
        CliRunner().invoke(app, [*words, "--adapter", str(folder), "--forms", "text+crops"], catch_exceptions=False)
    assert not list(tmp_path.glob("r.*"))


def test_none_is_a_plain_adapter_and_the_grounded_one_without_evidence_is_withheld(adapter: Adapter) -> None:
    grounded = adapter("small", EvidenceSettings(forms=("text",)))
    system = load_system(grounded)
    assert system.adapter("withheld") == system.adapter("predicted") == grounded
    with pytest.raises(BadInput, match=r"no adapter 'small-plain' lies beside it.*--evidence withheld"):
        system.adapter("none")
    plain = adapter("small-plain", PLAIN)
    assert system.adapter("none") == plain
    assert load_system(plain).adapter("none") == plain
    evidence = system.evidence(Query.of([make_image("a")]), "withheld")
    assert (evidence.source, evidence.images) == ("withheld", ())
    with pytest.raises(BadInput, match="needs a data set"):
        system.evidence(Query.of([make_image("a")]), "shuffled")


@pytest.mark.slow
def test_of_a_run_none_is_answered_by_its_plain_adapter_whichever_is_named(tiny_run: Path) -> None:
    grounded, plain = tiny_run / "adapter-grounded", tiny_run / "adapter-plain"
    for chosen in (None, grounded):
        system = RunSystem(tiny_run, adapter=chosen)
        assert [system.adapter(source) for source in ("none", "withheld", "oracle")] == [plain, grounded, grounded]
    assert RunSystem(tiny_run, adapter=plain).learned_forms == ()
