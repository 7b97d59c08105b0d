"""The bar that ``progress=True`` shows in a long loop."""

from __future__ import annotations

from typing import Any

from irl_lib.support.checks import check_flag


def bar(
    name: str, unit: str, total: int | None = None, first: int = 0, numbers: range | None = None
) -> Any:
    """A bar of tqdm's, which a loop moves on with ``update()``, or by going through ``numbers``.

    Args:
        name: what stands before it.
        unit: what is counted.
        total: how many there will be; None where nobody knows.
        first: how many are behind.
        numbers: what is gone through.

    Raises:
        ImportError: when tqdm is missing.
    """
    try:
        from tqdm.auto import tqdm
    except ImportError:
        raise ImportError('progress=True needs tqdm: pip install "irl_lib[progress]"') from None
    return tqdm(numbers, desc=name, unit=f" {unit}", total=total, initial=first)


def counted(name: str, unit: str, total: int, first: int = 0, shown: bool = True) -> Any:
    """The numbers ``first``, ..., ``total - 1``, with a bar if it is to be ``shown``.

    Example:
        >>> list(counted("rollout", "episodes", 3, shown=False))
        [0, 1, 2]
    """
    numbers = range(first, total)
    return bar(name, unit, total, first, numbers) if check_flag("progress", shown) else numbers
