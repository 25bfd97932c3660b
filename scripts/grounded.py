"""One grounded report of one unseen image: text, sentences with regions, JSON and HTML."""

from pathlib import Path

from ..grounding.evidence import Source
from ..grounding.imaging.read import read_image
from ..grounding.labels import load_labels
from ..grounding.types import NOTICE, Study
from ..report.grounded import GroundedReport
from ..report.sentences import ground_sentences
from ..report.task import Report, to_example
from ..report.write import write
from ..vqa.mllm.generate import GenerateSettings
from .finished import FinishedRun


def write_grounded(run: FinishedRun, study: Study, source: Source, out: Path) -> list[str]:
    """Write `<image>.json` and `<image>.html`; return what to say on the terminal."""
    query = run.query(study)
    evidence = run.evidence(query, source)
    item = Report(report_id=study.image_path.stem, study=study, text="")
    settings = run.recipe.report.generate if run.recipe.report else GenerateSettings(max_new_tokens=64)
    text = run.write(to_example(item, evidence), source, settings).text
    sentences = ground_sentences(text, evidence.regions, load_labels(), study.size_px)
    report = GroundedReport(
        report_id=item.report_id,
        image=study.image_path.name,
        size_px=study.size_px,
        sentences=sentences,
        regions=evidence.regions,
        model=run.recipe.mllm.base,
        adapter=f"{run.folder.name}/adapter-{'plain' if source == 'none' else 'grounded'}",
        evidence=source,
    )
    files = write(report, read_image(study.image_path), out)
    lines = [f"{s.text} " + " ".join(f"[{r.phrase} {r.score:.2f}]" for r in s.regions) for s in sentences]
    return [*lines, NOTICE, f"written: {', '.join(str(path) for path in files)}"]
