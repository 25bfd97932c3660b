"""`accelerate launch -m medglip.grounding train RECIPE`: the core's training on any number of processes.

With one process, `python -m medglip.grounding train RECIPE`, it ends at the weights of `medglip grounding train`.
"""

import argparse
import sys
from pathlib import Path

from .bad_input import BadInput


def main() -> None:
    """Bad input ends with its one line and exit code 2, as in `medglip`."""
    parser = argparse.ArgumentParser("python -m medglip.grounding", description="Train the grounding core.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("train", help="train the core of a recipe; continues where it was")
    command.add_argument("recipe", type=Path, help="a recipe YAML file")
    place = parser.parse_args().recipe

    from .recipe import train_recipe
    from .training.loop import processes

    try:
        folder = train_recipe(place)
    except (BadInput, OSError) as error:
        print(f"medglip: {error}", file=sys.stderr)
        sys.exit(2)
    if processes().is_main_process:
        print(f"trained: {folder}")
    processes().destroy_process_group()


if __name__ == "__main__":
    main()
