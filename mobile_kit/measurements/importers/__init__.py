"""Results that belong to no target: readers of what tools for any model file wrote."""

from mobile_kit.formats.ai_hub import AiHub
from mobile_kit.formats.mlperf import MLPerf
from mobile_kit.formats.own import Own
from mobile_kit.instruments import Importer

__all__ = ["IMPORTERS"]

IMPORTERS: tuple[Importer, ...] = (Own(), AiHub(), MLPerf())
