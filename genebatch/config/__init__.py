"""Holds the settings: defaults and checks from one JSON Schema, typed sections."""
