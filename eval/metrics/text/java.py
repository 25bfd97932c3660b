"""The two Java programs that pycocoevalcap ships (METEOR, the Penn Treebank tokeniser): a line in, a line out.

One process a call, given all its lines at once and always ended: pycocoevalcap itself talks to METEOR line by line
through pipes, which hangs for good once a text with a line break puts the two out of step.
"""

import shutil
import subprocess
from collections.abc import Sequence

_START_S, _LINE_S = 300.0, 0.5
"""Seconds allowed to start (METEOR reads its tables in some 10) and for each line (some 0.01)."""


class JavaFailed(RuntimeError):
    """There is no Java, or its program did not give a line for each line."""


def run_java(arguments: Sequence[str], lines: Sequence[str]) -> list[str]:
    """The line that `java ARGUMENTS...` prints for each line it reads; both without line breaks.

    Raises `JavaFailed` with the reason; no process is left behind.
    """
    java = shutil.which("java")
    if java is None:
        raise JavaFailed("no `java` command was found")
    text = "".join(f"{line}\n" for line in lines).encode(errors="replace")  # half a surrogate pair has no bytes
    limit_s = _START_S + _LINE_S * len(lines)
    command = [java, "-Dfile.encoding=UTF-8", *arguments]
    try:
        ended = subprocess.run(command, input=text, capture_output=True, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise JavaFailed(f"Java took over {limit_s:.0f} s for {len(lines)} texts") from error
    except OSError as error:
        raise JavaFailed(f"Java did not start: {error}") from error
    answers = ended.stdout.decode(errors="replace").split("\n")[:-1]  # not splitlines(): \x85 and others stay in a line
    if ended.returncode or len(answers) != len(lines):
        last = ended.stderr.decode(errors="replace").strip().split("\n")[-1]
        raise JavaFailed(f"Java gave {len(answers)} lines for {len(lines)} texts, code {ended.returncode}: {last}")
    return answers
