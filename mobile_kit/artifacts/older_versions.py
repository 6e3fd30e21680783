"""What artifacts of older schema versions lack, added as they are read: the records know the newest version alone."""

from typing import Any

__all__ = ["KNOWN_VERSIONS", "newer_manifest", "newer_oracle", "newer_verification"]

KNOWN_VERSIONS = (1, 2)


def newer_manifest(values: dict[str, Any]) -> Any:
    """Return a manifest's JSON values as the newest version has them."""
    if values["schema_version"] == 2:
        return values
    return {**values, "schema_version": 2, "judged": None, "model": _with_activation(values.get("model"))}


def newer_oracle(values: Any, version: int) -> Any:
    """Return oracle.json's values as the newest version has them. version: the artifact's."""
    if version == 2 or not isinstance(values, dict):
        return values
    return {**values, "model": _with_activation(values.get("model"))}


def newer_verification(values: Any, version: int) -> Any:
    """Return verify.json's values as the newest version has them. version: the artifact's."""
    if version == 2 or not isinstance(values, dict) or not isinstance(outputs := values.get("outputs"), list):
        return values
    lacking = {"label_agreement": None, "photo_sqnr_db": None}
    known = [{**each, **lacking} if isinstance(each, dict) else each for each in outputs]
    return {**values, "outputs": known}


def _with_activation(model: Any) -> Any:
    """Version 1 had no other classifier: all of them were taken for ones of which one class is right."""
    if not isinstance(model, dict):
        return model
    classifies = model.get("head") == "classification" and model.get("num_labels") is not None
    return {**model, "activation": "softmax" if classifies else None}
