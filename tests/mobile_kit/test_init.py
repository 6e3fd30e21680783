"""The public interface: every name is there, and comes from its module."""

import pytest

import mobile_kit


@pytest.mark.parametrize("name", mobile_kit.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(mobile_kit, name) is not None


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        mobile_kit.nothing  # noqa: B018
