"""What the server costs, as ratios to limits measured in the same run (docs/benchmarks.md)."""
