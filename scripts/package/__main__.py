"""`python -m medglip` is `medglip`."""

from medglip.scripts.cli.main import main

main()
