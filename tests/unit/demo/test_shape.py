"""A shape is so many hubs of each tier; what one process cannot carry is refused."""

import pytest

from mpreg_core.demo.shape import shape_of
from mpreg_core.errors import InvalidInputError


@pytest.mark.parametrize(
    ("text", "counts"),
    [("1x2x2", (1, 2, 4, 4)), ("1x1x1", (1, 1, 1, 1)), ("2x3x2", (2, 3, 6, 6)), (" 1X1X2 ", (1, 1, 2, 2))],
)
def test_a_shape_has_so_many_nodes_of_each_tier(text, counts):
    shape = shape_of(text)
    assert tuple(len(shape.of(tier)) for tier in ("global", "regional", "local", "cluster")) == counts


def test_every_node_but_the_first_names_somebody_who_was_made_before_it():
    made = set()
    for place in shape_of("3x4x2").places:
        asks = place.parent or place.seed
        assert asks in made if made else asks is None
        made.add(place.id)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected GLOBALxREGIONALxLOCAL hubs, each at least 1, like 1x2x2, got ''"),
        ("1x2", "got '1x2'"),
        ("0x1x1", "each at least 1"),
        ("1x2x2x2", "got '1x2x2x2'"),
        ("1x9x1", "at most 8 regions and 64 nodes in all, got 9 and 28"),
        ("1x8x8", "got 8 and 137"),
    ],
)
def test_what_is_no_shape_or_too_large_a_one_is_refused(text, words):
    with pytest.raises(InvalidInputError, match=words.replace("(", "\\(")) as caught:
        shape_of(text)
    assert caught.value.where == "--shape"
