"""What every method returns, and what it says when it stopped early."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

from irl_lib.support.checks import Array


class ConvergenceWarning(RuntimeWarning):
    """An optimisation stopped before its certificate was below its tolerance."""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Result:
    """What every method of this package returns; each adds what it recovers."""

    policy: Any
    """A table ``(S, A)`` or ``(T, S, A)``; a tuple of them for several MDPs; or a policy that an
    environment is stepped with."""
    history: dict[str, Array]
    """One entry per iteration."""
    converged: bool
    """Whether the certificate is below the tolerance, and an optimum exists."""
    message: str
    """Why it ended."""
    certificate: dict[str, float]
    """Numbers that are 0 at the optimum, and nowhere else."""

    def __getattr__(self, name: str) -> float:
        """A number of the certificate, by its name."""
        certificate = self.__dict__.get("certificate", {})
        if name not in certificate:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return float(certificate[name])

    def __repr__(self) -> str:
        iterations = max((len(each) for each in self.history.values()), default=0)
        state = "converged" if self.converged else "not converged"
        count = f"{iterations} iteration{'s' * (iterations != 1)}"
        parts = [state, count] if iterations else [state]
        parts += [f"{name} {number:.2g}" for name, number in self.certificate.items()]
        return f"{type(self).__name__}({', '.join(parts)})"


def warn_early(method: str, message: str) -> None:
    """Warn that a method, called by the caller's caller, stopped early."""
    warnings.warn(f"{method}: {message}", ConvergenceWarning, stacklevel=4)
