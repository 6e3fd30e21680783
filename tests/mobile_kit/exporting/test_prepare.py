"""What is prepared before workers start."""

import pytest

from mobile_kit.exporting.prepare import slug


@pytest.mark.parametrize(
    ("model", "named"),
    [("owner/name-1.0", "name-1.0"), ("name", "name"), ("owner/a name!", "a-name"), ("owner/..", "model")],
)
def test_a_folder_is_named_after_the_checkpoint(model: str, named: str) -> None:
    assert slug(model) == named
