"""What is optional: the extras of the package, what each is for and what it costs to have, one row each."""

from dataclasses import dataclass
from importlib.util import find_spec


@dataclass(frozen=True, kw_only=True)
class Extra:
    """One `pip install 'medglip[NAME]'`. `modules`: what is imported of it; `without`: what does not work where it is
    missing; `packages`, `megabytes`: how many packages it adds to the core's, and how much is downloaded (CPython 3.11,
    Linux x86-64, late 2026).
    """

    modules: tuple[str, ...]
    without: str
    packages: int
    megabytes: float

    @property
    def is_here(self) -> bool:
        """Whether everything of it can be imported; nothing is."""
        return all(find_spec(name) is not None for name in self.modules)

    @property
    def price(self) -> str:
        """In words."""
        return f"{self.packages} package{'s' * (self.packages != 1)}, {self.megabytes:.0f} MB to download"


EXTRAS: dict[str, Extra] = {
    "app": Extra(modules=("gradio", "mcp"), without="no app in the browser, no MCP server", packages=29, megabytes=40),
    "serve": Extra(modules=("openai",), without="no model behind an OpenAI-compatible server", packages=4, megabytes=3),
    "ray": Extra(modules=("ray",), without="no `--engine ray`; `--shard` works", packages=3, megabytes=80),
    "gpu": Extra(modules=("bitsandbytes",), without="no `mllm.lora.four_bit` (QLoRA)", packages=1, megabytes=43),
    "negation": Extra(modules=("negspacy",), without="no `--negation negspacy`; ours works", packages=25, megabytes=75),
    "docs": Extra(modules=("mkdocs", "material", "mkdocstrings"), without="no `make docs`", packages=30, megabytes=20),
    "dev": Extra(modules=("pytest", "ruff", "hypothesis"), without="no `make test`", packages=48, megabytes=200),
}
"""As in pyproject.toml, which a test compares."""
