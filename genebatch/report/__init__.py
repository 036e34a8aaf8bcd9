"""Says in words and figures what a run found."""
