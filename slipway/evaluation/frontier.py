"""The line of least divergence between int8 and int4, and where to look on it. Pure."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from slipway.evaluation.sensitivity import Group
from slipway.values import Override, Quantization, SearchRecipe

#: Where to look between a candidate that meets every limit and one that meets all but another: a
#: limit that is not the goal is passed by little, since all of them follow the divergence.
_CLOSE = 0.8


class Frontier:
    """Candidates from everything in int8 (0) to everything in int4 (the last), by number.

    Each has one group more in int4 than the one before: the group that costs the least divergence
    for the bytes that it saves.

    Attributes:
        order: The groups in this order.
        costs: By number of groups in int4, the sum of what each costs alone.
        saved_weights: By number of groups, how many weights are in int4.
    """

    def __init__(
        self, recipe: SearchRecipe, groups: Sequence[Group], costs: Mapping[str, float]
    ) -> None:
        self._recipe = recipe
        self.order = sorted(groups, key=lambda each: costs[each.name] / each.weights)
        self.costs = (0.0, *accumulate(costs[each.name] for each in self.order))
        self.saved_weights = (0, *accumulate(each.weights for each in self.order))

    @property
    def last(self) -> int:
        """Number of the candidate with everything in int4."""
        return len(self.order)

    def candidate(self, number: int) -> Quantization:
        """Return a candidate by its number."""
        largest, smallest = self._recipe.candidates
        if number == 0:
            return largest
        finer = [node for group in self.order[number:] for node in group.nodes]
        overrides = tuple(Override(node=node, precision="int8") for node in sorted(finer))
        return smallest.model_copy(update={"overrides": overrides})


class Measured(NamedTuple):
    """A candidate that was built: its divergence, its size, and whether it meets the limit."""

    divergence: float
    size_bytes: int
    meets: bool


def next_number(frontier: Frontier, known: Mapping[int, Measured], goal: float) -> int | None:
    """Return the number of the candidate to build next, so that the smallest that meets is found.

    The divergence between those that are known is taken to grow as the sum of the groups' costs
    does, so most searches need two or three builds.

    Args:
        frontier: What can be built.
        known: What was built, with number 0 among it.
        goal: The divergence that is aimed at; other limits may be met later.

    Returns:
        None when the smallest that meets the limit is known, or none does.
    """
    meeting = [number for number, each in known.items() if each.meets]
    if not meeting:
        return None
    low = max(meeting)
    high = min((number for number in known if number > low), default=frontier.last + 1)
    if high - low <= 1:
        return None
    rise = _rise(frontier, known, low, high)
    room = goal - known[low].divergence
    if high in known and known[high].divergence <= goal:  # another limit is in the way
        room = _CLOSE * (known[high].divergence - known[low].divergence)
    reach = frontier.costs[low] + room / rise
    fitting = [number for number in range(low + 1, high) if frontier.costs[number] <= reach]
    return max(fitting, default=low + 1)


def _rise(frontier: Frontier, known: Mapping[int, Measured], low: int, high: int) -> float:
    """Return how fast the divergence grows with the costs, from the nearest that were measured."""
    if high in known:
        before, behind = low, high
    elif low:
        before, behind = 0, low
    else:
        return 1.0
    rise = known[behind].divergence - known[before].divergence
    return max(rise / max(frontier.costs[behind] - frontier.costs[before], 1e-12), 1e-6)


def within_size(frontier: Frontier, number: int, size_bytes: int, limit_bytes: float) -> int | None:
    """Return the first candidate that is expected to have at most ``limit_bytes``.

    Args:
        frontier: What can be built.
        number: A candidate that was built.
        size_bytes: Its size.
        limit_bytes: The limit.

    Returns:
        None if everything in int4 is expected to be larger.
    """
    base = size_bytes + frontier.saved_weights[number] // 2
    expected = [base - saved // 2 for saved in frontier.saved_weights]
    return next((place for place, size in enumerate(expected) if size <= limit_bytes), None)
