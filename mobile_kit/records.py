"""JSON that the kit writes and reads again: one dataclass a record, from which errors and the JSON Schema come.

A number's or text's range stands in its annotation, `Annotated[int, msgspec.Meta(ge=1)]`. A file has every key of its
record and no other. What follows from other fields has `init=False`: a file that says otherwise contradicts itself;
words, which a later version may choose anew, are `said()`.
"""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, field, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from mobile_kit.errors import one_line
from mobile_kit.reading import MOST_JSON_BYTES, ReadError, parse_json, read_bytes

__all__ = [
    "Amount",
    "Count",
    "RecordError",
    "Sha256",
    "builtins",
    "dumped",
    "finite",
    "parse",
    "read_file",
    "read_record",
    "said",
    "schema_of",
    "to_values",
]

T = TypeVar("T")
Count = Annotated[int, msgspec.Meta(ge=1)]
Amount = Annotated[int, msgspec.Meta(ge=0)]
Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$", max_length=64)]
# Characters of what a file holds that an error shows.
MOST_SHOWN = 200
DIALECT = "https://json-schema.org/draft/2020-12/schema"


class RecordError(ValueError):
    """No JSON, or a value that isn't what a record has there; the text names the place by its keys from the top."""


def _error(place: str, reason: str) -> RecordError:
    # A pattern tells its writer more than a reader; a value may be as long as its file.
    reason = reason.partition(" matching regex")[0]
    return RecordError(f"at {place or 'top level'}: {reason[:MOST_SHOWN]}")


def said() -> Any:
    """Return a field for words that follow from other fields."""
    return field(init=False, default=None, metadata={"words": True})


def parse(text: str | bytes) -> Any:
    """Return JSON values.

    Raises: RecordError for what is no JSON, as NaN and infinity are none, and for a key that is there twice.
    """
    try:
        values = parse_json(text, _unique)
        msgspec.json.decode(text)  # refuses NaN and what else isn't the standard's
    except (ValueError, RecursionError) as exc:
        raise RecordError(f"can't be read ({one_line(exc)})") from exc
    return values


def read_file(kind: type[T], path: Path, newer: Callable[[Any], Any] = lambda values: values) -> T:
    """Return the record, or list of them, in a file.

    newer: makes the JSON values of an older version those of the record's.
    Raises: RecordError naming the place, or why it can't be read.
    """
    try:
        text = read_bytes(path, MOST_JSON_BYTES)
    except ReadError as exc:
        raise RecordError(str(exc)) from exc
    return read_record(kind, newer(parse(text)))


def read_record(kind: type[T], value: Any) -> T:
    """Return a record, or a list of them, of JSON values. Raises: RecordError naming the place."""
    try:
        found = msgspec.convert(value, kind)
    except msgspec.ValidationError as exc:
        reason, _, path = str(exc).partition(" - at `")
        raise _error(_place(path.rstrip("`")), reason) from exc
    _check(value, found, "")
    return found


def builtins(record: Any) -> Any:
    """Return a record, or a list of them, as Python's own objects; numbers may be infinite or none."""
    return msgspec.to_builtins(record, enc_hook=lambda number: number.item())  # numpy's


def finite(value: Any) -> Any:
    """Return JSON values with None for every number that JSON has no word for."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def to_values(record: Any) -> Any:
    """Return a record, or a list of them, as JSON values. Raises: ValueError for a number that isn't finite."""
    return json.loads(dumped(record))


def dumped(record: Any) -> str:
    """Return a record, or a list of them, as the text of its file: keys sorted, one a line.

    Raises: ValueError for a number that isn't finite.
    """
    return json.dumps(builtins(record), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def schema_of(kind: type[Any], title: str) -> dict[str, Any]:
    """Return the JSON Schema of a record as it is written: every key is there, and no other."""
    found = msgspec.json.schema(kind)
    definitions = found.pop("$defs")
    for each in definitions.values():
        if "properties" in each:
            each |= {"required": list(each["properties"]), "additionalProperties": False}
            for described in each["properties"].values():
                described.pop("default", None)
    root = definitions.pop(found["$ref"].rpartition("/")[2])
    return {"$schema": DIALECT, **root, "title": title, "$defs": definitions}


def _place(path: str) -> str:
    """Return runs/0/mean for `$.runs[0].mean`; a key of a mapping, such as a file's name, is `...` there."""
    return "/".join(item or key for item, key in re.findall(r"\[(\d+|\.\.\.)\]|\.([^.\[]+)", path))


def _check(value: Any, record: Any, place: str) -> None:
    """Raise RecordError where a file has other keys than its record, or contradicts itself."""
    if isinstance(value, dict) and is_dataclass(record):
        known = {each.name: each for each in fields(record)}
        if surplus := value.keys() - known.keys():
            raise _error(place, f"has a key {min(surplus)!r} that isn't known")
        if missing := known.keys() - value.keys():
            raise _error(place, f"Object missing required field `{min(missing)}`")
        for name, each in known.items():
            _check_derived(value[name], getattr(record, name), each, _below(place, name))
            _check(value[name], getattr(record, name), _below(place, name))
    elif isinstance(value, dict) and isinstance(record, Mapping):
        for key, inner in value.items():
            _check(inner, record.get(key), _below(place, key))
    elif isinstance(value, list) and isinstance(record, Sequence):
        for number, (inner, own) in enumerate(zip(value, record, strict=True)):
            _check(inner, own, _below(place, str(number)))


def _check_derived(value: Any, own: Any, described: "Field[Any]", place: str) -> None:
    if described.init or "words" in described.metadata:
        return
    wanted = finite(own)
    if value != wanted:
        raise _error(place, f"is {value!r}, and {wanted!r} follows from the rest")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ReadError(f"has the key {key[:MOST_SHOWN]!r} twice")
        found[key] = value
    return found


def _below(place: str, key: str) -> str:
    return f"{place}/{key}" if place else key
