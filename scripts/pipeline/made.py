"""When, with which commit and on which machine a run was made: what a figure has to be read with."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
"""The checkout, where the package is used from one."""


def made_with() -> dict[str, str]:
    """Date (UTC), commit ("" outside of a checkout; `+` for files changed since), machine; no name of host or user."""
    return {"date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", "commit": _commit(), "machine": _machine()}


def _commit() -> str:
    if not (ROOT / ".git").exists():
        return ""
    try:
        commit = _git("rev-parse", "--short=12", "HEAD")
        return commit + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def _git(*words: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, timeout=20, check=True)
    return done.stdout.strip()


def _machine() -> str:
    """`Intel(R) Xeon(R) Processor, 2 cores, Linux`, and the GPU where there is one."""
    parts = [_processor(), f"{os.cpu_count()} cores", platform.system()]
    if torch.cuda.is_available():
        parts.insert(0, torch.cuda.get_device_name())
    return ", ".join(parts)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
