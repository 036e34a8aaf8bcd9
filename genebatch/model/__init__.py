"""Holds members, calibrators and combiner in one file that predicts."""
