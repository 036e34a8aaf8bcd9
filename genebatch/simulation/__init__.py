"""Simulates the data of the examples."""
