"""Names of the files of an artifact."""

__all__ = ["KEPT", "ORACLE_FILE", "PHOTO", "PROFILES", "SCENES_FILE", "SCORES", "profile_name"]

KEPT, SCORES = "evaluation.jsonl", "evaluation.json"


ORACLE_FILE = "golden/oracle.json"


SCENES_FILE = "golden/scenes.npz"


# The files of results in an artifact.
PROFILES = "profile-*.json"


def profile_name(device: str) -> str:
    """Return what the file of a device's results is called."""
    safe = "".join(char if char.isalnum() or char in "._" else "-" for char in device)
    return f"profile-{safe}.json"


# What an app reads of an artifact beside its manifest and model; the rest judges the file on this machine.
PHOTO = "golden/photo.png"
