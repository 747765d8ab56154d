"""Hours of a made-up estate in a real Prometheus within seconds: for trying rules and dashboards before production."""
