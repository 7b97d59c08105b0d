r"""Maximum entropy IRL on a road network: one linear system serves every destination.

A driver on segment :math:`i` takes the turn into segment :math:`j` at reward :math:`w^\top
\phi_{ij}`, until segment :math:`g`, the destination, is entered.  The dynamics are deterministic,
so that the two forms of maximum entropy IRL are one, and :math:`\exp V` is linear in itself: with
:math:`M_{ij} = \exp(w^\top \phi_{ij})` for every turn and 0 elsewhere,

.. math::
    N = I + M + M^2 + \dots = (I - M)^{-1}

holds at :math:`(i, j)` the sum of :math:`\exp(\text{reward})` over all paths from i to j.  A path
from i to g splits at its *first* arrival at g into a drive to g and a loop from g to g, so that
:math:`N_{ig} = z_i^g N_{gg}`:

.. math::
    Z(i, g) = z_i^g = \exp V^g(i) = N_{ig} / N_{gg} .

One sparse LU of :math:`I - M` therefore gives the partition functions of all destinations, one
column of N for each, and, with one row more, their gradients.  The series converges when no
wandering about pays: the spectral radius of M has to be below one, which is so exactly when
:math:`N 1 \ge 1`.

References: Ziebart et al. (2008); Fosgerau et al. (2013) for the linear system.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from scipy.sparse import linalg

from irl_lib.support.checks import Array, check_array, check_count, check_real, check_rng
from irl_lib.worlds.base import Index
from irl_lib.worlds.streets import RoadNetwork, check_segments

SCALE = 1e280  # of the columns of N, so that exp V may be as small as 1e-570
SMALLEST = 1e-290
CHUNK = 2_000_000  # entries of an array with a column per destination
AT_ONCE = 4  # right-hand sides per solve: with more, BLAS starts threads for tiny blocks
SAMPLE = 12  # destinations from which the curvature is estimated
NEWTON_STEPS = 5  # that start from such an estimate, before BFGS goes on from the last of them
Routes = Sequence[ArrayLike]


@dataclass(frozen=True, eq=False)
class RouteResult:
    """What :func:`max_ent_routes` recovered, and how far it got."""

    weights: Array
    """``(K,)``."""
    covariance: Array
    """``(K, K)``: the inverse of the Fisher information of all routes, how far the weights may be
    off; infinite variance where the routes say nothing.
    """
    history: dict[str, Array]
    """``objective``, ``gradient_norm`` and ``weight_norm`` at each iteration."""
    gradient_norm: float
    """The certificate, 0 at the optimum, the norm of the feature gap (and ``-l2 * weights``)."""
    converged: bool
    message: str

    @property
    def standard_errors(self) -> Array:
        """``(K,)``: square roots of the diagonal of ``covariance``."""
        return np.sqrt(np.diag(self.covariance))


def max_ent_routes(
    network: RoadNetwork,
    routes: Routes,
    l2: float = 0.0,
    tolerance: float = 1e-6,
    max_iterations: int = 200,
    initial_weights: ArrayLike | None = None,
) -> RouteResult:
    r"""Recover the weights of the turns' features from routes, by maximum likelihood.

    A concave problem with few unknowns and a costly gradient: some Newton steps with the curvature
    of a dozen destinations, then BFGS, which learns the rest of it; steps are shortened where the
    series for N would not converge.

    Args:
        network: S segments, T turns with K features.
        routes: each the segments of a drive, from its origin to its destination, both included.
        l2: weight of :math:`\tfrac{1}{2}\|w\|^2`.
        tolerance: on the gradient norm.
        max_iterations: of BFGS.
        initial_weights: ``(K,)``; default: those that make each turn cost about as much as it
            takes.

    Returns:
        RouteResult; when the tolerance is not met ``converged`` is False, and a warning says so.

    Raises:
        ValueError: naming a bad argument; for routes that are none; when the series does not
            converge at the initial weights, or a destination is so far that exp V underflows there.

    Implements: eq-likelihood-gradient, eq-linear-gradient

    Example:
        >>> import numpy as np
        >>> from irl_lib.worlds import roads
        >>> network, rng = roads(seed=0, size=200), np.random.default_rng(0)
        >>> w = np.array([-6.0, -5.0, -3.0, -2.0, -1.0, -0.5, -1.5, -1.0, -0.5])
        >>> ends = rng.permuted(np.tile(np.arange(200), (500, 1)), axis=1)[:, :2].T
        >>> found = max_ent_routes(network, sample_routes(network, w, *ends, rng), l2=1e-3)
        >>> found.converged
        True
    """
    check_real("l2", l2, 0.0)
    check_real("tolerance", tolerance, 0.0, open_end=True)
    check_count("max_iterations", max_iterations)
    trips, start = trips_of(network, routes), _start(network, initial_weights)
    paths, rows, met = _bfgs(network, trips, start, l2, tolerance, max_iterations)
    history = dict(
        zip(("objective", "gradient_norm", "weight_norm"), np.array(rows).T, strict=True)
    )
    fisher = _information(paths, trips) + l2 * np.eye(start.size)
    covariance = _inverse_information(fisher) / len(trips.origin)
    norm = float(history["gradient_norm"][-1])
    message = f"gradient norm {norm:.2g} after {len(rows)} iterations; asked for {tolerance:g}"
    if not met:
        warnings.warn(f"max_ent_routes did not converge: {message}", RuntimeWarning, stacklevel=2)
    return RouteResult(paths.weights, covariance, history, norm, met, message)


def route_objective(
    network: RoadNetwork, routes: Routes, weights: ArrayLike, l2: float = 0.0
) -> tuple[float, Array]:
    r"""The mean log-likelihood of the routes, :math:`w^\top \phi(\text{route}) - \log Z(o, g)`,
    and its gradient ``(K,)``.

    The gradient is the routes' mean feature counts minus the model's.  With :math:`F_{ij}` the
    expected number of times that the turn is made, the derivative of :math:`\log z_o^g` in the
    turn's reward,

    .. math::
        F_{ij} = M_{ij} \Bigl(
            \frac{N_{oi} N_{jg}}{N_{og}} - \frac{N_{gi} N_{jg}}{N_{gg}} \Bigr) .

    Raises:
        ValueError: as :func:`max_ent_routes`.

    Implements: eq-partition-function, eq-likelihood-gradient, eq-linear-gradient
    """
    check_real("l2", l2, 0.0)
    paths = _Paths(network, _check_weights(network, weights))
    return _evaluate(paths, trips_of(network, routes), l2)


def information(network: RoadNetwork, routes: Routes, weights: ArrayLike) -> Array:
    r"""``(K, K)``: the Fisher information of one route, the mean covariance of the feature counts
    given its ends.

    Minus the Hessian of :func:`route_objective`.  It adds up from turn to turn: with :math:`\mu_i`
    the expected counts from i on, what a turn reveals is :math:`d_{ij} = \phi_{ij} + \mu_j -
    \mu_i`, with mean zero given i, and the covariance is :math:`\sum_{ij} F_{ij} d_{ij}
    d_{ij}^\top`.

    Raises:
        ValueError: as :func:`max_ent_routes`.
    """
    return _information(
        _Paths(network, _check_weights(network, weights)), trips_of(network, routes)
    )


def soft_values(network: RoadNetwork, weights: ArrayLike, destinations: ArrayLike) -> Array:
    r"""``(S, G)``: :math:`V^g(i) = \log Z(i, g)` for each of G destinations.

    Raises:
        ValueError: for bad arguments, a series that does not converge, or when exp V underflows.

    Implements: eq-partition-function
    """
    paths = _Paths(network, _check_weights(network, weights))
    goals = check_segments("destinations", np.atleast_1d(destinations), network.n_segments)
    values = np.empty((network.n_segments, len(goals)))
    for part, x in paths.columns(goals):
        if x.min() < SMALLEST:
            row, origin = (int(i) for i in np.unravel_index(x.argmin(), x.shape))
            raise ValueError(_underflow(origin, int(goals[part][row])))
        values[:, part] = (np.log(x) - np.log(x[np.arange(len(x)), goals[part]])[:, None]).T
    return values


def turn_probabilities(network: RoadNetwork, weights: ArrayLike, destinations: ArrayLike) -> Array:
    """``(T, G)``: the chance of each turn, on the segment that it leaves; 0 out of the destination
    itself.

    Implements: eq-soft-policy
    """
    v = soft_values(network, weights, destinations)
    reward = network.features @ np.asarray(weights)
    probability = np.exp(reward[:, None] + v[network.turn_to] - v[network.turn_from])
    return np.where(network.turn_from[:, None] == np.atleast_1d(destinations), 0.0, probability)


def route_log_probability(network: RoadNetwork, weights: ArrayLike, routes: Routes) -> Array:
    """``(R,)``: the log-probability of each route, given its origin and its destination.

    Implements: eq-normalised-posterior
    """
    trips, paths = trips_of(network, routes), _Paths(network, _check_weights(network, weights))
    log_z = np.empty(len(trips.origin))
    for part, x in paths.columns(trips.goals):
        mine, column = trips.within(part)
        log_z[mine] = _log_z(x, trips, mine, column, trips.goals[part])
    return np.asarray(trips.features @ paths.weights - log_z)


def sample_routes(
    network: RoadNetwork,
    weights: ArrayLike,
    origins: ArrayLike,
    destinations: ArrayLike,
    rng: np.random.Generator,
) -> list[Index]:
    """One random drive of a soft-optimal driver for each pair of an origin and a destination.

    Raises:
        ValueError: for pairs that don't fit, an origin that is its destination, or underflow.
    """
    check_rng(rng)
    trips = pairs_of(network, origins, destinations)
    paths = _Paths(network, _check_weights(network, weights))
    found: list[Index] = [np.empty(0, dtype=np.int64)] * len(trips.origin)
    for part, x in paths.columns(trips.goals):
        mine, column = trips.within(part)
        _log_z(x, trips, mine, column, trips.goals[part])

        def step(at: Index, walker: Index, x: Array = x, column: Index = column) -> Index:
            return paths.draw(at, x, column[walker], rng)

        drawn = follow(trips, mine, step)
        for route, i in zip(drawn, mine, strict=True):
            found[i] = route
    return found


# --- trips --------------------------------------------------------------------------------------


class Trips(NamedTuple):
    """What a likelihood needs to know of R routes."""

    origin: Index
    """``(R,)``."""
    goal: Index
    """``(R,)``: an index into ``goals``."""
    goals: Index
    """``(G,)``: the different destinations, ascending."""
    features: Array
    """``(R, K)``: the sum over the turns."""

    def within(self, part: slice) -> tuple[Index, Index]:
        """The trips to a part of the destinations, and which of that part each goes to."""
        mine = np.flatnonzero((self.goal >= part.start) & (self.goal < part.stop))
        return mine, self.goal[mine] - part.start


def trips_of(network: RoadNetwork, routes: Routes) -> Trips:
    """Check routes, and sum up their turns.

    Raises:
        ValueError: naming the route and the step, for one that is too short, uses a turn that does
            not exist, or passes its destination before its end.
    """
    paths = check_routes(network, routes)
    lengths = np.array([len(p) - 1 for p in paths])
    starts = np.cumsum(lengths) - lengths
    route = np.repeat(np.arange(len(paths)), lengths)
    before, after = (
        np.concatenate([p[side] for p in paths]) for side in (slice(-1), slice(1, None))
    )
    turn = network.turns(before, after)
    if (turn < 0).any():
        bad = int(np.argmin(turn))
        raise ValueError(
            f"routes[{route[bad]}] goes from segment {before[bad]} to segment {after[bad]} at step "
            f"{bad - starts[route[bad]]}, where there is no turn: "
            + _why_no_turn(network, int(before[bad]), int(after[bad]))
        )
    goals, goal = np.unique([p[-1] for p in paths], return_inverse=True)
    total = np.add.reduceat(network.features[turn], starts, axis=0)
    return Trips(np.array([p[0] for p in paths]), goal, goals, total)


def check_routes(network: RoadNetwork, routes: Routes) -> list[Index]:
    """Routes as arrays of segments, each with a destination that is not passed before.

    Raises:
        ValueError: naming the route that is something else.
    """
    if len(routes) == 0:
        raise ValueError("routes is empty; expected at least one route")
    paths = [check_segments(f"routes[{i}]", r, network.n_segments) for i, r in enumerate(routes)]
    for i, path in enumerate(paths):
        if path.ndim != 1 or len(path) < 2 or (path[:-1] == path[-1]).any():
            raise ValueError(
                f"routes[{i}] is {path.tolist()!r:.200}; expected two segments or more, "
                "the last one, the destination, nowhere else"
            )
    return paths


def _why_no_turn(network: RoadNetwork, before: int, after: int) -> str:
    if network.head[before] != network.tail[after]:
        return "the one does not start where the other ends"
    name: Any = network.names[after] if network.names else (int(network.tail[after]),)
    return (
        f"that is turning round at node {name[0]!r}, where there is another way; "
        "road_network(graph, u_turns=True) has turns for it"
    )


def pairs_of(network: RoadNetwork, origins: ArrayLike, destinations: ArrayLike) -> Trips:
    """Trips of which only the ends are known.

    Raises:
        ValueError: for arrays of different lengths, what is no segment, or an origin that is its
            destination.
    """
    origin = check_segments("origins", np.atleast_1d(origins), network.n_segments)
    end = check_segments("destinations", np.atleast_1d(destinations), network.n_segments)
    if origin.ndim != 1 or origin.shape != end.shape or origin.size == 0:
        raise ValueError(
            f"origins and destinations have shapes {origin.shape} and {end.shape}; "
            "expected as many of each"
        )
    if (origin == end).any():
        i = int(np.argmax(origin == end))
        raise ValueError(
            f"origins[{i}] is {origin[i]}, its own destination; expected another segment"
        )
    goals, goal = np.unique(end, return_inverse=True)
    return Trips(origin, goal, goals, np.zeros((len(origin), network.features.shape[1])))


def follow(trips: Trips, mine: Index, step: Callable[[Index, Index], Index]) -> list[Index]:
    """Walk some trips, all at once, to their ends; ``step(at, walker)`` says where to go from
    ``at``.
    """
    at, end = trips.origin[mine], trips.goals[trips.goal[mine]]
    walker = np.arange(len(mine))
    who, where = [walker], [at]
    while walker.size:
        at = step(at, walker)
        who.append(walker)
        where.append(at)
        going = at != end[walker]
        at, walker = at[going], walker[going]
    trip = np.concatenate(who)
    order = np.argsort(trip, kind="stable")
    return np.split(np.concatenate(where)[order], np.cumsum(np.bincount(trip))[:-1])


# --- the linear system --------------------------------------------------------------------------


class _NoValueError(ValueError):
    """No value of the objective at these weights."""


class _Paths:
    """The factors of I - M at some weights."""

    def __init__(self, network: RoadNetwork, weights: Array) -> None:
        self.network, self.weights = network, weights
        with np.errstate(over="ignore"):
            self.factor = np.exp(network.features @ weights)
        n = network.n_segments
        matrix = network.turn_matrix(np.nan_to_num(self.factor, posinf=1.0))
        options = {"SymmetricMode": True}  # the diagonal of an M-matrix is a good pivot throughout
        try:
            self.lu = linalg.splu(
                sparse.csc_array(sparse.eye_array(n) - matrix), "MMD_ATA", 0.0, options=options
            )
            paths = self.lu.solve(np.ones(n))
        except RuntimeError:  # exactly singular
            paths = np.zeros(n)
        if not (np.isfinite(self.factor).all() and np.isfinite(paths).all() and paths.min() > 0.99):
            raise _NoValueError(
                f"at weights {np.round(weights, 4).tolist()} the sum over all paths does not "
                "converge: wandering about pays more than it costs; expected lower (more negative) "
                "weights"
            )

    def columns(self, goals: Index) -> Iterator[tuple[slice, Array]]:
        """``(C, S)``: columns of N, times ``SCALE``, as rows; a part of the goals at a time."""
        n = self.network.n_segments
        for part in chunks(len(goals), n):
            x = np.zeros((part.stop - part.start, n))
            x[np.arange(len(x)), goals[part]] = SCALE
            yield part, self.solve(x)

    def solve(self, rows: Array, side: str = "N") -> Array:
        """``(C, S)``: N, or its transpose, times each row; a few at a time is fastest."""
        found = np.empty_like(rows)
        for i in range(0, len(rows), AT_ONCE):
            found[i : i + AT_ONCE] = self.lu.solve(rows[i : i + AT_ONCE].T, side).T
        return found

    def turn_flow(self, x: Array, goals: Index, origin: Index, column: Index) -> Iterator[Array]:
        """``(T,)`` for each row of x: how often each turn is expected, over all trips there."""
        right = np.zeros_like(x)
        np.add.at(right, (column, origin), 1.0 / x[column, origin])
        ends = (np.arange(len(goals)), goals)
        right[ends] -= np.bincount(column, minlength=len(goals)) / x[ends]
        y = self.solve(right, "T")
        for row, adjoint in zip(x, y, strict=True):
            yield self.factor * adjoint[self.network.turn_from] * row[self.network.turn_to]

    def expected_features(self, x: Array, goal: int) -> Array:
        """``(S, K)``: the feature counts expected from each segment on, the derivative of log z."""
        gain = (self.factor * x[self.network.turn_to])[:, None] * self.network.features
        change = np.add.reduceat(gain, self.network.first_turn[:-1], axis=0)
        change = self.solve(np.ascontiguousarray(change.T)).T
        change /= np.maximum(x, np.finfo(float).tiny)[:, None]
        return np.asarray(change - change[goal])

    def draw(self, at: Index, x: Array, column: Index, rng: np.random.Generator) -> Index:
        """The next segments of drivers at ``at``, on their ways to the goals of ``column``."""
        turn = self.network.out_turns[at]
        to = self.network.turn_to[turn]
        share = np.where(turn >= 0, self.factor[turn] * x[column[:, None], to], 0.0).cumsum(axis=1)
        drawn = rng.random(len(at))[:, None] * share[:, -1:]
        return np.asarray(to[np.arange(len(at)), np.sum(drawn >= share, axis=1)])


def chunks(n: int, rows: int) -> list[slice]:
    """Parts of ``n`` columns, such that an array with ``rows`` rows stays of moderate size."""
    size = max(1, min(n, CHUNK // rows))
    return [slice(i, min(i + size, n)) for i in range(0, n, size)]


def _log_z(x: Array, trips: Trips, mine: Index, column: Index, goals: Index) -> Array:
    """``(R,)``: log z of some trips, x being the columns of their goals."""
    reached = x[column, trips.origin[mine]]
    if reached.min() < SMALLEST:
        i = int(reached.argmin())
        raise _NoValueError(_underflow(int(trips.origin[mine[i]]), int(goals[column[i]])))
    return np.asarray(np.log(reached) - np.log(x[column, goals[column]]))


def _underflow(origin: int, goal: int) -> str:
    return (
        f"segment {goal} is so far from segment {origin} that exp V underflows (or can't be "
        "reached from it): expected destinations nearer by, or weights nearer to 0"
    )


# --- the likelihood -----------------------------------------------------------------------------


def _evaluate(paths: _Paths, trips: Trips, l2: float) -> tuple[float, Array]:
    total, flow = 0.0, np.zeros(paths.network.n_turns)
    for part, x in paths.columns(trips.goals):
        goals, (mine, column) = trips.goals[part], trips.within(part)
        total += float(_log_z(x, trips, mine, column, goals).sum())
        for turns in paths.turn_flow(x, goals, trips.origin[mine], column):
            flow += turns
    n, w = len(trips.origin), paths.weights
    observed = trips.features.mean(axis=0)
    value = float(w @ observed) - total / n - 0.5 * l2 * float(w @ w)
    return value, observed - paths.network.features.T @ flow / n - l2 * w


def _information(paths: _Paths, trips: Trips) -> Array:
    network, k = paths.network, paths.weights.size
    fisher = np.zeros((k, k))
    for part, x in paths.columns(trips.goals):
        goals, (mine, column) = trips.goals[part], trips.within(part)
        _log_z(x, trips, mine, column, goals)
        flows = paths.turn_flow(x, goals, trips.origin[mine], column)
        for goal, row, flow in zip(goals, x, flows, strict=True):
            mu = paths.expected_features(row, int(goal))
            news = network.features + mu[network.turn_to] - mu[network.turn_from]
            fisher += news.T @ (flow[:, None] * news)
    return fisher / len(trips.origin)


def _inverse_information(fisher: Array) -> Array:
    """The inverse; infinite variance for weights about which there is no information."""
    values, vectors = np.linalg.eigh(fisher)
    flat = values <= 1e-10 * values[-1]
    inverse = (vectors[:, ~flat] / values[~flat]) @ vectors[:, ~flat].T
    unknown = np.flatnonzero(np.sum(vectors[:, flat] ** 2, axis=1) > 1e-8)
    inverse[unknown, unknown] = np.inf
    return np.asarray(inverse)


def _check_weights(network: RoadNetwork, weights: ArrayLike) -> Array:
    return check_array("weights", weights, (network.features.shape[1],))


def _start(network: RoadNetwork, weights: ArrayLike | None) -> Array:
    """The given weights; or those at which each turn costs, nearly, the log of how many there are
    to choose from.
    """
    if weights is not None:
        return check_array("initial_weights", weights, (network.features.shape[1],))
    cost = np.full(network.n_turns, np.log(network.out_turns.shape[1]) + 0.1)
    return np.asarray(np.linalg.lstsq(network.features, -cost, rcond=None)[0])


def _sample(trips: Trips) -> Trips:
    """The trips to a few of the destinations."""
    which = np.unique(np.linspace(0, len(trips.goals) - 1, SAMPLE).astype(np.int64))
    mine = np.flatnonzero(np.isin(trips.goal, which))
    goal = np.searchsorted(which, trips.goal[mine])
    return Trips(trips.origin[mine], goal, trips.goals[which], trips.features[mine])


def _bfgs(
    network: RoadNetwork, trips: Trips, w: Array, l2: float, tolerance: float, max_iterations: int
) -> tuple[_Paths, list[tuple[float, float, float]], bool]:
    paths, some = _Paths(network, w), _sample(trips)
    value, gradient = _evaluate(paths, trips, l2)
    inverse, rows = np.eye(w.size), []
    for i in range(max_iterations):
        rows.append((value, float(np.linalg.norm(gradient)), float(np.linalg.norm(paths.weights))))
        if rows[-1][1] <= tolerance:
            return paths, rows, True
        if i < NEWTON_STEPS:
            curvature = _information(paths, some)
            ridge = l2 + 1e-6 * np.trace(curvature)
            inverse = np.linalg.inv(curvature + ridge * np.eye(w.size))
        found = _line_search(paths, trips, l2, value, gradient, inverse @ gradient)
        if found is None:
            break
        step, change = found[0].weights - paths.weights, gradient - found[2]
        paths, value, gradient = found
        inverse = _updated(inverse, step, change)
    return paths, rows, False


def _line_search(
    paths: _Paths, trips: Trips, l2: float, value: float, gradient: Array, step: Array
) -> tuple[_Paths, float, Array] | None:
    """The longest of the steps 1, 1/2, 1/4 ... that has a value, and a better one."""
    scale, slope = 1.0, float(gradient @ step)
    while scale > 1e-8:
        try:
            moved = _Paths(paths.network, paths.weights + scale * step)
            new, new_gradient = _evaluate(moved, trips, l2)
        except _NoValueError:
            scale /= 2.0
            continue
        if new >= value + 1e-4 * scale * slope - 1e-12 * abs(value):  # but for rounding
            return moved, new, new_gradient
        scale /= 2.0
    return None


def _updated(inverse: Array, step: Array, change: Array) -> Array:
    """The BFGS update of an inverse curvature."""
    curvature = float(step @ change)
    if curvature <= 0.0:  # only by rounding: the objective is concave
        return inverse
    left = np.eye(step.size) - np.outer(step, change) / curvature
    return np.asarray(left @ inverse @ left.T + np.outer(step, step) / curvature)
