"""Deals whole groups into batches."""
