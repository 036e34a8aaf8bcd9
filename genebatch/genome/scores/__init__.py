"""Reads and makes base scores of positions."""
