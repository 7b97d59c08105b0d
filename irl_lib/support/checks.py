"""Arguments at the door: each check names the argument, what it was and what was expected."""

from __future__ import annotations

import numbers
from collections.abc import Iterable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Kind = TypeVar("Kind")

LARGEST = 2**31 - 1  # of counts: of more there is neither time nor memory
LARGEST_SEED = 2**128 - 1  # as many bits as numpy draws where none is given
SUM_TOLERANCE = 1e-6  # how far from one a distribution may sum before it is refused


class WrongTypeError(TypeError, ValueError):
    """An argument of another class than was expected: a TypeError, and a ValueError like all else
    that is said of bad arguments.
    """


def check_type(name: str, value: Any, kind: type[Kind]) -> Kind:
    """``value``, when it is of this class.

    Raises:
        WrongTypeError: when it is something else.
    """
    if not isinstance(value, kind):
        wanted = f"{kind.__module__}.{kind.__qualname__}"
        raise WrongTypeError(f"{name} is {value!r}; expected an instance of {wanted}")
    return value


def check_distribution(name: str, value: ArrayLike, shape: tuple[int, ...]) -> Array:
    """A copy of ``value`` as a float array that is a distribution along its last axis.

    What has more axes than that is a policy, and an error names its state.
    """
    array = check_array(name, value, shape).copy()
    if (array < 0).any():
        raise ValueError(
            f"{name} has the negative entry {array.min():g}{_row(array, int(array.argmin()))}; "
            "probabilities are >= 0"
        )
    sums = array.sum(axis=-1, keepdims=True)
    worst = int(np.argmax(np.abs(sums - 1.0)))
    if abs(sums.flat[worst] - 1.0) > SUM_TOLERANCE:
        raise ValueError(
            f"{name} sums to {sums.flat[worst]:.9g}{_row(sums, worst)}; a distribution sums to 1"
        )
    array /= sums
    return frozen(array)


def _row(table: Array, entry: int) -> str:
    """Where an entry of a policy is, in words; nothing where there is a single row."""
    where = np.unravel_index(entry, table.shape)[:-1]
    named = zip(("step", "state")[2 - len(where) :], where, strict=True)
    return " in " * bool(where) + ", ".join(f"{axis} {i}" for axis, i in named)


def check_array(name: str, value: ArrayLike, shape: tuple[int, ...]) -> Array:
    """``value`` as a finite float array of the given shape."""
    array = check_shape(name, value, shape)
    if not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(f"{name} is {array[where]} at index {where}; every entry has to be finite")
    return array


def check_shape(name: str, value: ArrayLike, shape: tuple[int, ...]) -> Array:
    """``value`` as a float array of the given shape, for inner loops: it may be not finite."""
    array = check_numbers(name, value)
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}; expected {shape}")
    return array


def check_indices(name: str, value: ArrayLike) -> Index:
    """A copy of ``value`` as whole numbers ``(L,)``, none below zero."""
    array = as_array(name, value)
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {array.shape}; expected one axis of whole numbers")
    if array.size and array.dtype.kind not in "iu":
        raise ValueError(f"{name} has entries of type {array.dtype}; expected whole numbers")
    result = array.astype(np.int64)
    if result.size and result.min() < 0:
        worst = array[int(result.argmin())]
        raise ValueError(
            f"{name} has the entry {worst}; expected whole numbers from 0 to 2**63 - 1"
        )
    return frozen(result)


def check_flags(name: str, value: ArrayLike, n: int) -> NDArray[np.bool_]:
    """``(n,)`` booleans, from as many or from one."""
    array = as_array(name, value)
    if array.dtype != np.bool_ or array.shape not in [(), (n,)]:
        raise ValueError(
            f"{name} has type {array.dtype} and shape {array.shape}; expected a boolean, or {n} "
            "of them"
        )
    return frozen(np.broadcast_to(array, (n,)).copy())


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """The same array, which can no longer be written to."""
    array.setflags(write=False)
    return array


def check_numbers(name: str, value: ArrayLike) -> Array:
    """``value`` as a float array; text, objects and complex numbers are refused, not converted."""
    array = as_array(name, value)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} has entries of type {array.dtype}; expected real numbers")
    return np.asarray(array, dtype=np.float64)


def as_array(name: str, value: Any) -> NDArray[Any]:
    """``value`` as an array of whatever it holds; of a torch tensor that wants gradients, too."""
    parts = value if isinstance(value, list | tuple) else (value,)
    if any(map(np.ma.is_masked, parts)):  # numpy would take what the mask hides
        raise ValueError(f"{name} has masked entries; expected a number in place of each")
    try:
        return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ValueError(f"{name} is no array of numbers: {error}") from None


def check_real(
    name: str, value: Any, least: float, *, open_end: bool = False, most: float = np.inf
) -> float:
    """``value`` as a finite float from ``least`` (above it where the end is open) to ``most``."""
    is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    try:
        number = float(value) if is_real else float("nan")
    except OverflowError:  # a whole number of more than 308 digits
        number = float("inf")
    if np.isfinite(number) and least <= number <= most and not (open_end and number == least):
        return number
    wanted = f"a finite number {'>' if open_end else '>='} {least:g}"
    if most < np.inf:
        wanted = f"a number in {'(' if open_end else '['}{least:g}, {most:g}]"
    raise ValueError(f"{name} is {value!r}; expected {wanted}")


def check_count(name: str, value: Any, least: int = 1, most: int = LARGEST) -> int:
    """``value`` as a whole number from ``least`` to ``most``."""
    is_whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    count = int(value) if is_whole else least - 1
    if least <= count <= most:
        return count
    end = f"most {most}" if count > most else f"least {least}"
    raise ValueError(f"{name} is {value!r}; expected a whole number, at {end}")


def check_flag(name: str, value: Any) -> bool:
    """``value`` as a boolean; text and numbers, which all count as true or false, are refused."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} is {value!r}; expected True or False")
    return bool(value)


def check_sizes(name: str, value: Any) -> tuple[int, ...]:
    """``value`` as whole numbers, each at least 1; there may be none."""
    if not isinstance(value, Iterable) or isinstance(value, str):
        raise ValueError(f"{name} is {value!r}; expected a sequence of whole numbers")
    return tuple(check_count(f"{name}[{i}]", size) for i, size in enumerate(value))


def check_rng(rng: Any) -> np.random.Generator:
    """``rng``, when it is a generator of numpy's."""
    if not isinstance(rng, np.random.Generator):
        raise ValueError(f"rng is {rng!r}; expected a numpy.random.Generator")
    return rng


def check_whole_seed(seed: Any) -> int:
    """``seed`` as a whole number; torch takes its last 64 bits."""
    return check_count("seed", seed, 0, LARGEST_SEED)


def check_seed(seed: Any) -> np.random.Generator:
    """The generator of a seed; a generator is passed through."""
    if isinstance(seed, np.random.Generator):
        return seed
    try:
        return np.random.default_rng(check_whole_seed(seed))
    except ValueError as error:
        raise ValueError(f"{error}, or a numpy.random.Generator") from None
