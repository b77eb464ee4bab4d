"""What `lineside demo` runs on: a plant file, simulated PLCs and a place where its messages arrive."""
