"""A logged model's own copy of ``supervision`` beside the one that this process has imported."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from types import ModuleType

PACKAGE = "supervision"  # what a logged model carries a copy of
IMPORTS_LOCK = RLock()  # sys.modules and sys.path belong to the whole process


class ModelCode:
    """The modules of one model's copy of ``supervision``.

    A model answers by the code that it was logged with, so that its numbers stay those of its
    server, whatever has changed in the installed package since. The modules are exchanged while
    the model is loaded and while it predicts, as it imports some of them only then. Before and
    after, ``supervision`` is the installed package, with the same module objects. Other threads
    that import ``supervision`` for the first time meanwhile would get the model's copy.
    """

    def __init__(self) -> None:
        self._modules: dict[str, ModuleType] = {}
        self._folders: list[str] = []

    @contextmanager
    def active(self) -> Iterator[None]:
        """Within, ``import supervision`` gives the model's copy."""
        with IMPORTS_LOCK:
            installed, path = _take_modules(), sys.path
            sys.modules.update(self._modules)
            sys.path = [*self._folders, *path]
            try:
                yield
            finally:
                self._folders = [folder for folder in sys.path if folder not in path]
                sys.path = path
                self._modules = _take_modules()
                sys.modules.update(installed)


def _take_modules() -> dict[str, ModuleType]:
    """Remove all modules of the package from those imported, and return them."""
    names = [name for name in sys.modules if name.partition(".")[0] == PACKAGE]
    return {name: sys.modules.pop(name) for name in names}
