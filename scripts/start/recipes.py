"""Recipes that come with the package, by name, and starters for one's own data (`recipes/start/`)."""

from pathlib import Path

from ...grounding.bad_input import BadInput, check_name, nearest
from ...grounding.files import write_atomic

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
"""Beside the rooms, in a checkout as in a wheel."""
STARTERS = tuple(sorted(file.stem for file in (RECIPES / "start").glob("*.yaml")))
"""What `medglip init` writes a recipe for."""


def recipe_names() -> list[str]:
    """`quickstart`, `vqa/small`, ...: what `medglip run` takes by name, from any folder."""
    parts = {
        "accelerate",
        "manifests",
        "sets",
        "stages",
        "start",
        "align",
    }  # read by other commands, or by other recipes
    files = (file.relative_to(RECIPES) for file in RECIPES.rglob("*.yaml"))
    return sorted(str(file.with_suffix("")) for file in files if not parts & {*file.parts})


def recipe_file(name: str | Path) -> Path:
    """A recipe file, or that of a name of `recipe_names`. Raises `BadInput` for neither, with the nearest name."""
    if Path(name).is_file():
        return Path(name)
    plain = str(name).removesuffix(".yaml").removeprefix("recipes/")
    packaged = RECIPES / f"{plain}.yaml"
    if packaged.is_file() and packaged.resolve().is_relative_to(RECIPES):
        return packaged
    known = nearest(plain, recipe_names())
    fix = f"{known}{'' if known.endswith('?') else '.'} `medglip init KIND` writes one for your own data"
    raise BadInput("no such recipe.", file=name, fix=fix)


def write_starter(kind: str, file: Path | None = None) -> list[str]:
    """Write the starter of a kind; return the lines for the terminal. Raises `BadInput` for a file that is there."""
    text = (RECIPES / "start" / f"{check_name(kind, STARTERS, 'kind of recipe')}.yaml").read_text()
    file = file or Path(f"{kind}.yaml")
    if file.exists():
        raise BadInput("there already.", file=file, fix=f"give another name: medglip init {kind} FILE")
    # the folder of the run is named after the file
    write_atomic(file, text.replace(f"runs/{kind}", f"runs/{file.stem}").replace(f"name: {kind}", f"name: {file.stem}"))
    return [f"written: {file}", f"set the paths in it, then: medglip run {file}"]
