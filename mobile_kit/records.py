"""JSON that the kit writes and reads again: one dataclass a record, from which errors and the JSON Schema come.

A number's or text's range stands in its annotation, `Annotated[int, msgspec.Meta(ge=1)]`. Keys that a record has a
default for may be missing, as in files of older versions; keys that it doesn't know are refused.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from mobile_kit.errors import one_line

__all__ = [
    "Amount",
    "Count",
    "RecordError",
    "Sha256",
    "dumped",
    "parse",
    "read_file",
    "read_record",
    "schema_of",
    "to_values",
]

T = TypeVar("T")
Count = Annotated[int, msgspec.Meta(ge=1)]
Amount = Annotated[int, msgspec.Meta(ge=0)]
Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
DIALECT = "https://json-schema.org/draft/2020-12/schema"


class RecordError(ValueError):
    """No JSON, or a value that isn't what a record has there; the text names the place by its keys from the top."""


def _error(place: str, reason: str) -> RecordError:
    return RecordError(f"at {place or 'top level'}: {reason}")


def parse(text: str | bytes) -> Any:
    """Return JSON values. Raises: RecordError for what is no JSON: NaN and infinity are none."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise RecordError(f"can't be read ({exc})") from exc


def read_file(kind: type[T], path: Path) -> T:
    """Return the record, or list of them, in a file. Raises: RecordError naming the place, or why it can't be read."""
    try:
        text = path.read_bytes()
    except OSError as exc:
        raise RecordError(f"can't be read ({one_line(exc)})") from exc
    return read_record(kind, parse(text))


def read_record(kind: type[T], value: Any) -> T:
    """Return a record, or a list of them, of JSON values. Raises: RecordError naming the place."""
    try:
        found = msgspec.convert(value, kind)
    except msgspec.ValidationError as exc:
        reason, _, path = str(exc).partition(" - at `")
        raise _error(_place(path.rstrip("`")), reason) from exc
    _refuse_surplus(value, found, "")
    return found


def to_values(record: Any) -> Any:
    """Return a record, or a list of them, as JSON values. Raises: ValueError for a number that isn't finite."""
    return msgspec.json.decode(dumped(record))


def dumped(record: Any) -> str:
    """Return a record, or a list of them, as the text of its file: keys sorted, one a line.

    Raises: ValueError for a number that isn't finite.
    """
    return json.dumps(msgspec.to_builtins(record), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


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


def _refuse_surplus(value: Any, record: Any, place: str) -> None:
    """Raise RecordError for a key that a record lacks."""
    if isinstance(value, dict) and is_dataclass(record):
        known = {each.name: getattr(record, each.name) for each in fields(record)}
        for key, inner in value.items():
            if key not in known:
                raise _error(place, f"has a key {key!r} that isn't known")
            _refuse_surplus(inner, known[key], _below(place, key))
    elif isinstance(value, dict) and isinstance(record, Mapping):
        for key, inner in value.items():
            _refuse_surplus(inner, record.get(key), _below(place, key))
    elif isinstance(value, list) and isinstance(record, Sequence):
        for number, (inner, own) in enumerate(zip(value, record, strict=True)):
            _refuse_surplus(inner, own, _below(place, str(number)))


def _below(place: str, key: str) -> str:
    return f"{place}/{key}" if place else key
