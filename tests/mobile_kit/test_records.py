"""A record and its file are the same, and what is wrong in a file is named with its place."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from mobile_kit.records import Count, RecordError, dumped, parse, read_record, schema_of, to_values


@dataclass(frozen=True)
class Inner:
    size: tuple[int, int]
    count: Count | None = None


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner
    files: dict[str, Inner]
    more: tuple[Inner, ...] = ()
    count: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "count", len(self.files) + len(self.more))


RECORD = Outer("größer", Inner((1, 2), 3), {"a/b.bin": Inner((0, 0))}, (Inner((5, 6)),))


def test_a_record_comes_back_as_it_was() -> None:
    assert read_record(Outer, parse(dumped(RECORD))) == RECORD
    assert read_record(list[Outer], to_values([RECORD])) == [RECORD]
    assert "größer" in dumped(RECORD)


def test_numpy_s_numbers_are_written() -> None:
    assert to_values({"a": np.float64(1.5), "b": np.int64(3)}) == {"a": 1.5, "b": 3}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda v: v.pop("name"), "at top level: Object missing required field `name`"),
        (lambda v: v.pop("more"), "at top level: Object missing required field `more`"),
        (lambda v: v["inner"].pop("count"), "at inner: Object missing required field `count`"),
        (lambda v: v.update(count=7), "at count: is 7, and 2 follows from the rest"),
        (lambda v: v.update(name=3), "at name: Expected `str`, got `int`"),
        (lambda v: v["inner"].update(count=0), "at inner/count: Expected `int` >= 1"),
        (lambda v: v["more"][0].update(size=[1]), "at more/0/size: Expected `array` of length 2, got 1"),
        (lambda v: v["files"]["a/b.bin"].update(size="x"), "at files/.../size: Expected `array`, got `str`"),
        (lambda v: v.update(nmae="x"), "at top level: has a key 'nmae' that isn't known"),
        (lambda v: v["more"][0].update(siez=1), "at more/0: has a key 'siez' that isn't known"),
        (lambda v: v["files"]["a/b.bin"].update(x=1), "at files/a/b.bin: has a key 'x' that isn't known"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(change: object, said: str) -> None:
    values = to_values(RECORD)
    change(values)  # type: ignore[operator]
    with pytest.raises(RecordError) as caught:
        read_record(Outer, values)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "{'a': 1}",
        '{"a": NaN}',
        '{"a": 1e999}',
        b"\xff",
        "[" * 100_000,
        '{"a": 1, "a": 2}',
        "[1e400]",
        '["\\ud800"]',
        "Infinity",
    ],
)
def test_what_is_no_json_can_not_be_read(text: str | bytes) -> None:
    with pytest.raises(RecordError, match=r"^can't be read \("):
        parse(text)


def test_no_number_that_is_none_is_written() -> None:
    with pytest.raises(ValueError, match="JSON"):
        dumped({"a": float("nan")})


def test_the_schema_asks_for_every_key_and_no_other() -> None:
    schema = schema_of(Outer, "a record")
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    assert validator.is_valid(to_values(RECORD))
    for wrong in ({"surplus": 1}, {"more": None}, {"inner": {"size": [1, 2]}}):
        assert not validator.is_valid({**to_values(RECORD), **wrong})
    assert schema["title"] == "a record"
