"""Knows what a job needs, and keeps it inside."""
