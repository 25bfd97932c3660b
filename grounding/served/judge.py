"""A served model that judges texts: short prompts in, what it says out; what it said once is not asked again."""

import json
from collections.abc import Sequence
from typing import Any

from tqdm.auto import tqdm

from ..assets import cache_folder
from ..bad_input import BadInput
from ..files import sha256
from .client import Endpoint, Reply, ask_each

MAX_TOKENS = 1024
"""Room to think, where a model does that first."""


class Judge:
    """Asks with temperature 0. Answers are kept in the cache folder, by a hash of address, model and prompt."""

    def __init__(self, endpoint: Endpoint):
        self.endpoint = endpoint
        name = sha256(f"{endpoint.shown}\n{endpoint.model}")[:16]
        self.file = cache_folder() / "judge" / f"{name}.jsonl"

    def ask(self, prompts: Sequence[str], max_tokens: int = MAX_TOKENS) -> list[str]:
        """What it says to each prompt, in their order, `max_tokens` at most; "" where it refuses.

        Raises `BadInput` where some stay without an answer; those that came are kept.
        """
        known = self._read()
        keys = {prompt: sha256(prompt) for prompt in prompts}
        left = [prompt for prompt, key in keys.items() if key not in known]
        self.file.parent.mkdir(parents=True, exist_ok=True)
        bar = tqdm(total=len(keys), initial=len(keys) - len(left), desc="judge", unit="prompt", disable=not left)

        def to_request(prompt: str) -> dict[str, Any]:
            message = {"role": "user", "content": prompt}
            return {"messages": [message], "temperature": 0, "max_tokens": max_tokens}

        with bar, self.file.open("a", encoding="utf-8") as file:

            def take(prompt: str, reply: Reply) -> None:
                known[keys[prompt]] = "" if reply.is_refusal else reply.text
                row = {"sha256": keys[prompt], "text": known[keys[prompt]]}
                file.write(json.dumps(row) + "\n")  # as a whole line, so that a kill loses the last one at most
                file.flush()
                bar.update()

            unanswered = ask_each(self.endpoint, left, to_request, take)
        if num := len(unanswered.items):
            problem = f"the judge left {num} of {len(keys)} prompts without an answer ({unanswered.why})."
            raise BadInput(problem, fix="call again: only these are asked")
        return [known[keys[prompt]] for prompt in prompts]

    def _read(self) -> dict[str, str]:
        rows: dict[str, str] = {}
        for line in self.file.read_text(encoding="utf-8").splitlines() if self.file.is_file() else ():
            try:
                row = json.loads(line)
                rows[row["sha256"]] = row["text"]
            except (ValueError, TypeError, KeyError):  # half a line of a process that was killed
                continue
        return rows


def judge_at(url: str, model: str) -> Judge:
    """The judge at an address. Raises `BadInput` where none is given."""
    if not url:
        fix = "--endpoint http://host:8000/v1 --model NAME, or --set eval.judge_endpoint=... eval.judge_model=..."
        raise BadInput("a judge is a served model, and no address is given.", fix=fix)
    return Judge(Endpoint(url=url, model=model))
