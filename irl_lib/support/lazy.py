"""Names of a package that are imported when they are first asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

EXTRAS = {
    "torch": "torch",
    "stable_baselines3": "rl",
    "gymnasium": "gym",
    "matplotlib": "plot",
    "transformers": "language",
    "accelerate": "language",
}


def lazily(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """A package's ``__getattr__``, for names whose modules need more than numpy and scipy.

    Args:
        package: its ``__name__``.
        homes: the module that each name stands in; a module's own name has that module.

    Raises:
        ImportError: by the function returned, when what a module needs is missing; it says what
            to install.
    """

    def look_up(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            module = import_module(homes[name])
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            if missing not in EXTRAS:
                raise
            raise ImportError(
                f'{package}.{name} needs {missing}: pip install "irl_lib[{EXTRAS[missing]}]"'
            ) from error
        return module if homes[name].endswith(f".{name}") else getattr(module, name)

    return look_up
