"""Measures what probabilities are worth."""
