"""`python -m medglip.scripts.cli` is `medglip`; so is `accelerate launch -m medglip.scripts.cli`, on many processes."""

from .main import main

main()
