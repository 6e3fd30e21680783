"""What the tests of targets share."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from mobile_kit.errors import MissingToolError
from mobile_kit.exporting.worker import OBJECTS_UNTIL_COLLECTION
from mobile_kit.target_api.environments import environment

OLD = "tflite-runtime==2.14.0"


@pytest.fixture(scope="session", autouse=True)
def _seldom_collected() -> Iterator[None]:
    """As a worker does it: toolchains allocate small objects by the million."""
    before = gc.get_threshold()
    gc.set_threshold(OBJECTS_UNTIL_COLLECTION)
    yield
    gc.set_threshold(*before)


@pytest.fixture(scope="session")
def old_runtime(request: pytest.FixtureRequest) -> Path:
    """A cache folder with an environment of the runtime that boards and older apps still have."""
    assert request.config.cache is not None
    cache = Path(request.config.cache.mkdir("xdg"))
    try:
        environment(cache / "mobile_kit" / "environments", "tflite-runtime", [OLD, "numpy<2"])
    except MissingToolError as reason:
        pytest.skip(str(reason))
    return cache
