from pathlib import Path

import pytest

from mobile_kit.errors import ResultError
from mobile_kit.measurements.json_document import Node, read_json, snake_case


def node(value: object) -> Node:
    return Node(Path("a/result.json"), "", {"runs": [{"mean": value}]})["runs"].items()[0]["mean"]


def test_what_is_not_there_is_null() -> None:
    empty = node(None)
    assert empty["any"]["thing"].value is None
    assert (empty.items(), empty.fields(), empty.text(), empty.flag()) == ([], {}, None, None)
    assert (empty.number(), empty.amount(), empty.count()) == (None, None, None)


def test_amounts_are_in_other_units_and_0_is_null() -> None:
    assert (node(1.5).amount(1e3), node(1.5).count(1e3), node(1.6).count()) == (1500, 1500, 2)
    assert (node(0).amount(), node(0.1).count(), node(0).number(), node("").text()) == (None, None, 0, None)


@pytest.mark.parametrize(
    ("value", "method", "reason"),
    [
        ("x", "number", '"x" is no number, or absurd'),
        (True, "number", "true is no number, or absurd"),
        (10**400, "number", "is no number, or absurd"),
        (1e300, "number", "is no number, or absurd"),
        (float("nan"), "amount", "NaN is no number, or absurd"),
        (-1, "amount", "-1 is less than 0"),
        (1, "text", "is no text"),
        (1, "flag", "is neither true nor false"),
        ({}, "items", "is no list"),
        ([], "fields", "is no object"),
    ],
)
def test_what_is_something_else_is_named_with_its_place(value: object, method: str, reason: str) -> None:
    with pytest.raises(ResultError, match=rf"^result result\.json: at runs/0/mean: .*{reason}\. Give the file"):
        getattr(node(value), method)()


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b'{"a": 1,\n}', "isn't JSON \\(line 2, column 1"),
        (b'{"a": "\xff"}', "isn't UTF-8 \\(byte 7"),
        (b"[" * 100_000, "nested too deeply"),
        (b"1" * 5000, "a number is too long"),
    ],
)
def test_what_is_no_json_is_named_with_its_place(content: bytes, place: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ResultError, match=place):
        read_json(tmp_path / "a.json")


def test_keys_may_be_spelt_anew(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('\ufeff{"outerKey": [{"latencyMean": 1, "latency90": 2}]}', encoding="utf-8")
    assert read_json(tmp_path / "a.json", snake_case).value == {"outer_key": [{"latency_mean": 1, "latency90": 2}]}
    assert (snake_case("MLNeuralEngine"), snake_case("cpu_only")) == ("ml_neural_engine", "cpu_only")
