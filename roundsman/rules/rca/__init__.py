"""Why an agent's run failed: telemetry in, a cause that quotes its evidence out."""
