"""Judges calls at every position of the test genes."""
