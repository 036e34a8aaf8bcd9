"""Turns positions of genes into rows, blind to their labels."""
