"""Maximum entropy on a street network, where exp V is linear; and what such a model predicts."""

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
from irl_lib.routes.prediction import (
    TurnFrequencies,
    best_path_weights,
    best_routes,
    destination_posterior,
    next_turn_probabilities,
    route_match,
    turn_frequencies,
)

__all__ = [
    "RouteResult",
    "TurnFrequencies",
    "best_path_weights",
    "best_routes",
    "destination_posterior",
    "information",
    "max_ent_routes",
    "next_turn_probabilities",
    "route_log_probability",
    "route_match",
    "route_objective",
    "sample_routes",
    "soft_values",
    "turn_frequencies",
    "turn_probabilities",
]
