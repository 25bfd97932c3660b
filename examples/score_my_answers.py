"""Score the answers of a model of your own: records, one JSON object a line, then values with intervals."""

import json
from pathlib import Path

from medglip.eval import EvalSettings, read_records, score_records

OUT = Path("runs/examples/answers.jsonl")


def my_model(image: str, question: str) -> str:
    """Put your model here; this one looks at nothing."""
    return "yes" if question.startswith(("Is", "Are")) else "left"


records = []
for number, line in enumerate(Path("examples/data/questions.jsonl").read_text().splitlines()):
    row = json.loads(line)
    said = my_model(f"examples/data/images/{row['image']}", row["question"])
    record = {"id": str(number), "dataset": "mine", "split": "test", "task": "vqa", "image_id": row["image"]}
    record |= {key: row[key] for key in ("question", "answer", "answer_type")}
    records.append(record | {"prediction": said, "meta": {"modality": row["modality"]}})
OUT.parent.mkdir(parents=True, exist_ok=True)
OUT.write_text("".join(json.dumps(record) + "\n" for record in records))

scores = score_records(read_records([OUT], "vqa"), "vqa", EvalSettings(resamples=500))
for name, score in scores.metrics.items():
    print(f"{name}: {score.value:.3f} [{score.interval()}], n = {score.n}")
print(f"counts: {scores.counts}\nthe same with strata: medglip eval vqa {OUT}")
