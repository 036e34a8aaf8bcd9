"""Reads files as streams and writes them whole."""
