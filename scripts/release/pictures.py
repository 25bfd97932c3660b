"""The pictures of README and docs, of what the shipped weights do now: one command after weights have changed.

`python -m medglip.scripts.release.pictures runs/quickstart` makes, in `docs/pictures`, what the core finds in a drawn
chest (`regions.jpg`), the form `overlay` of it (`overlay.jpg`), and the page of a report on it above cases of the run's
page, as an installed Chromium shows them (`product.jpg`).
"""

import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from PIL import Image

from ...grounding.bad_input import BadInput
from ...grounding.evidence.forms.overlay import draw_marks
from ...grounding.grounders.pretrained import load_grounder
from ...grounding.imaging.drawing import draw_regions, tell_apart
from ...grounding.imaging.open import open_image
from ...grounding.imaging.read import read_image
from ...report.output.write import BROWSERS
from ..inference.system import run_or_adapter
from ..inference.user_image import user_report
from ..inference.write_report import Outputs, write_grounded

CHEST = Path("examples/data/images/xray-1.png")
PHRASES = ("left lung", "right lung", "heart", "nodule", "opacity")
WIDTH, HEIGHT = 1280, 640  # of each page in the picture, in CSS pixels


def main(
    run: Annotated[Path, typer.Argument(help="A finished run, whose page is shown")] = Path("runs/quickstart"),
    out: Annotated[Path, typer.Option(help="Folder of the pictures")] = Path("docs/pictures"),
) -> None:
    """Make the pictures of the docs; called from the root of the checkout."""
    out.mkdir(parents=True, exist_ok=True)
    _draw_regions(out)
    with tempfile.TemporaryDirectory() as folder:
        system = run_or_adapter(None, None, None, "small-reports")
        write_grounded(system, user_report([CHEST], "xray"), "predicted", Outputs(folder=Path(folder)))
        parts = _screenshots(Path(folder) / f"{CHEST.stem}.html", run / "index.html", Path(folder))
        product = Image.new("RGB", (WIDTH, sum(part.height for part in parts)), "white")
        top = 0
        for part in parts:
            product.paste(part, (0, top))
            top += part.height
        product.save(out / "product.jpg", quality=85, optimize=True)
    typer.echo(f"written: {', '.join(str(file) for file in sorted(out.iterdir()))}")


def _draw_regions(out: Path) -> None:
    grounder, image = load_grounder("small"), read_image(CHEST)
    found = grounder.ground([open_image(CHEST, modality="xray")], [PHRASES])[0]
    clear = [region for region in found if region.score >= grounder.threshold]
    colours, names = tell_apart(clear)
    draw_regions(image, clear, colours, names, min_side=640).save(out / "regions.jpg", quality=88)
    draw_marks(image, clear).save(out / "overlay.jpg", quality=88)


def _screenshots(report: Path, page: Path, folder: Path) -> list[Image.Image]:
    """The page of the report, and the first right answer and the first report of the run's page."""
    from playwright.sync_api import sync_playwright  # of the extra dev

    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise BadInput("no browser here.", fix="apt-get install chromium")
    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=browser, args=["--no-sandbox", "--disable-gpu"])
        shown = opened.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        shown.goto(report.resolve().as_uri())
        shown.screenshot(path=folder / "report.png")
        shown.goto(page.resolve().as_uri())
        files = [folder / "report.png"]
        for task in ("vqa", "report"):
            files.append(_screenshot_case(shown, task, folder / f"{task}.png"))
        opened.close()
    return [Image.open(file).convert("RGB") for file in files if file.is_file()]


def _screenshot_case(shown: Any, task: str, file: Path) -> Path:
    """The best case of a task, if the page has one."""
    shown.select_option("select[name=pick]", "best")
    if shown.locator(f"select[name=task] option[value={task}]").count():
        shown.select_option("select[name=task]", task)
        case = shown.locator(".case").first
        case.scroll_into_view_if_needed()
        case.screenshot(path=file)
        with Image.open(file) as image:  # on paper as wide as the first page
            paper = Image.new("RGB", (WIDTH, image.height), image.convert("RGB").getpixel((1, 1)))
            paper.paste(image.convert("RGB"), ((WIDTH - image.width) // 2, 0))
        paper.save(file)
    return file


if __name__ == "__main__":
    typer.run(main)
