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

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from scipy.sparse import linalg

from irl_lib.support.checks import Array, check_array, check_count, check_real, check_rng
from irl_lib.support.draws import draw
from irl_lib.support.result import Result, warn_early
from irl_lib.training import ascent
from irl_lib.training.ascent import Point, Run
from irl_lib.worlds.base import Index
from irl_lib.worlds.streets import RoadNetwork, check_segments

SCALE = 1e280  # of the columns of N, so that exp V may be as small as 1e-570
SMALLEST = 1e-290
CHUNK = 2_000_000  # entries of an array with a column per destination
AT_ONCE = 4  # right-hand sides per solve: with more, BLAS starts threads for tiny blocks
SAMPLE = 12  # destinations from which the curvature is estimated
NEWTON_STEPS = 3  # that start from such an estimate, before L-BFGS goes on from the last of them
Routes = Sequence[ArrayLike]


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class RouteResult(Result):
    """What :func:`max_ent_routes` recovered, and how far it got.

    ``policy`` is a function of destinations ``(G,)``, that gives the chance of each turn ``(T, G)``
    as :func:`turn_probabilities` does.  ``history`` has ``objective``, ``gradient_norm`` and
    ``weight_norm``, from the start on; the certificate is ``gradient_norm``, that of the feature
    gap (and ``-l2 * weights``).
    """

    weights: Array
    """``(K,)``."""
    covariance: Array
    """``(K, K)``: the inverse of the Fisher information of all routes, how far the weights may be
    off; infinite variance where the routes say nothing.
    """

    @property
    def standard_errors(self) -> Array:
        """``(K,)``: square roots of the diagonal of ``covariance``."""
        return np.sqrt(np.diag(self.covariance))


def max_ent_routes(
    network: RoadNetwork,
    routes: Routes,
    *,
    l2: float = 0.0,
    tolerance: float = 1e-6,
    max_iterations: int = 200,
    initial_weights: ArrayLike | None = None,
    progress: bool = False,
) -> RouteResult:
    r"""Recover the weights of the turns' features from routes, by maximum likelihood.

    A concave problem with few unknowns and a costly gradient: some Newton steps with the curvature
    of a dozen destinations, then L-BFGS, which learns the rest of it; steps are shortened where the
    series for N would not converge.

    Args:
        network: S segments, T turns with K features.
        routes: each the segments of a drive, from its origin to its destination, both included.
        l2: weight of :math:`\tfrac{1}{2}\|w\|^2`.
        tolerance: on the gradient norm.
        max_iterations: steps at most.
        initial_weights: ``(K,)``; default: those that make each turn cost about as much as it
            takes.
        progress: show a progress bar (needs tqdm).

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
    check_real("tolerance", tolerance, 0.0, open_end=True)
    check_count("max_iterations", max_iterations)
    check_real("l2", l2, 0.0)
    problem = _Likelihood(network, trips_of(network, routes), l2)
    point = problem.at(_start(network, initial_weights))
    with Run("max_ent_routes", tolerance, max_iterations, progress) as run:
        run.note(point)
        point = ascent.newton_cg(run, problem, point, NEWTON_STEPS)
        point = ascent.l_bfgs(run, problem, point, problem.even_basis(point))
        # Where its line search ended in rounding, short of the tolerance.
        point = ascent.newton_cg(run, problem, point)
    return _result(problem, point, run)


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
    return _evaluate(_Paths(network, weights), trips_of(network, routes), l2)


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
    return _information(_Paths(network, weights), trips_of(network, routes))


def soft_values(network: RoadNetwork, weights: ArrayLike, destinations: ArrayLike) -> Array:
    r"""``(S, G)``: :math:`V^g(i) = \log Z(i, g)` for each of G destinations.

    Raises:
        ValueError: for bad arguments, a series that does not converge, or when exp V underflows.

    Implements: eq-partition-function
    """
    paths = _Paths(network, weights)
    goals = check_segments("destinations", np.atleast_1d(destinations), network.n_segments)
    x = paths.columns(goals)
    if x.min(initial=np.inf) < SMALLEST:
        row, origin = np.unravel_index(int(x.argmin()), x.shape)
        raise ValueError(_underflow(int(origin), int(goals[row])))
    values = np.log(x)
    return np.ascontiguousarray((values - values[np.arange(len(x)), goals][:, None]).T)


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
    trips, paths = trips_of(network, routes), _Paths(network, weights)
    log_z = np.empty(len(trips.origin))
    for part in paths.parts(trips):
        log_z[part.mine] = part.log_z
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
    paths, found = _Paths(network, weights), dict[int, Index]()
    for part in paths.parts(trips):

        def step(at: Index, walker: Index, part: _Part = part) -> Index:
            return paths.draw(at, part.x, part.column[walker], rng)

        found |= dict(zip(part.mine.tolist(), follow(trips, part.mine, step), strict=True))
    return [found[i] for i in range(len(trips.origin))]


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

    def parts(self, rows: int) -> Iterator[tuple[Index, Index, Index]]:
        """Some destinations at a time, so that an array with ``rows`` entries for each of them
        stays of moderate size: these ``(C,)``, the trips to them, and to which of them each goes.
        """
        size = max(1, CHUNK // rows)
        for first in range(0, len(self.goals), size):
            mine = np.flatnonzero((self.goal >= first) & (self.goal < first + size))
            yield self.goals[first : first + size], mine, self.goal[mine] - first

    def by_goal(self) -> Iterator[tuple[int, Index]]:
        """Each destination, and the trips to it."""
        for i, goal in enumerate(self.goals.tolist()):
            yield goal, np.flatnonzero(self.goal == i)

    def some(self, mine: Index) -> Trips:
        """Some of the trips."""
        goals, goal = np.unique(self.goals[self.goal[mine]], return_inverse=True)
        return Trips(self.origin[mine], goal, goals, self.features[mine])


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


class _Part(NamedTuple):
    """The trips to some of the destinations, and their columns of N."""

    x: Array
    """``(C, S)``: the columns, times ``SCALE``, as rows."""
    goals: Index
    """``(C,)``."""
    mine: Index
    """``(P,)``: which trips these are."""
    origin: Index
    """``(P,)``: where they start."""
    column: Index
    """``(P,)``: the row of x of each one's destination."""
    log_z: Array
    """``(P,)``."""


class _Paths:
    """The factors of I - M at some weights."""

    def __init__(self, network: RoadNetwork, weights: ArrayLike) -> None:
        self.network = network
        self.weights = w = check_array("weights", weights, (network.features.shape[1],))
        with np.errstate(over="ignore"):
            self.factor = np.exp(network.features @ w)
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
                f"at weights {np.round(w, 4).tolist()} the sum over all paths does not "
                "converge: wandering about pays more than it costs; expected lower (more negative) "
                "weights"
            )

    def columns(self, goals: Index) -> Array:
        """``(C, S)``: columns of N, times ``SCALE``, as rows."""
        x = np.zeros((len(goals), self.network.n_segments))
        x[np.arange(len(x)), goals] = SCALE
        return self.solve(x)

    def parts(self, trips: Trips) -> Iterator[_Part]:
        """All trips, to some destinations at a time."""
        for goals, mine, column in trips.parts(self.network.n_segments):
            x, origin = self.columns(goals), trips.origin[mine]
            reached = x[column, origin]
            if reached.min() < SMALLEST:
                i = int(reached.argmin())
                raise _NoValueError(_underflow(int(origin[i]), int(goals[column[i]])))
            log_z = np.log(reached) - np.log(x[column, goals[column]])
            yield _Part(x, goals, mine, origin, column, log_z)

    def solve(self, rows: Array, side: str = "N") -> Array:
        """``(C, S)``: N, or its transpose, times each row; a few at a time is fastest."""
        found = np.empty_like(rows)
        for i in range(0, len(rows), AT_ONCE):
            found[i : i + AT_ONCE] = self.lu.solve(rows[i : i + AT_ONCE].T, side).T
        return found

    def turn_flow(self, part: _Part) -> Iterator[Array]:
        """``(T,)`` for each destination: how often each turn is expected, over all trips there."""
        x, goals = part.x, part.goals
        right = np.zeros_like(x)
        np.add.at(right, (part.column, part.origin), 1.0 / x[part.column, part.origin])
        ends = (np.arange(len(goals)), goals)
        right[ends] -= np.bincount(part.column, minlength=len(goals)) / x[ends]
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
        share = np.where(turn >= 0, self.factor[turn] * x[column[:, None], to], 0.0)
        return np.asarray(to[np.arange(len(at)), draw(share, rng)])


def _underflow(origin: int, goal: int) -> str:
    return (
        f"segment {goal} is so far from segment {origin} that exp V underflows (or can't be "
        "reached from it): expected destinations nearer by, or weights nearer to 0"
    )


# --- the likelihood -----------------------------------------------------------------------------


class _Likelihood:
    """The objective, as :mod:`irl_lib.training.ascent` climbs it.

    Its curvature is that of the trips to a few of the destinations, with a ridge; a point's
    ``more`` has the factors.
    """

    def __init__(self, network: RoadNetwork, trips: Trips, l2: float) -> None:
        self.network, self.trips, self.l2 = network, trips, l2
        which = np.unique(np.linspace(0, len(trips.goals) - 1, SAMPLE).astype(np.int64))
        self.sample = trips.some(np.flatnonzero(np.isin(trips.goal, which)))
        self._known: tuple[Point | None, Array] = None, np.empty(0)

    def at(self, weights: Array) -> Point:
        """Value and gradient.

        Raises:
            ValueError: where there are none.
        """
        paths = _Paths(self.network, weights)
        return Point(weights, *_evaluate(paths, self.trips, self.l2), more=paths)

    def evaluate(self, weights: Array) -> Point | None:
        """The same; None where there are none."""
        try:
            return self.at(weights)
        except _NoValueError:
            return None

    def matrix(self, point: Point) -> Array:
        """``(K, K)``: the curvature; that of the last point asked for is kept."""
        if self._known[0] is not point:
            fisher = _information(point.more, self.sample)
            ridge = self.l2 + 1e-6 * np.trace(fisher)
            self._known = point, fisher + ridge * np.eye(len(fisher))
        return self._known[1]

    def curvature(self, point: Point, direction: Array) -> Array:
        """The curvature, times a direction."""
        return np.asarray(self.matrix(point) @ direction)

    def scale(self, point: Point) -> Array:
        """``(K,)``: its diagonal."""
        return np.diag(self.matrix(point))

    def even_basis(self, point: Point) -> Array:
        """``(K, K)``: directions along which the curvature is 1."""
        values, vectors = np.linalg.eigh(self.matrix(point))
        return np.asarray(vectors / np.sqrt(values))


def _evaluate(paths: _Paths, trips: Trips, l2: float) -> tuple[float, Array]:
    total, flow = 0.0, np.zeros(paths.network.n_turns)
    for part in paths.parts(trips):
        total += float(part.log_z.sum())
        for turns in paths.turn_flow(part):
            flow += turns
    n, w = len(trips.origin), paths.weights
    observed = trips.features.mean(axis=0)
    likelihood = float(w @ observed) - total / n
    if likelihood > 1e-6:
        raise _NoValueError(
            f"at weights {np.round(w, 4).tolist()} rounding hides what the sum over all paths is: "
            "the routes would be more than certain; expected weights nearer to 0"
        )
    value = likelihood - 0.5 * l2 * float(w @ w)
    return value, observed - paths.network.features.T @ flow / n - l2 * w


def _information(paths: _Paths, trips: Trips) -> Array:
    network, k = paths.network, paths.weights.size
    fisher = np.zeros((k, k))
    for part in paths.parts(trips):
        for goal, row, flow in zip(part.goals, part.x, paths.turn_flow(part), strict=True):
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


def _start(network: RoadNetwork, weights: ArrayLike | None) -> Array:
    """The given weights; or those at which each turn costs, nearly, the log of how many there are
    to choose from.
    """
    if weights is not None:
        return check_array("initial_weights", weights, (network.features.shape[1],))
    cost = np.full(network.n_turns, np.log(network.out_turns.shape[1]) + 0.1)
    return np.asarray(np.linalg.lstsq(network.features, -cost, rcond=None)[0])


def _result(problem: _Likelihood, last: Point, run: Run) -> RouteResult:
    met, network, w = last.norm <= run.tolerance, problem.network, last.x
    message = "the gradient norm is below the tolerance"
    if not met:
        message = (
            f"stopped after {len(run.rows) - 1} iterations at gradient norm {last.norm:.3g}, above "
            f"the tolerance {run.tolerance:g}"
        )
        warn_early("max_ent_routes", message)
    fisher = _information(last.more, problem.trips) + problem.l2 * np.eye(w.size)
    return RouteResult(
        policy=partial(turn_probabilities, network, w),
        weights=w,
        covariance=_inverse_information(fisher) / len(problem.trips.origin),
        history=run.history,
        converged=met,
        message=message,
        certificate={"gradient_norm": last.norm},
    )
