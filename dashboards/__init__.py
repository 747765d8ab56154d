"""Grafana dashboards, recording and alert rules, routing and runbooks as code."""
