"""Which commit of a Hub repository is meant, without a word from transformers or torch."""

import os
import re
from pathlib import Path

__all__ = ["COMMIT", "HUB_ID", "hub_revision"]

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
COMMIT = re.compile(r"[0-9a-f]{40}")
CONFIG = "config.json"
TIMEOUT_S = 2.0


def hub_revision(source: str, revision: str | None) -> str | None:
    """Return the commit of a branch or tag, None for the default branch: the Hub's word, else its cache's.

    Returns: None where neither is to be had.
    """
    if revision is not None and COMMIT.fullmatch(revision):
        return revision
    if not HUB_ID.fullmatch(source):
        return None
    from huggingface_hub import HfApi, try_to_load_from_cache

    try:
        return HfApi().model_info(source, revision=revision, timeout=TIMEOUT_S).sha
    except Exception:  # the Hub's client raises its own kinds and those of its transport
        cached = try_to_load_from_cache(source, CONFIG, revision=revision)
        # A snapshot's folder is called after its commit.
        return Path(os.fspath(cached)).parent.name if isinstance(cached, str) else None
