"""What `list` prints beside the support matrix."""

import json
from collections.abc import Callable

import pytest
from jsonschema import Draft202012Validator

from mobile_kit.cli.listing import SCHEMAS
from tests.conftest import Answer

Command = Callable[..., Answer]


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_printed(name: str, command: Command) -> None:
    answer = command("list", "--schema", name)
    assert (answer.code, answer.err) == (0, "")
    schema = json.loads(answer.out)
    Draft202012Validator.check_schema(schema)
    assert schema["title"].startswith("mobile_kit ")
    assert "schema_version" in schema["required"]


def test_one_thing_is_printed_at_a_time(command: Command) -> None:
    answer = command("list", "--schema", "manifest", "--markdown")
    assert (answer.code, answer.out) == (2, "")
