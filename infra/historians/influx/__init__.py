"""The historian on InfluxDB: 1.8+, 2.x and 3.x through one adapter."""

from infra.historians.influx.historian import InfluxHistorian
from infra.historians.influx.settings import InfluxSettings

__all__ = ["InfluxHistorian", "InfluxSettings"]
