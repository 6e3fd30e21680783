"""What is printed is aligned, and holds nothing that a terminal would obey."""

import json

import pytest

from mobile_kit.cli.output import megabytes, print_json, print_table


def test_columns_are_as_wide_as_their_widest_cell(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name", "ms"), [("a longer one", "1.50"), ("b", "")])
    assert capsys.readouterr().out == "name          ms\na longer one  1.50\nb\n"


def test_a_cell_is_one_line_without_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name",), [("\x1b[31mred\nline",)])
    assert capsys.readouterr().out.splitlines()[1] == " [31mred line"


def test_json_is_sorted_and_keeps_letters(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"b": "größer", "a": 1})
    said = capsys.readouterr().out
    assert json.loads(said) == {"a": 1, "b": "größer"}
    assert "größer" in said
    assert said.index('"a"') < said.index('"b"')
    with pytest.raises(ValueError, match="JSON"):
        print_json(float("nan"))


def test_bytes_are_shown_as_megabytes() -> None:
    assert megabytes(1_234_567) == "1.23 MB"
