"""Reads sequence, genes and base scores from files."""
