"""medglip: grounding-augmented VQA and reports for medical images. Importing this costs nothing.

The rooms are `medglip.grounding`, `.vqa`, `.report`, `.eval` and `.scripts`, the folders beside this file.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("medglip")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
