"""Metrics pages of other programs, read bounded and in time: what the sources `engines` and `vendor_exporter` share."""
