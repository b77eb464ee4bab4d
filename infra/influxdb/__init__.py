"""A real InfluxDB of one's own, for tests and trials."""
