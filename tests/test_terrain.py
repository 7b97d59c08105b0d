"""Maps: what a landscape is like, what crossing it amounts to, and what is refused."""

from __future__ import annotations

import dataclasses
import itertools

import networkx as nx
import numpy as np
import pytest

from benchmarks import terrain_planning
from irl_lib import demonstrations, planning
from irl_lib.support.checks import Array
from irl_lib.worlds import TRAVELLERS, Terrain, terrain, travel_costs, traveller
from irl_lib.worlds.lands import CELL, COVERS, FEATURES, LENGTHS, MOVES

LENGTH = travel_costs({"length": 1.0})
K = len(FEATURES)


@pytest.fixture(scope="module")
def land() -> Terrain:
    return terrain(32, seed=3)


def walls(land: Terrain, *columns: int) -> Terrain:
    """The same map with walls from the bottom to the top, and nothing else blocked."""
    blocked = np.zeros_like(land.blocked)
    blocked[:, list(columns)] = True
    return dataclasses.replace(land, blocked=blocked)


def neighbours(land: Terrain, state: int) -> list[tuple[int, int]]:
    """Moves and where they lead, one at a time."""
    y, x = divmod(state, land.size)
    found = []
    for move, (dx, dy) in enumerate(MOVES):
        inside = 0 <= x + dx < land.size and 0 <= y + dy < land.size
        target = (y + dy) * land.size + x + dx
        if inside and (not land.blocked.flat[target] or land.blocked.flat[state]):
            found.append((move, int(target)))
    return found


def mean_climb(land: Terrain, where: Array) -> float:
    """Metres up or down from a cell to one beside it, both among these."""
    cells, height = np.flatnonzero(where), land.elevation.ravel()
    target = land.targets[cells]
    inside = where.ravel()[target] & (target != cells[:, None])
    return float(np.abs(height[target] - height[cells, None])[inside].mean())


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("size", [16, 33, 64])
def test_every_free_cell_can_be_reached_from_every_other(size: int, seed: int) -> None:
    land = terrain(size, seed)
    free = np.flatnonzero(~land.blocked)
    graph = nx.from_edgelist((s, t) for s in free.tolist() for _, t in neighbours(land, s))
    assert set(graph) == set(free.tolist())
    assert nx.is_connected(graph)
    assert 0.5 < free.size / size**2 < 1.0


@pytest.mark.parametrize("seed", range(3))
def test_a_landscape_has_everything_in_moderation(seed: int) -> None:
    land = terrain(64, seed)
    share = np.bincount(land.cover.ravel(), minlength=len(COVERS)) / land.cover.size
    assert (share > 0.02).all()
    assert share.max() < 0.6
    for layer in (land.vegetation, land.moisture):
        assert layer.min() >= 0.0
        assert layer.max() < 1.0
    assert 120.0 < np.ptp(land.elevation) < 240.0
    assert land.road.ravel()[land.settlements].all()
    assert not (land.road & land.trail).any()
    assert not land.blocked[land.road | land.trail].any()
    assert 20 < land.road.sum() < 400
    assert land.trail.sum() > 5


def test_roads_connect_the_settlements(land: Terrain) -> None:
    on_road = np.flatnonzero(land.road)
    graph = nx.from_edgelist((s, t) for s in on_road.tolist() for _, t in neighbours(land, s))
    graph = graph.subgraph(on_road.tolist())
    for a, b in itertools.pairwise(land.settlements.tolist()):
        assert nx.has_path(graph, a, b)


def test_roads_go_round_what_is_hard_to_build_on() -> None:
    """Less water and swamp lie on roads than on the map, and gentler slopes; bridges are open."""
    lands = [terrain(64, seed) for seed in range(6)]
    wet = [COVERS.index("water"), COVERS.index("swamp")]
    on = np.mean([np.isin(land.cover[land.road], wet).mean() for land in lands])
    everywhere = np.mean([np.isin(land.cover, wet).mean() for land in lands])
    assert on < 0.5 * everywhere
    bridges = [land.road & (land.cover == COVERS.index("water")) for land in lands]
    assert np.sum(bridges) > 0
    assert not any(land.blocked[land.road | land.trail].any() for land in lands)
    climbs = [mean_climb(land, land.road) for land in lands]
    anywhere = [mean_climb(land, ~land.blocked) for land in lands]
    assert np.mean(climbs) < 0.85 * np.mean(anywhere)


def test_the_seed_decides_and_nothing_else() -> None:
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first, again, other = terrain(24, 0), terrain(24, 0), terrain(24, 1)
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002
    for field in dataclasses.fields(Terrain):
        np.testing.assert_array_equal(getattr(first, field.name), getattr(again, field.name))
    assert np.abs(first.elevation - other.elevation).max() > 10.0
    assert (first.road != other.road).any()
    assert "24 x 24 cells" in repr(first)


# --- features -----------------------------------------------------------------------------------


def test_moves_lead_to_neighbours(land: Terrain) -> None:
    for state in range(0, land.size**2, 7):
        expected = dict(neighbours(land, state))
        found = land.targets[state]
        for move in range(8):
            assert found[move] == expected.get(move, state)


def test_features_are_what_is_crossed(land: Terrain) -> None:
    phi = land.features()
    assert phi.shape == (land.size**2, 8, K)
    assert (phi >= 0.0).all()
    np.testing.assert_allclose(phi[..., 0], np.broadcast_to(LENGTHS, phi.shape[:2]))
    swamp, forest = (FEATURES.index(name) for name in ("swamp", "forest"))
    up, down = FEATURES.index("uphill"), FEATURES.index("downhill")
    off_road = FEATURES.index("off road")
    height, cover, road = (x.ravel() for x in (land.elevation, land.cover, land.road))
    for state in range(0, land.size**2, 5):
        for move, target in neighbours(land, state):
            ends = [state, target]
            length = np.hypot(*MOVES[move])
            for k, name in ((swamp, "swamp"), (forest, "forest")):
                share = np.mean([cover[s] == COVERS.index(name) and not road[s] for s in ends])
                assert phi[state, move, k] == pytest.approx(length * share)
            assert phi[state, move, off_road] == pytest.approx(length * np.mean(~road[ends]))
            climb = (height[target] - height[state]) / 10.0
            assert phi[state, move, up] - phi[state, move, down] == pytest.approx(climb)
            assert min(phi[state, move, up], phi[state, move, down]) == 0.0


def test_a_way_back_crosses_the_same(land: Terrain) -> None:
    phi, targets = land.features(), land.targets
    free = np.flatnonzero(~land.blocked)
    up, down = FEATURES.index("uphill"), FEATURES.index("downhill")
    one_way = [FEATURES.index("slanting")]  # looks at the slope where a move begins
    for move in range(8):
        there = free[targets[free, move] != free]
        back = phi[targets[there, move], (move + 4) % 8]
        forth = phi[there, move]
        back[:, [up, down]] = back[:, [down, up]]
        same = np.delete(np.arange(K), one_way)
        np.testing.assert_allclose(forth[:, same], back[:, same], atol=1e-12)


def test_steep_and_slanting_on_a_plane() -> None:
    """On a plane that rises to the east, going east is steep and going north is slanting."""
    land = terrain(16, 0)
    rise = 0.3 * CELL * np.tile(np.arange(16.0), (16, 1))
    phi = dataclasses.replace(land, elevation=rise, blocked=land.blocked & False).features()
    middle, steep, slanting = 8 * 16 + 8, FEATURES.index("steep"), FEATURES.index("slanting")
    assert phi[middle, 0, steep] == pytest.approx(0.5)  # half way from .15 to .45
    assert phi[middle, 0, slanting] == pytest.approx(0.0)
    assert phi[middle, 2, steep] == pytest.approx(0.0)
    assert phi[middle, 2, slanting] == pytest.approx(0.6)  # .3 of .5
    assert phi[middle, 0, FEATURES.index("uphill")] == pytest.approx(0.3 * CELL / 10.0)
    assert phi[middle, 4, FEATURES.index("downhill")] == pytest.approx(0.3 * CELL / 10.0)
    diagonal = dataclasses.replace(land, elevation=0.5 * (rise + rise.T)).features()
    assert diagonal[middle, 1, slanting] == pytest.approx(0.0)
    across = 0.3 / np.sqrt(2.0) / 0.5  # of the slope, which is .3 / sqrt 2 along the diagonal
    assert diagonal[middle, 3, slanting] == pytest.approx(np.sqrt(2.0) * across)


def test_distances_bends_and_nothing_near(land: Terrain) -> None:
    phi = land.features()
    near, far = FEATURES.index("near road"), FEATURES.index("far from road")
    on_road = np.flatnonzero(land.road)
    inside = [s for s in on_road if land.targets[s, 0] in on_road and land.targets[s, 0] != s]
    assert inside
    assert phi[inside, 0, near] == pytest.approx(1.0)
    assert phi[inside, 0, far] == pytest.approx(0.0)
    no_road = dataclasses.replace(land, road=land.road & False).features()
    assert no_road[..., near].max() < 1e-9
    np.testing.assert_allclose(no_road[..., far], np.broadcast_to(LENGTHS, no_road.shape[:2]))
    y, x = np.indices((32, 32)) - 16
    hill = dataclasses.replace(land, elevation=200.0 * np.exp(-(x**2 + y**2) / 50.0))
    top, ridge, valley = 16 * 32 + 16, FEATURES.index("ridge"), FEATURES.index("valley")
    assert hill.features()[top, 0, ridge] > 0.9
    assert hill.features()[top, 0, valley] == 0.0


# --- tasks --------------------------------------------------------------------------------------


def test_tasks_are_shortest_path_problems(land: Terrain) -> None:
    rng = np.random.default_rng(0)
    for (start, goal), name in zip(land.draw_ends(rng, 4), TRAVELLERS, strict=True):
        world = land.task(start, goal, traveller(name))
        assert world.mdp.episodic
        assert np.flatnonzero(world.mdp.absorbing).tolist() == [goal]
        assert world.mdp.initial[start] == 1.0
        assert (world.features[goal] == 0.0).all()
        assert world.feature_names == FEATURES
        assert world.reward.max() <= 0.0
        np.testing.assert_allclose(world.reward, world.features @ world.weights)
        graph = nx.DiGraph()
        for s in np.flatnonzero(~land.blocked).tolist():
            for move, target in neighbours(land, s):
                graph.add_edge(s, target, weight=-world.reward[s, move])
        for_free = planning.value_iteration(world.mdp, world.reward)
        best = nx.dijkstra_path_length(graph, start, goal)
        assert world.mdp.initial @ for_free.v == pytest.approx(-best)
        drawn = demonstrations.sample(world.mdp, for_free.policy, 1, rng)
        assert drawn.states[0][[0, -1]].tolist() == [start, goal]
        assert not land.blocked.ravel()[drawn.states[0]].any()


def test_travellers_go_different_ways() -> None:
    land = terrain(64, seed=2)
    start, goal = land.draw_ends(np.random.default_rng(3))[0]
    world = land.task(start, goal, LENGTH)
    cost = {}
    paths = {}
    for name in TRAVELLERS:
        policy = planning.value_iteration(world.mdp, world.features @ traveller(name)).policy
        paths[name] = planning.occupancy(world.mdp, policy)
    for name, other in itertools.product(TRAVELLERS, repeat=2):
        reward = world.features @ traveller(name)
        cost[name, other] = -np.sum(paths[other] * reward)
    for name in TRAVELLERS:
        assert all(cost[name, name] <= cost[name, other] + 1e-9 for other in TRAVELLERS)
        assert max(cost[name, other] for other in TRAVELLERS) > 1.1 * cost[name, name]


def test_cells_without_a_way_to_the_goal_are_closed(land: Terrain) -> None:
    parted = walls(land, 20)
    world = parted.task(0, 19, LENGTH)
    targets = world.mdp.matrix.indices.reshape(8, -1).T
    here = np.flatnonzero(np.arange(32**2) % 32 < 20)
    assert (targets[here] % 32 < 20).all()
    assert world.mdp.initial @ planning.value_iteration(world.mdp, world.reward).v == -19.0


def test_maps_without_a_path(land: Terrain) -> None:
    parted = walls(land, 20)
    with pytest.raises(ValueError, match=r"start cell \(x=1, y=0\) to the goal cell \(x=31, y=2\)"):
        parted.task(1, 2 * 32 + 31, LENGTH)


@pytest.mark.parametrize(
    ("start", "goal", "message"),
    [
        (0, 20, r"goal is cell \(x=20, y=0\), which is blocked"),
        (20, 0, r"start is cell \(x=20, y=0\), which is blocked"),
        (5, 5, r"start and goal are both cell \(x=5, y=0\)"),
        (-1, 5, "start is -1; expected a state, 0 to 1023"),
        (0, 1024, "goal is 1024; expected a state, 0 to 1023"),
        (0, 1.5, "goal is 1.5; expected a state"),
        (True, 5, "start is True; expected a state"),
    ],
)
def test_bad_ends(land: Terrain, start: object, goal: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        walls(land, 20).task(start, goal, LENGTH)


def test_ends_are_free_and_apart(land: Terrain) -> None:
    ends = np.array(land.draw_ends(np.random.default_rng(1), 50, least=0.8))
    apart = np.linalg.norm(land.positions[ends[:, 0]] - land.positions[ends[:, 1]], axis=1)
    assert apart.min() >= 0.8 * 32
    assert not land.blocked.ravel()[ends].any()
    again = land.draw_ends(np.random.default_rng(1), 50, least=0.8)
    assert [tuple(pair) for pair in ends.tolist()] == again
    crowded = dataclasses.replace(land, blocked=np.arange(32**2).reshape(32, 32) >= 9)
    with pytest.raises(ValueError, match="hardly any free cells are so far apart"):
        crowded.draw_ends(np.random.default_rng(1))


@pytest.mark.parametrize("arguments", [{"n": 0}, {"n": 1.5}, {"least": -0.1}, {"least": 1.0}])
def test_bad_draws(land: Terrain, arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        land.draw_ends(np.random.default_rng(0), **arguments)


@pytest.mark.parametrize("size", [15, 0, -3, 40.0, True, "64"])
def test_bad_sizes(size: object) -> None:
    with pytest.raises(ValueError, match="size is"):
        terrain(size)


def test_bad_weights(land: Terrain) -> None:
    start, goal = land.draw_ends(np.random.default_rng(0))[0]
    with pytest.raises(ValueError, match=f"weights has shape \\(3,\\); expected \\({K},\\)"):
        land.task(start, goal, np.zeros(3))
    with pytest.raises(ValueError, match="weights is 2 for 'scrub'; expected costs, at most 0"):
        land.task(start, goal, LENGTH + 2.0 * (np.arange(K) == 1))
    with pytest.raises(ValueError, match="minded has 'lava', 'mud'; expected some of length"):
        travel_costs({"mud": 1.0, "lava": 1.0, "swamp": 1.0})
    with pytest.raises(ValueError, match=r"minded\['swamp'\] is -1"):
        travel_costs({"swamp": -1.0})
    with pytest.raises(ValueError, match="name is 'pilot'; expected one of hiker"):
        traveller("pilot")


def test_costs_become_weights() -> None:
    w = travel_costs({"length": 1.0, "swamp": 2.5})
    assert w[0] == -1.0
    assert w[FEATURES.index("swamp")] == -2.5
    assert np.count_nonzero(w) == 2
    for name in TRAVELLERS:
        assert (traveller(name) <= 0.0).all()
        assert traveller(name)[0] == -1.0


# --- the benchmark ------------------------------------------------------------------------------


def test_the_benchmark_compares_on_maps_never_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terrain_planning, "GUESSES", {"scout": {"length": 1.0, "near road": 2.0}})
    rows = terrain_planning.run(size=24, seeds=1, exam_maps=2)
    assert len(rows) == 2 * len(terrain_planning.METHODS)
    assert {row["teachers"] for row in rows} == {"err a little", "never err"}
    for row in rows:
        assert 0.0 <= row["regret_percent"] <= row["worst_regret_percent"]
        assert row["regret_percent"] == row["scout_regret_percent"]
        assert 0.0 < row["overlap_percent"] <= 100.0
    regret = {
        row["method"]: row["regret_percent"] for row in rows if row["teachers"] == "never err"
    }
    assert regret["max margin"] < 0.5 * regret["shortest"]
    assert regret["max entropy"] < 0.5 * regret["shortest"]


def test_a_forgiving_loss_is_no_more_than_a_step(land: Terrain) -> None:
    start, goal = land.draw_ends(np.random.default_rng(0))[0]
    world = land.task(start, goal, LENGTH)
    path = terrain_planning.travel(world, world.reward, np.random.default_rng(0))
    loss = terrain_planning.forgiving_loss(world, path)
    assert loss.min() >= 0.0
    assert loss.max() <= 1.0
    step = path.steps()
    assert (loss[step.state, step.action] == 0.0).all()
    onto = np.isin(land.targets, path.states[0])
    onto[goal] = True  # where the episode has ended
    assert (loss[onto] == 0.0).all()
    assert loss[~onto].min() > 0.1  # one cell off, at two cells' width
