"""What the tools work with: models that load once, when they are first asked; turns; a folder that goes."""

import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from ...grounding.bad_input import check_name
from ...grounding.parts.giving_up import go_on, may_give_up
from ...grounding.served.client import Endpoint
from ...grounding.types import AnnotatedImage
from ...vqa.inference.rules import NAME as RULES
from ...vqa.model.shipped import is_shipped
from ..inference.system import TrainedSystem
from ..inference.systems import DEFAULT_RUN, load_system
from .samples import draw_samples

WRITERS = {"small": "small-reports", RULES: "small-reports"}
"""The adapter that writes reports beside one that answers questions, and beside templates, which write none."""


class Desk:
    """Models by name, the samples, and a temporary folder for what callers bring; `close` removes it.

    One caller computes at a time (`at_work`), in the order in which they came; the others wait, none is turned away.
    """

    def __init__(
        self,
        *,
        places: Mapping[str, Path] | None = None,
        endpoint: Endpoint | None = None,
        checkpoint: str | None = None,
    ):
        self.folder, self.checkpoint = Path(mkdtemp(prefix="medglip-app-")), checkpoint
        self._loaders: dict[str, Callable[[], TrainedSystem]] = {}
        self._loaded: dict[str, TrainedSystem] = {}
        self._samples: dict[str, AnnotatedImage] = {}
        self._brought: dict[str, set[Path]] = {}
        self._flags: dict[str, set[threading.Event]] = {}
        self.limiter: Any = None  # of threads, see `http`
        self._queue, self._lock = Turns(), threading.RLock()
        if endpoint:
            self.add_endpoint(endpoint)
        for name, place in (places or {}).items():
            self.add(name, place)
        for name in ("small", "small-reports"):
            if is_shipped("adapter", name):
                self.add(name, Path(name))
        if not self._loaders and DEFAULT_RUN.is_dir():
            self.add(DEFAULT_RUN.name, DEFAULT_RUN)
        self._loaders[RULES] = lambda: load_system(None, checkpoint, model=RULES)

    def add(self, name: str, place: Path) -> None:
        """A run or an adapter's folder under a name; the first that was added answers where none is named."""
        self._loaders[name] = lambda: load_system(place, self.checkpoint)

    def add_checked(self, place: Path) -> str:
        """Load a run or an adapter of a folder; its name here. Raises `BadInput` where the folder holds neither."""
        system = load_system(place, self.checkpoint)
        name = place.name if place.name not in self._loaders else f"{place.parent.name}/{place.name}"
        self.add(name, place)
        self._loaded[name] = system
        return name

    def add_endpoint(self, endpoint: Endpoint) -> str:
        """A served model; its name here."""
        self._loaders[endpoint.model] = lambda: _served(endpoint, self.checkpoint)
        self._loaded.pop(endpoint.model, None)
        return endpoint.model

    @property
    def names(self) -> list[str]:
        """Of the models, that which answers where none is named first."""
        return list(self._loaders)

    @property
    def loaded(self) -> list[str]:
        """The names of those that were asked already."""
        return list(self._loaded)

    def system(self, name: str = "", task: str = "vqa") -> TrainedSystem:
        """The model of a name. Raises `BadInput` for an unknown one, and for what its folder lacks."""
        name = check_name(name or self.names[0], self.names, "model")
        if task == "report" and WRITERS.get(name) in self._loaders:
            name = WRITERS[name]
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = self._loaders[name]()
            return self._loaded[name]

    @property
    def samples(self) -> Mapping[str, AnnotatedImage]:
        """The images that come along."""
        with self._lock:
            self._samples = self._samples or draw_samples(self.folder / "samples")
            return self._samples

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Inside, nobody else computes. Raises `GivenUp` where the caller no longer waits for its turn."""
        with self._queue:
            go_on()
            yield

    @contextmanager
    def stoppable(self, session: str) -> Iterator[None]:
        """What is computed inside ends with `stop`."""
        flags, flag = self._flags.setdefault(session, set()), threading.Event()
        flags.add(flag)
        try:
            with may_give_up(flag):
                yield
        finally:
            flags.discard(flag)

    def stop(self, session: str) -> None:
        """End what is computed for a session."""
        for flag in list(self._flags.get(session, ())):
            flag.set()

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder of one call, gone when that has ended."""
        folder = Path(mkdtemp(dir=self.folder))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def note(self, session: str, files: Sequence[str]) -> None:
        """The folders of these uploads go when the session ends (`forget`)."""
        own = {Path(file).resolve().parent for file in files}
        self._brought.setdefault(session, set()).update(
            place for place in own if self.folder.resolve() in place.parents
        )

    def forget(self, session: str) -> None:
        """End a session: remove what it brought, and what was made of it beside, but for what another brought, too."""
        self.stop(session)
        self._flags.pop(session, None)
        own = self._brought.pop(session, set())
        for place in own.difference(*self._brought.values()):
            shutil.rmtree(place, ignore_errors=True)

    def close(self) -> None:
        """Remove what callers brought."""
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def only_forms(system: TrainedSystem, forms: str) -> Iterator[None]:
    """Inside, of the forms that the model learned these alone are shown; "": all."""
    shown = system.shown
    try:
        if forms.strip():
            system.show_only(forms)
        yield
    finally:
        system.shown = shown


class Turns:
    """A lock whose waiters go in the order in which they came; who holds it may take it again."""

    def __init__(self):
        self._change, self._waiting, self._owner, self._depth = threading.Condition(), list[object](), 0, 0

    def __enter__(self) -> None:
        me, ticket = threading.get_ident(), object()
        with self._change:
            if self._owner != me:
                self._waiting.append(ticket)
                self._change.wait_for(lambda: not self._owner and self._waiting[0] is ticket)
                self._waiting.pop(0)
                self._owner = me
            self._depth += 1

    def __exit__(self, *_: Any) -> None:
        with self._change:
            self._depth -= 1
            if not self._depth:
                self._owner = 0
                self._change.notify_all()


def _served(endpoint: Endpoint, checkpoint: str | None) -> TrainedSystem:
    from ..inference.served import load_served  # its client is an extra of its own

    return load_served(endpoint, None, checkpoint)
