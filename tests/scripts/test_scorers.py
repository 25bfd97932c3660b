"""CheXbert from a folder of weights, and the sub-scores of RadCliQ, against what is counted by hand."""

import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny_chexbert import write_chexbert
from transformers import PreTrainedTokenizerBase
from transformers.models.bert.tokenization_bert import BertTokenizer

from medglip.eval.metrics.clinical.radgraph import Graphs
from medglip.eval.settings import EvalSettings
from medglip.grounding.bad_input import BadInput
from medglip.scripts.scorers import radgraph
from medglip.scripts.scorers.chexbert import CheXbert, CheXbertLabeler
from medglip.scripts.scorers.clinical import missing_scores
from medglip.scripts.scorers.radcliq import bleu_2, graph_f1


def test_labels_and_vectors_are_those_of_the_network(tmp_path: Path) -> None:
    labeler = CheXbertLabeler(write_chexbert(tmp_path / "chexbert"), batch_size=2)
    reports = ["edema", "a\n much   longer report of the lungs", ""]
    marks = labeler.labels(reports)
    assert [len(row) for row in marks] == [14, 14, 14]
    assert {mark for row in marks for mark in row} <= {0, 1, -1}
    assert all(row[-1] in (0, 1) for row in marks)  # No Finding: no or yes
    # one report by hand: no padding, classes 0 1 2 3 are not mentioned, positive, negative, uncertain
    tokenizer = BertTokenizer(vocab=str(tmp_path / "chexbert" / "vocab.txt"))
    inputs = tokenizer(["a much longer report of the lungs"], return_tensors="pt")
    assert tokenizer.unk_token_id not in inputs["input_ids"]
    model: CheXbert = labeler.model
    with torch.no_grad():
        vector = model.bert(**inputs).last_hidden_state[0, 0]
        classes = [int(head(vector).argmax()) for head in model.linear_heads]
    assert marks[1] == [(0, 1, 0, -1)[kind] for kind in classes]
    assert torch.allclose(labeler.vectors(reports)[1], vector, atol=1e-5)


def test_weights_of_another_network_are_one_line(tmp_path: Path) -> None:
    folder = write_chexbert(tmp_path / "chexbert")
    torch.save({"model_state_dict": {"bert.other": torch.zeros(1)}}, folder / "chexbert.pth")
    with pytest.raises(BadInput, match=r"chexbert\.pth: weights of another network"):
        CheXbertLabeler(folder)
    (folder / "chexbert.pth").write_bytes(b"torn")
    with pytest.raises(BadInput, match=r"chexbert\.pth: missing or damaged"):
        CheXbertLabeler(folder)
    (folder / "vocab.txt").unlink()
    with pytest.raises(BadInput, match=r"vocab\.txt: missing or damaged"):
        CheXbertLabeler(folder)


def test_entities_and_relations_count_alike() -> None:
    effusion = {"tokens": "effusion", "label": "OBS-DP", "relations": [["located_at", "2"]]}
    left = {"tokens": "left", "label": "ANAT-DP", "relations": []}
    reference = {"1": effusion, "2": left}
    prediction = {"1": {**effusion, "relations": []}, "2": left, "3": {**left, "tokens": "heart"}}
    graphs = Graphs.model_validate({"reference": reference, "prediction": prediction})
    assert graph_f1(graphs) == pytest.approx((2 * 2 / 5 + 0) / 2)
    assert graph_f1(Graphs.model_validate({"reference": reference, "prediction": reference})) == 1


def test_bleu_2_is_of_one_report() -> None:
    scores = bleu_2(["the heart is large", "clear"], ["the heart is large", "edema"])
    assert scores[0] == pytest.approx(1, abs=1e-6)
    assert scores[1] < 1e-3


class Package:
    """`radgraph.RadGraph` as version 0.1.18 is called, and as it calls tokenizers."""

    def __init__(self, model_type: str = "radgraph-xl", model_cache_dir: str = "", **_others: Any):
        if not (Path(model_cache_dir) / model_type / "weights.th").is_file():
            raise OSError("no\nnetwork")
        self.tokenizer: Any = BertTokenizer(vocab={"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "effusion": 3})

    def __call__(self, reports: Sequence[str]) -> dict[str, Any]:
        ids = [self.tokenizer.encode_plus(text, add_special_tokens=False)["input_ids"] for text in reports]
        words = [self.tokenizer.build_inputs_with_special_tokens(row) for row in ids]
        return {str(n): {"entities": {"1": {"tokens": str(row), "label": ""}}} for n, row in enumerate(words)}


def test_radgraph_reads_with_the_model_that_is_there_and_says_why_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "radgraph", SimpleNamespace(RadGraph=Package))
    settings = EvalSettings(chexbert=write_chexbert(tmp_path / "chexbert"), radgraph=tmp_path / "weights")
    (folder := tmp_path / "weights" / "radgraph-xl").mkdir(parents=True)
    (line, *_) = missing_scores(settings)
    assert line == f"no RadGraph F1: the package radgraph cannot use {folder.parent}: no network"
    radgraph.why_not.cache_clear()
    (folder / "weights.th").touch()
    (line, *_) = missing_scores(settings)
    assert line.startswith("no RadCliQ: it was fitted with RadGraph's first model")
    graph, empty = radgraph.load_reader(folder.parent)(["effusion", " "])
    assert (graph["1"]["tokens"], empty) == ("[1, 3, 2]", {})
    assert not hasattr(PreTrainedTokenizerBase, "encode_plus")
    (folder.parent / "radgraph").mkdir()
    assert radgraph.model_in(folder.parent) == "radgraph"
