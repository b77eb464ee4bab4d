"""A simulated plant: a seeded, deterministic model, its truth log, and real OPC UA and Modbus servers over it."""
