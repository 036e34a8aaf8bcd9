"""Knows the input table and its contract."""
