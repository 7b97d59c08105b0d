"""What a check says of an answer.

Each starter notebook carries this module whole, so it needs numpy alone.  An *outcome* is what came
of one call: ``{"result": ...}`` in the words of JSON, or ``{"error": "its type: its message"}``.
"""

import inspect
from functools import partial, wraps

import numpy as np

LONGEST = 200  # characters of an error message that are told


def plain(value):
    """A value in the words of JSON; what is no number, text, array or collection of them fails."""
    if isinstance(value, np.generic):
        value = float(value) if value.dtype.kind == "f" else value.item()  # a long double, too
    if value is None or type(value) in (bool, int, float, str):
        return value
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        array = np.array(value)
        kind = array.dtype.kind
        if kind not in "biuf":
            raise TypeError(f"it returns an array of {array.dtype}; expected an array of numbers")
        array = array.astype(float) if kind == "f" else array
        return {"array": array.ravel().tolist(), "shape": array.shape, "kind": kind}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {"dict": {str(key): plain(each) for key, each in value.items()}}
    name = type(value).__name__
    raise TypeError(f"it returns an object of type {name}; expected numbers or arrays")


def restored(value):
    """The value that such words stand for."""
    if isinstance(value, list):
        return [restored(each) for each in value]
    if isinstance(value, dict) and "dict" in value:
        return {key: restored(each) for key, each in value["dict"].items()}
    if isinstance(value, dict):
        kinds = {"b": bool, "i": np.int64, "u": np.uint64, "f": float}
        return np.array(value["array"], dtype=kinds[value["kind"]]).reshape(value["shape"])
    return value


def settled(value):
    """A restored value with every number, and every list of numbers, as an array."""
    if isinstance(value, dict):
        return {key: settled(each) for key, each in value.items()}
    if isinstance(value, (bool, int, float, np.ndarray)):
        return np.asarray(value, dtype=float)
    if isinstance(value, list):
        parts = [settled(each) for each in value]
        shapes = {part.shape if isinstance(part, np.ndarray) else None for part in parts}
        return np.array(parts) if len(shapes) == 1 and None not in shapes else parts
    return value


def outcome(call):
    """What comes of calling this without arguments."""
    try:
        return {"result": plain(call())}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"[:LONGEST]}


def through(run, function):
    """A function as ``run`` calls it; where ``run`` fails on its None, the result is None."""
    if run is None:
        return function

    def call(**probe):
        nothing = []

        @wraps(function)
        def watched(*arguments, **options):
            result = function(*arguments, **options)
            nothing.append(result is None)
            return result

        try:
            return run(watched, **probe)
        except Exception:
            if any(nothing):
                return None
            raise

    return call


def difference(result, expected, rtol, atol, reveal=True):
    """What is wrong with a settled result, or nothing; ``reveal`` says the expected numbers."""
    if isinstance(expected, dict):
        if not isinstance(result, dict) or set(result) != set(expected):
            return f"returns something else than a dict with the keys {sorted(expected)}"
        pairs = [(f"the entry {key!r} ", result[key], expected[key]) for key in expected]
    elif isinstance(expected, list):
        several = isinstance(result, list) or (isinstance(result, np.ndarray) and result.ndim > 0)
        if not several or len(result) != len(expected):
            return f"doesn't return {len(expected)} values; expected as many as the text lists"
        pairs = [(f"value {i} ", *each) for i, each in enumerate(zip(result, expected))]
    elif isinstance(expected, np.ndarray):
        return array_difference(result, expected, rtol, atol, reveal)
    else:
        shown = f"; expected {expected!r}" if reveal else ""
        alike = not isinstance(result, np.ndarray) and bool(result == expected)
        return "" if alike else f"is {result!r}{shown}"
    for name, one, other in pairs:
        if said := difference(one, other, rtol, atol, reveal):
            return name + said
    return ""


def array_difference(result, expected, rtol, atol, reveal):
    """The same for an array of numbers."""
    if not isinstance(result, np.ndarray):
        return f"is a {type(result).__name__}; expected numbers of shape {expected.shape}"
    if result.shape != expected.shape:
        return f"has shape {result.shape}; expected {expected.shape}"
    close = np.isclose(result, expected, rtol, atol, equal_nan=True)
    if close.all():
        return ""
    if not np.isfinite(result[~close]).all():
        return "has entries that are not finite (nan or inf)"
    where = tuple(int(i) for i in np.argwhere(~close)[0])
    at = f" at {list(where)}" if where else ""
    if not reveal:
        return f"has wrong values ({np.sum(~close)} of {close.size})"
    return (
        f"has wrong values ({np.sum(~close)} of {close.size}); for instance{at} it is "
        f"{result[where]:.6g}, expected {expected[where]:.6g}"
    )


def same(one, other, rtol=1e-6, atol=1e-8):
    """Whether two outcomes are the same."""
    if "error" in one or "error" in other:
        return one.get("error") == other.get("error")
    pair = (settled(restored(each["result"])) for each in (one, other))
    return not difference(*pair, rtol, atol)


def fault(found, right, probe, judge=None, rtol=1e-6, atol=1e-8, reveal=True):
    """What is wrong with an outcome, in a sentence, or nothing.

    Args:
        found: the outcome.
        right: that of the solution; None where the judge doesn't need it.
        probe: the arguments.
        judge: of :func:`check`.
        rtol: relative tolerance.
        atol: absolute tolerance.
        reveal: whether the expected numbers may be told.
    """
    if "error" in found:
        name, _, message = found["error"].partition(": ")
        told = name == "Stopped" or message.startswith("it returns")
        return message if told else f"raises {name}: {message}"
    if found["result"] is None:
        return "not attempted yet (it returns None)"
    result = settled(restored(found["result"]))
    expected = None if right is None else settled(restored(right["result"]))
    if judge is None:
        return difference(result, expected, rtol, atol, reveal)
    known = {"result": result, "expected": expected, "probe": probe}
    try:
        return judge(*(known[name] for name in inspect.signature(judge).parameters))
    except Exception as error:
        return f"can't be judged: is it what the text asks for? ({type(error).__name__}: {error})"


def class_of(found, wrong, rtol=1e-6, atol=1e-8):
    """The first class of errors whose outcomes on all probes are the ones that were found."""
    for name, theirs in wrong.items():
        if all(same(one, other, rtol, atol) for one, other in zip(found, theirs)):
            return name
    return ""


def visible_check(answers, first=0, strict=False):
    """The function ``check`` of a starter notebook.

    Args:
        answers: for each graded function ``right``, the outcomes on the visible probes (or None),
            ``wrong``, those of each class of errors, and ``says``, a sentence for each class.
        first: the seed of the first probe.
        strict: whether to fail rather than to print.

    Raises:
        AssertionError: if it is strict, for a wrong answer.
    """

    def check(function, draw, run=None, judge=None, probes=3, rtol=1e-6, atol=1e-8, library=False):
        name = function.__name__
        known, found, faults = answers[name], [], []
        for i in range(probes):
            right = known["right"][i] if known["right"] else None
            words = plain(draw(np.random.default_rng(first + i)))
            probe = restored(words)
            found.append(outcome(partial(through(run, function), **probe)))
            faults.append(fault(found[-1], right, restored(words), judge, rtol, atol))
        said = next((each for each in faults if each), "")
        if said and not said.startswith("not attempted"):
            said = known["says"].get(class_of(found, known["wrong"], rtol, atol), said)
        if strict:
            assert not said, f"{name}: {said}"
        else:
            print(f"{name}: {said or 'passes the visible check'}")

    return check
