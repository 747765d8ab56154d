"""A detector's part of a fleet: counts of sidecars merged, judged, and kept so that nobody notices who judges."""
