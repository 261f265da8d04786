"""A search finds the smallest artifact between int4 and int8 that keeps a limit."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from slipway.build.products import Product
from slipway.evaluation import reference, sensitivity
from slipway.evaluation.frontier import Frontier, Measured, next_number, within_size
from slipway.evaluation.search import find
from slipway.evaluation.sensitivity import SensitivityRequest, groups
from slipway.system.process import ProcessLimits
from slipway.values import GateLimits, Gates, QuantizeRecipe, SearchRecipe, Text
from tests.support import summaries
from tests.support.measured_values import weights_of, workspace_of
from tests.support.tiny_phi3 import CONVERSATIONS

LAYERS, WIDTH = 30, 576
PARTS = ("attn/qkv_proj", "attn/o_proj", "mlp/gate_proj", "mlp/up_proj", "mlp/down_proj")
SIZE_BYTES = 157_000_000


def products(layers: int = LAYERS) -> tuple[Product, ...]:
    """Return the products of a model with its output layer."""
    nodes = [f"/model/layers.{layer}/{part}/MatMul" for layer in range(layers) for part in PARTS]
    return tuple(Product(node=node, weights=WIDTH**2) for node in [*nodes, "/lm_head/MatMul"])


def frontier(recipe: SearchRecipe | None = None) -> Frontier:
    """Return a line of groups that cost 0.001, 0.002 and so on for the same bytes."""
    several = groups(products())
    costs = {
        each.name: 0.001 * place * each.weights / WIDTH**2
        for place, each in enumerate(several, start=1)
    }
    return Frontier(recipe or SearchRecipe(max_kl=0.15), several, costs)


def test_layers_are_grouped_and_no_product_is_lost() -> None:
    """Thirty-two groups at most, so that measuring all of them is a matter of a minute."""
    few, many = groups(products(2)), groups(products())

    assert [each.name for each in few] == [
        *("layers 0 attn", "layers 0 mlp", "layers 0 down_proj"),
        *("layers 1 attn", "layers 1 mlp", "layers 1 down_proj"),
        "lm_head",
    ]
    assert len(many) == 31
    assert many[0].name == "layers 0-2 attn"
    nodes = [node for each in many for node in each.nodes]
    assert sorted(nodes) == sorted(each.node for each in products())


def test_a_candidate_has_in_int8_what_costs_most() -> None:
    """The ends have no exceptions: everything in int8, and everything in int4."""
    line = frontier()

    first, middle, last = (line.candidate(number) for number in (0, 20, line.last))

    assert (first.precision, first.overrides) == ("int8", ())
    assert (last.precision, last.overrides) == ("int4", ())
    assert {each.precision for each in middle.overrides} == {"int8"}
    dearest = {node for group in line.order[20:] for node in group.nodes}
    assert {each.node for each in middle.overrides} == dearest
    assert len({first.variant, middle.variant, last.variant}) == 3
    assert len(middle.variant) < 80


@pytest.mark.parametrize("factor", [0.4, 0.9, 1.0, 1.6, 5.0])
@pytest.mark.parametrize("limit", [0.05, 0.15, 0.5])
def test_few_builds_find_the_smallest_that_keeps_the_limit(factor: float, limit: float) -> None:
    """Also where groups together cost more or less than the sum of what each costs alone."""
    line = frontier()

    def built(number: int) -> Measured:
        divergence = 0.006 + factor * line.costs[number] ** 1.1
        return Measured(
            divergence, SIZE_BYTES - line.saved_weights[number] // 2, divergence <= limit
        )

    known = {0: built(0)}
    while len(known) < 8 and (number := next_number(line, known, limit)) is not None:
        assert number not in known
        known[number] = built(number)

    smallest = max(number for number in range(line.last + 1) if built(number).meets)
    assert max(number for number, each in known.items() if each.meets) >= smallest - 1
    assert len(known) <= 8


def test_another_limit_than_the_divergence_is_found_as_well() -> None:
    """The smallest that meets it is between the goal and what is known to meet it."""
    line = frontier()

    def built(number: int) -> Measured:
        return Measured(0.006 + line.costs[number], 1, number <= 5)

    known = {0: built(0)}
    while (number := next_number(line, known, 0.15)) is not None:
        known[number] = built(number)

    assert max(number for number, each in known.items() if each.meets) == 5
    assert len(known) <= 6


def test_a_search_ends_where_nothing_meets_or_everything_does() -> None:
    """No build is spent where its result is known."""
    line = frontier()

    assert next_number(line, {0: Measured(0.3, SIZE_BYTES, meets=False)}, 0.15) is None
    known = {0: Measured(0.0, SIZE_BYTES, meets=True)}
    assert next_number(line, known, 100) == line.last
    known[line.last] = Measured(1.0, 80_000_000, meets=True)
    assert next_number(line, known, 100) is None


def test_a_size_is_reached_with_the_fewest_groups_in_int4() -> None:
    """Half a byte is saved for each weight, counted from what was built last."""
    line = frontier()

    number = within_size(line, 0, SIZE_BYTES, 150e6)

    assert number is not None
    saved = [weights // 2 for weights in line.saved_weights]
    assert SIZE_BYTES - saved[number] <= 150e6 < SIZE_BYTES - saved[number - 1]
    assert within_size(line, number, 150_000_001, 150e6) == number + 1
    assert within_size(line, 0, SIZE_BYTES, 1e6) is None


def test_a_search_has_exactly_one_limit() -> None:
    """Neither is nothing to search for, and both are two searches."""
    for limits in ({}, {"max_kl": 0.1, "max_size_mb": 100}):
        with pytest.raises(ValidationError, match="either max_kl or max_size_mb"):
            SearchRecipe.model_validate(limits)


def test_what_each_group_costs_is_measured_on_the_source_itself(
    checkpoint: Path, tmp_path: Path
) -> None:
    """One group alone, and then its weights are again what they were."""
    reading = tmp_path / "reading"
    reading.mkdir()
    texts = (Text(group="known", content=" ".join(CONVERSATIONS.values())),)
    reference.read(reference.ReferenceRequest(weights=checkpoint, texts=texts, into=reading))
    parts = ("attn/qkv_proj", "mlp/gate_up_proj", "mlp/down_proj")
    nodes = [
        f"/model/layers.{layer}/{part}/MatMul" for layer, part in itertools.product((0, 1), parts)
    ]
    several = groups(tuple(Product(node=node, weights=1) for node in [*nodes, "/lm_head/MatMul"]))
    request = SensitivityRequest(weights=checkpoint, reading=reading, groups=several, block_size=32)

    costs = sensitivity.measure(request)
    again = sensitivity.measure(request.model_copy(update={"groups": tuple(reversed(several))}))

    assert {*costs} == {each.name for each in several}
    assert min(costs.values()) > 0
    assert again == pytest.approx(costs, rel=1e-6)


@pytest.mark.slow
def test_a_search_builds_measures_and_is_read_from_the_store_again(
    checkpoint: Path, limits: ProcessLimits
) -> None:
    """What was found is a recipe of candidates, the best first, and the limit is a gate."""
    names = ("compared_tokens", "kl_long", "top1_agreement", "perplexity_ratio", "size_bytes")
    no_other = Gates.model_validate({name: {} for name in names})
    asked = summaries.entry(recipe=SearchRecipe(max_kl=10, max_builds=2), gates=no_other)
    weights, workspace = weights_of(checkpoint), workspace_of(limits)
    texts = (Text(group="known", content=" ".join(CONVERSATIONS.values())),)

    found = find(asked, weights, texts, workspace)
    again = find(
        asked, weights, texts, replace(workspace, limits=replace(limits, timeout_seconds=0))
    )

    assert again == found
    assert isinstance(found.recipe, QuantizeRecipe)
    assert found.gates.kl_mean == GateLimits(max=10)
    assert [each.precision for each in found.recipe.candidates] == ["int4", "int8"]
    assert find(found, weights, texts, workspace) is found
