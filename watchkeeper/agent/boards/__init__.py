"""Dashboards on the command line."""
