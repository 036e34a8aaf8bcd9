"""Reads sequence, genes, base scores and tracks of evidence from files."""
