"""Annotations of other programs, each read into rows of one kind and written as a table."""
