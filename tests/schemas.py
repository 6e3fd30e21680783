"""Two JSON Schemas beside one another, however each is put: as what they allow at each place."""

import json
from collections.abc import Mapping
from typing import Any

LIMITS = ("minimum", "maximum", "exclusiveMinimum", "pattern", "minItems", "maxItems", "minProperties")
Allowed = dict[str, set[tuple[str, Any]]]


def allowed(schema: Mapping[str, Any]) -> Allowed:
    """Return what a schema allows, by place: `runs[]/mean` is a key of a list's objects."""
    return _flat(schema, schema, "")


def _flat(part: Mapping[str, Any], root: Mapping[str, Any], place: str) -> Allowed:
    while "$ref" in part:
        own = {key: value for key, value in part.items() if key != "$ref"}
        part = {**root["$defs"][part["$ref"].rpartition("/")[2]], **own}
    found: Allowed = {}
    for each in part.get("anyOf") or part.get("oneOf") or ():
        for key, values in _flat(each, root, place).items():
            found.setdefault(key, set()).update(values)
    if found:
        return found
    found[place] = _own(part)
    inner = {f"{place}/{key}": value for key, value in part.get("properties", {}).items()}
    inner |= {f"{place}[]": value for value in (part.get("items"), *part.get("prefixItems", ())) if value}
    inner |= {f"{place}/*": value for value in (part.get("additionalProperties"),) if isinstance(value, dict)}
    for key, value in inner.items():
        found |= _flat(value, root, key)
    return found


def _own(part: Mapping[str, Any]) -> set[tuple[str, Any]]:
    kinds = part.get("type", [])
    said: set[tuple[str, Any]] = {("type", kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)}
    values = [part["const"]] if "const" in part else part.get("enum")
    if values is not None:
        said = {("type", "null") if value is None else ("value", json.dumps(value)) for value in values}
    said |= {(key, part[key]) for key in LIMITS if key in part}
    if part.get("additionalProperties") is False:
        said |= {("closed", True), ("required", tuple(sorted(part["required"])))}
    return said
