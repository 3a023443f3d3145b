"""The tree that a task's data is shown as."""

from typing import Any

import pytest

from taskbadger.blueprints.dashboard.tasks import json_tree
from taskbadger.blueprints.dashboard.tasks.json_tree import Node, make_tree
from taskbadger.domain.numbers import Number


def total(node: Node) -> int:
    return 1 + sum(total(one) for one in node.members)


def test_small_value_is_whole() -> None:
    tree = make_tree({"a": [1, None, Number("1e400")], "b": "x", "c": {}})

    assert tree.is_whole
    assert tree.root == Node(
        "object",
        size=3,
        members=[
            Node(
                "array",
                key="a",
                size=3,
                members=[
                    Node("number", "1", "0"),
                    Node("word", "null", "1"),
                    Node("number", "1e400", "2"),
                ],
            ),
            Node("string", "x", "b"),
            Node("object", key="c"),
        ],
    )


@pytest.mark.parametrize(
    "value",
    [
        list(range(5000)),
        [[at] * 100 for at in range(100)],
        {f"{'k' * 500}{at}": at for at in range(50)},
        "x" * 100_000,
        ["x" * 4000] * 1000,
        {"a": Number("9" * 100_000)},
    ],
)
def test_much_is_cut(value: Any) -> None:
    tree = make_tree(value)

    def characters(node: Node) -> int:
        return len(node.text) + len(node.key or "") + sum(map(characters, node.members))

    assert not tree.is_whole
    assert total(tree.root) <= json_tree.MAX_NODES
    assert characters(tree.root) <= json_tree.MAX_CHARACTERS + json_tree.MAX_KEY_LENGTH


def test_what_is_left_out_is_counted() -> None:
    root = make_tree([list(range(300)), "x" * 6000]).root

    assert [(one.size, one.left_out) for one in (root, *root.members)] == [
        (2, 0),
        (300, 100),
        (0, 1000),
    ]


def test_depth_has_an_end() -> None:
    value: Any = []
    for _ in range(90):
        value = [value]

    assert not make_tree(value).is_whole
