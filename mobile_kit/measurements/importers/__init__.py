"""Results that belong to no target: readers of what tools for any model file wrote."""

from mobile_kit.measurements.importers.ai_hub import AiHub
from mobile_kit.measurements.importers.base import Importer
from mobile_kit.measurements.importers.mlperf import MLPerf
from mobile_kit.measurements.importers.mobile_kit import Own

__all__ = ["IMPORTERS"]

IMPORTERS: tuple[Importer, ...] = (Own(), AiHub(), MLPerf())
