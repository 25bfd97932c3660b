"""medglip: grounding-augmented VQA and reports for medical images. Importing this costs nothing.

The package's own two files: the rooms are `medglip.grounding`, `.vqa`, `.report`, `.eval` and `.scripts`, which
pyproject.toml's `package-dir` maps to the folders at the top of the checkout.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("medglip")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
