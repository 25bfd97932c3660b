"""`python -m medglip` is `medglip`."""

from .scripts.cli.main import main

main()
