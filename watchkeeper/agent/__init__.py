"""Top floor: puts sources, detectors and exporters together and keeps them running."""
