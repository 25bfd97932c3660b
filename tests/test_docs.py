"""The site has every page in its navigation, decisions are listed, and the README keeps to its width."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = [page.relative_to(ROOT / "docs").as_posix() for page in sorted((ROOT / "docs").rglob("*.md"))]


def test_every_page_stands_in_the_navigation_once() -> None:
    named = re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text())
    assert sorted(named) == sorted(PAGES)


def test_every_decision_is_listed() -> None:
    listed = re.findall(r"\((\d{4}-[\w-]+\.md)\)", (ROOT / "docs" / "decisions" / "index.md").read_text())
    assert listed == [Path(page).name for page in PAGES if re.match(r"decisions/\d", page)]


def test_the_readme_keeps_to_120_characters_and_its_links_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text()
    written = re.sub(r"^```console\n.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)  # without what commands print
    assert not [line for line in written.splitlines() if len(line) > 120 and not line.startswith("|")]
    links = re.findall(r"\]\((?!http)([^)#]+)", text)
    assert links
    assert not [link for link in links if not (ROOT / link).exists()]
