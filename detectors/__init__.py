"""Checks of one output, drift of a stream, signals of machines and services. Each folder lists its own."""
