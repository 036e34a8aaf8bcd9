"""Calls every position of a gene."""
