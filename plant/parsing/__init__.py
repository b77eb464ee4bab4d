"""The parts of `plant.parse`: one module per group of tables."""
