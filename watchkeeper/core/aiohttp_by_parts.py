"""
aiohttp part by part. Its server takes 10 MB and its client, which comes with any part of it, 7 MB more: a role that
reads no pages does without.
"""

import importlib
import re
import sys
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from threading import RLock
from types import ModuleType
from typing import Any, Final

_NAME: Final = "aiohttp"
_LOCK: Final = RLock()


class _Package(ModuleType):
    """Its modules are loaded when they are asked for, and all of it, by one thread, when anything else is."""

    is_loading = False

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if find_spec(f"{_NAME}.{name}") is not None:
            return importlib.import_module(f"{_NAME}.{name}")
        with _LOCK:  # not around the parts above: the thread that loads all of it may be waiting for one of them
            if type(self) is _Package:
                _load_all(self, name)
        return getattr(self, name)


def _load_all(package: _Package, name: str) -> None:
    """:raises AttributeError: all of it is being loaded by this thread, and has no `name` yet"""
    loader = package.__spec__.loader if package.__spec__ is not None else None
    if loader is None or _Package.is_loading:
        raise AttributeError(name)
    _Package.is_loading = True
    try:
        loader.exec_module(package)
    finally:
        _Package.is_loading = False
    package.__class__ = ModuleType  # type: ignore[assignment]


def take_aiohttp_by_parts() -> None:
    """
    To be called before aiohttp is imported; afterwards it does nothing. `import aiohttp.web_server` then loads that and
    what it needs, `aiohttp.ClientSession` all.
    """
    with _LOCK:
        spec = find_spec(_NAME)
        if spec is None or _NAME in sys.modules:
            return
        package = module_from_spec(spec)
        package.__class__ = _Package
        vars(package)["__version__"] = _version(Path(spec.origin or ""))  # the one thing of it that its modules ask for
        sys.modules[_NAME] = package


def _version(source: Path) -> str:
    """importlib.metadata tells it too, for 2 MB."""
    found = re.search('^__version__ = "(.+)"$', source.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else ""
