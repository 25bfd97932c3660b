"""The benchmark of grounded reports runs, and compares like with like."""

import json
from pathlib import Path

import pytest

from medglip.scripts.bench import report as bench_report


@pytest.mark.thorough
def test_every_figure_is_there_and_prompts_are_token_equal(tiny_base: Path, tmp_path: Path) -> None:
    bench_report.main(base=str(tiny_base), dtype="fp32", tiny=True, threads=1, out=tmp_path / "figures.json")
    found = json.loads((tmp_path / "figures.json").read_text())
    assert set(found["once a report"]) == {"cached_regions_ms", "after_writing_ms"}
    for size in (1, 2):
        rows = found[f"batch {size}"]
        assert set(rows) == {"token_equal", *("+".join(forms) for forms in bench_report.ROWS)}
        ours, theirs = rows["token_equal"]["tokens"]
        assert ours == theirs > rows["text"]["tokens"][1]
        for row in rows.values():
            assert row["grounded"] > 0
            assert row["plain"] == pytest.approx(60 * size / row["plain_seconds"], rel=0.1)
