"""A simulated plant: a seeded, deterministic model, its truth log, and real servers over it."""
