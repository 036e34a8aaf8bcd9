"""Judges models on groups that nobody trained on."""
