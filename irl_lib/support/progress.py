"""The bar that ``progress=True`` shows in a long loop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from irl_lib.support.checks import check_flag


class _NoBar:
    """What stands for the bar where none is shown."""

    def __enter__(self) -> _NoBar:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def update(self) -> None:
        pass

    def set_postfix(self, **numbers: Any) -> None:
        pass


def bar(name: str, unit: str, total: int | None = None, first: int = 0, shown: bool = True) -> Any:
    """A bar of tqdm's for a ``with`` statement, moved on by ``update()``.

    Args:
        name: what stands before it.
        unit: what is counted.
        total: how many there will be; None where nobody knows.
        first: how many are behind.
        shown: the caller's ``progress``: where it is False, nothing is shown, nor tqdm needed.

    Raises:
        ImportError: when tqdm is missing.
    """
    if not check_flag("progress", shown):
        return _NoBar()
    try:
        from tqdm.auto import tqdm
    except ImportError:
        raise ImportError('progress=True needs tqdm: pip install "irl_lib[progress]"') from None
    return tqdm(desc=name, unit=f" {unit}", total=total, initial=first)


def counted(name: str, unit: str, total: int, first: int = 0, shown: bool = True) -> Iterator[int]:
    """The numbers ``first``, ..., ``total - 1``, with a bar if it is to be ``shown``.

    Example:
        >>> list(counted("rollout", "episodes", 3, shown=False))
        [0, 1, 2]
    """
    with bar(name, unit, total, first, shown) as moving:
        for number in range(first, total):
            yield number
            moving.update()
