"""Maximum entropy on a street network, where exp V is linear."""

from irl_lib.routes.likelihood import (
    RouteResult,
    information,
    max_ent_routes,
    route_log_probability,
    route_objective,
    sample_routes,
    soft_values,
    turn_probabilities,
)

__all__ = [
    "RouteResult",
    "information",
    "max_ent_routes",
    "route_log_probability",
    "route_objective",
    "sample_routes",
    "soft_values",
    "turn_probabilities",
]
