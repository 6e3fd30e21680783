"""Worker processes, and what this process does beside them."""

import os
from collections.abc import Iterator

import pytest
import torch

from mobile_kit.exporting.worker_pool import threads_beside


@pytest.fixture(autouse=True)
def _four_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("jobs", "left"), [(1, 3), (3, 1), (4, 1), (9, 1)])
def test_this_process_computes_on_what_the_workers_leave(jobs: int, left: int) -> None:
    with threads_beside(jobs):
        assert torch.get_num_threads() == left
    assert torch.get_num_threads() == 4


def test_who_asked_for_fewer_threads_keeps_them() -> None:
    torch.set_num_threads(2)
    with threads_beside(1):
        assert torch.get_num_threads() == 2


def test_threads_come_back_after_an_error() -> None:
    with pytest.raises(ValueError, match="torn"), threads_beside(2):
        raise ValueError("torn")
    assert torch.get_num_threads() == 4
