"""Transition matrices in all their forms, as one sparse matrix whose rows sum to 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from irl_lib.support.checks import SUM_TOLERANCE, check_numbers


def action_major(transitions: Any) -> tuple[sparse.csr_array, int]:
    """The transitions in any of their three forms as ``(A*S, S)`` CSR, and ``A``.

    Args:
        transitions: dense ``(S, A, S)``, sparse ``(S*A, S)``, or a sequence of A sparse ``(S, S)``.

    Raises:
        ValueError: for another shape, or naming the state and the action, for what is no
            distribution.
    """
    if sparse.issparse(transitions):
        matrix, n_actions = _from_stacked(transitions)
    elif isinstance(transitions, list | tuple) and any(map(sparse.issparse, transitions)):
        matrix, n_actions = _from_sequence(transitions), len(transitions)
    else:
        matrix, n_actions = _from_dense(transitions)
    return _check_rows(matrix), n_actions


def _from_stacked(transitions: Any) -> tuple[sparse.csr_array, int]:
    rows, n_states = transitions.shape if len(transitions.shape) == 2 else (0, 0)
    n_actions = rows // n_states if n_states else 0
    if n_actions < 1 or rows != n_states * n_actions:
        raise ValueError(f"transitions has shape {transitions.shape}; expected (S*A, S)")
    order = np.arange(rows).reshape(n_states, n_actions).T.ravel()
    return to_csr("transitions", transitions)[order], n_actions


def _from_sequence(transitions: Sequence[Any]) -> sparse.csr_array:
    n_states = max(np.shape(part)[-1] for part in transitions if sparse.issparse(part))
    for a, part in enumerate(transitions):
        if not sparse.issparse(part) or part.shape != (n_states, n_states):
            raise ValueError(
                f"transitions[{a}] has shape {np.shape(part)}; expected a sparse matrix of shape "
                f"({n_states}, {n_states}) for each action"
            )
    parts = [to_csr(f"transitions[{a}]", part) for a, part in enumerate(transitions)]
    return sparse.csr_array(sparse.vstack(parts, format="csr"), copy=len(parts) == 1)


def _from_dense(transitions: Any) -> tuple[sparse.csr_array, int]:
    array = check_numbers("transitions", transitions)
    shape = array.shape
    if len(shape) != 3 or shape[0] != shape[2] or 0 in shape:
        raise ValueError(f"transitions has shape {shape}; expected (S, A, S)")
    return sparse.csr_array(array.transpose(1, 0, 2).reshape(-1, shape[0])), shape[1]


def _check_rows(matrix: sparse.csr_array) -> sparse.csr_array:
    n_states = matrix.shape[1]
    matrix.sum_duplicates()
    data = matrix.data
    for wrong, wanted in ((~np.isfinite(data), "finite"), (data < 0, ">= 0")):
        if wrong.any():
            entry = int(np.argmax(wrong))
            a, s = divmod(int(np.searchsorted(matrix.indptr, entry, "right")) - 1, n_states)
            raise ValueError(f"transitions is {data[entry]:g} at s={s}, a={a}; expected {wanted}")
    sums = np.asarray(matrix.sum(axis=1)).ravel()
    if np.abs(sums - 1.0).max() > SUM_TOLERANCE:
        a, s = divmod(int(np.argmax(np.abs(sums - 1.0))), n_states)
        total = sums[a * n_states + s]
        raise ValueError(f"transitions sums to {total:.9g} over s' at s={s}, a={a}; expected 1")
    matrix.data /= np.repeat(sums, np.diff(matrix.indptr))
    matrix.eliminate_zeros()
    return _with_small_indices(matrix)


def _with_small_indices(matrix: sparse.csr_array) -> sparse.csr_array:
    """The same matrix with 32-bit indices where they suffice: a backup reads every one of them."""
    if max(matrix.nnz, *matrix.shape) > np.iinfo(np.int32).max:
        return matrix
    indices, indptr = matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32)
    return sparse.csr_array((matrix.data, indices, indptr), shape=matrix.shape)


def to_csr(name: str, value: Any) -> sparse.csr_array:
    """CSR of floats; it may share memory with ``value``.

    Raises:
        ValueError: naming a matrix whose entries are no real numbers.
    """
    if value.dtype.kind not in "biuf":
        raise ValueError(f"{name} has entries of type {value.dtype}; expected real numbers")
    return sparse.csr_array(value, dtype=np.float64)
