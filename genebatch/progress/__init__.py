"""Tells a person what a run does: a line a step, how much is done, and what failed."""
