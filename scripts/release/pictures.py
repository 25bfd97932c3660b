"""The pictures of README and docs, of what the shipped weights do now: one command after weights have changed.

`python -m medglip.scripts.release.pictures runs/quickstart` makes, in `docs/pictures`, what the core finds in a drawn
chest (`regions.jpg`), the form `overlay` of it (`overlay.jpg`), and the page of README's report above a question of the
run's page, as an installed Chromium shows them (`product.jpg`). `make shown` calls it behind `tour`, which writes it.
"""

import shutil
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image

from ...grounding.bad_input import BadInput
from ...grounding.evidence.forms.overlay import draw_marks
from ...grounding.grounders.pretrained import load_grounder
from ...grounding.imaging.drawing import draw_regions, tell_apart
from ...grounding.imaging.open import open_image
from ...grounding.imaging.read import read_image, read_image_bytes
from ...report.output.write import BROWSERS

CHEST = Path("examples/data/images/xray-1.png")
PHRASES = ("left lung", "right lung", "heart", "nodule", "opacity")
REPORT = Path("runs/first/report/xray-1.html")
WIDTH, HEIGHT = 1280, 720  # of the report's page in the picture, in CSS pixels


def main(
    run: Annotated[Path, typer.Argument(help="A finished run, whose page is shown")] = Path("runs/quickstart"),
    report: Annotated[Path, typer.Option(help="Page of a report; README's commands write this one")] = REPORT,
    out: Annotated[Path, typer.Option(help="Folder of the pictures")] = Path("docs/pictures"),
) -> None:
    """Make the pictures of the docs; called from the root of the checkout."""
    for page in (report, run / "index.html"):
        if not page.is_file():
            raise BadInput(
                "no such page.", file=page, fix="`medglip.scripts.release.tour` and `make quickstart` write it"
            )
    out.mkdir(parents=True, exist_ok=True)
    _draw_regions(out)
    draw_product(report, run / "index.html").save(out / "product.jpg", quality=85, optimize=True)
    typer.echo(f"written: {', '.join(str(file) for file in sorted(out.iterdir()))}")


def _draw_regions(out: Path) -> None:
    grounder, image = load_grounder("small"), read_image(CHEST)
    found = grounder.ground([open_image(CHEST, modality="xray")], [PHRASES])[0]
    clear = [region for region in found if region.score >= grounder.threshold]
    colours, names = tell_apart(clear)
    draw_regions(image, clear, colours, names, min_side=640).save(out / "regions.jpg", quality=88)
    draw_marks(image, clear).save(out / "overlay.jpg", quality=88)


def draw_product(report: Path, page: Path) -> Image.Image:
    """The page of a report, and below it a question of a run's page that evidence decides, else its first one."""
    from playwright.sync_api import sync_playwright  # of the extra dev

    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise BadInput("no browser here.", fix="apt-get install chromium")
    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=browser, args=["--no-sandbox", "--disable-gpu"])
        shown = opened.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        shown.goto(report.resolve().as_uri())
        top = shown.screenshot()
        shown.goto(page.resolve().as_uri())
        shown.select_option("select[name=task]", "vqa")
        for system, mark in (("none", "wrong"), ("predicted", "right")):
            shown.select_option(f"select[data-system={system}]", mark)
        if not shown.locator(".case").count():
            shown.click("#filters button[type=reset]")
        below = shown.locator(".case").first.screenshot()
        opened.close()
    parts = [read_image_bytes(part) for part in (top, below)]
    product = Image.new("RGB", (WIDTH, sum(part.height for part in parts)), parts[1].getpixel((1, 1)))
    product.paste(parts[0], (0, 0))
    product.paste(parts[1], ((WIDTH - parts[1].width) // 2, parts[0].height))
    return product


if __name__ == "__main__":
    typer.run(main)
