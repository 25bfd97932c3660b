"""How fast the harness scores, beside the libraries whose numbers it gives: ratios of one run on one machine.

python -m medglip.scripts.bench.eval
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import typer

from ...eval.settings import EvalSettings
from .timing import in_fresh_process, peak_mib, time_work

WORDS = "the heart is enlarged no pleural effusion left right lower lobe opacity seen with small mild".split()  # noqa: SIM905
_LEXICAL = ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider")


def bench_vqa(count: int, num_clusters: int, resamples: int) -> None:
    """Records on disk -> scores with intervals and strata, in a process of its own, whose memory is printed, too."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "vqa.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in vqa_rows(count, num_clusters)))
        seconds, megabytes = in_fresh_process(_score_vqa, path, resamples)
    print(f"{count} VQA records, {num_clusters} clusters, {resamples} resamples: {seconds:.1f} s, {megabytes:.0f} MiB")


def _score_vqa(path: Path, resamples: int) -> tuple[float, float]:
    from ...eval.records import read_records
    from ...eval.score import score

    settings = EvalSettings(resamples=resamples)
    return time_work(lambda: score(read_records([path], "vqa"), "vqa", settings))[0], peak_mib()


def vqa_rows(count: int, num_clusters: int) -> list[dict[str, Any]]:
    """Synthetic answers of three modalities and four question types, half of them right."""
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for number in range(count):
        is_closed, is_right = rng.random(2) < 0.5
        answer = "yes" if is_closed else " ".join(rng.choice(WORDS, 3))
        image_id, question = str(number % num_clusters), " ".join(rng.choice(WORDS, 8)) + "?"
        prediction = answer if is_right else "no " + " ".join(rng.choice(WORDS, 2))
        meta = {"modality": ("ct", "mr", "xray")[number % 3], "question_type": str(number % 4)}
        row = {"id": str(number), "dataset": "bench", "split": "test", "task": "vqa", "image_id": image_id}
        row |= {"cluster_id": image_id, "question": question, "answer": answer, "prediction": prediction}
        rows.append(row | {"answer_type": "closed" if is_closed else "open", "evidence": "none", "meta": meta})
    return rows


def bench_report(count: int, resamples: int, is_java: bool) -> None:
    """All lexical metrics with intervals, beside pycocoevalcap's own pipeline without any."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    from ...eval.metrics.text.lexical import report_measures
    from ...eval.metrics.text.tokenize import tokenize
    from ...eval.statistics.bootstrap import estimates

    references, predictions = report_texts(count)

    def score_theirs() -> list[float]:
        """Pycocoevalcap as people call it, on lower-cased text."""
        texts = (tokenize(side, "lower") for side in (references, predictions))
        truth, written = ({n: [text] for n, text in enumerate(side)} for side in texts)
        bleu = Bleu(4).compute_score(truth, written, verbose=0)[0]
        return [*bleu, *(float(scorer.compute_score(truth, written)[0]) for scorer in (Rouge(), Cider()))]

    theirs, _, expected = time_work(score_theirs)
    clusters = [str(number) for number in range(count)]
    ours, _, scores = time_work(
        lambda: estimates(report_measures(predictions, references), clusters, resamples=resamples)
    )
    far = max(abs(scores[name].value - float(value)) for name, value in zip(_LEXICAL, expected, strict=True))
    print(f"{count} reports: ours with {resamples} resamples {ours:.1f} s, pycocoevalcap without {theirs:.1f} s,")
    print(f"  ratio {theirs / ours:.2f}, largest difference {far:.1e}")
    if is_java:
        seconds = time_work(lambda: report_measures(predictions, references, metrics=("meteor",)))[0]
        print(f"  METEOR by itself (Java) {seconds:.1f} s")


def report_texts(count: int) -> tuple[list[str], list[str]]:
    """References of 60 to 100 words; each prediction keeps about half of its reference's."""
    rng = np.random.default_rng(0)
    vocabulary = np.array([f"word{number}" for number in range(2000)])
    odds = 1 / np.arange(1, 2001)  # Zipf: few words make up most of a text
    references, predictions = [], []
    for _ in range(count):
        words, others = rng.choice(vocabulary, (2, rng.integers(60, 101)), p=odds / odds.sum())
        references.append(" ".join(words))
        predictions.append(" ".join(np.where(rng.random(len(words)) < 0.5, words, others)))
    return references, predictions


def bench_ap(num_images: int, num_boxes: int, resamples: int) -> None:
    """Average precision of COCO files, beside pycocotools."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    from ...eval.metrics.detection.average_precision import coco_stats
    from ...eval.tasks.coco import score_coco

    truth, predicted = coco_rows(num_images, num_boxes)

    def score_theirs() -> list[float]:
        reference = COCO()
        reference.dataset = truth  # pyright: ignore[reportAttributeAccessIssue]
        reference.createIndex()
        results = reference.loadRes([dict(row) for row in predicted])  # pyright: ignore[reportArgumentType]
        evaluation = COCOeval(reference, results, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        return list(evaluation.stats)

    theirs, _, expected = time_work(score_theirs)
    ours, _, values = time_work(lambda: coco_stats(truth, predicted, "bbox"))
    far = max(abs(a - b) for a, b in zip(values, expected, strict=True))
    print(f"{num_images} images, {num_boxes} boxes: ours {ours:.1f} s, pycocotools {theirs:.1f} s,", end=" ")
    print(f"ratio {theirs / ours:.2f}")
    with TemporaryDirectory() as folder:
        references, predictions = (Path(folder) / f"{name}.json" for name in ("references", "predictions"))
        references.write_text(json.dumps(truth))
        predictions.write_text(json.dumps(predicted))
        settings = EvalSettings(resamples=resamples, strata=False)
        whole, *_ = time_work(lambda: score_coco(references, predictions, "bbox", settings))
    print(f"  largest difference of the twelve numbers {far:.1e}; files to table with intervals {whole:.1f} s")


def coco_rows(num_images: int, num_boxes: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """True boxes on random images, ten categories; predictions are shaken truths, some of another category."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, num_images, num_boxes)
    corners, sides = rng.uniform(0, 400, (num_boxes, 2)), rng.uniform(8, 110, (num_boxes, 2))
    boxes = np.concatenate([corners, sides], 1)
    # predictions overlap their truths well enough to be matched at some thresholds of IoU and not at others
    shaken = boxes * rng.uniform(0.85, 1.15, boxes.shape)
    categories = rng.integers(1, 11, num_boxes)
    guesses = np.where(rng.random(num_boxes) < 0.8, categories, rng.integers(1, 11, num_boxes))
    truths = [
        {"id": n, "image_id": image, "category_id": category, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
        for n, (image, category, box) in enumerate(
            zip(images.tolist(), categories.tolist(), boxes.tolist(), strict=True), 1
        )
    ]
    predicted = [
        {"image_id": image, "category_id": category, "bbox": box, "score": rng.random()}
        for image, category, box in zip(images.tolist(), guesses.tolist(), shaken.tolist(), strict=True)
    ]
    names = [{"id": number, "name": f"finding {number}"} for number in range(1, 11)]
    sizes = [{"id": n, "width": 512, "height": 512} for n in range(num_images)]
    return {"images": sizes, "annotations": truths, "categories": names}, predicted


def bench(
    resamples: Annotated[int, typer.Option(help="Bootstrap resamples")] = 2000,
    meteor: Annotated[bool, typer.Option(help="Time METEOR as well, which needs Java")] = True,
    scale: Annotated[float, typer.Option(help="Part of the full sizes, for a quick look")] = 1.0,
) -> None:
    """Time VQA scoring, lexical report metrics and average precision."""
    count = int(100_000 * scale)
    for num_clusters in (count, count // 10):
        bench_vqa(count, num_clusters, resamples)
    bench_vqa(count, count // 10, resamples // 10)
    bench_report(int(4_000 * scale), resamples, meteor)
    bench_ap(int(5_000 * scale), int(50_000 * scale), resamples)


if __name__ == "__main__":
    typer.run(bench)
