"""
Dashboards drawn without Grafana, for documentation and tests: the same JSON, the same queries, answered by a real
Prometheus. It draws what our dashboards use (six kinds of panels) and nothing else of Grafana.
"""

from dashboards.preview.answers import Answer, Span, answers
from dashboards.preview.page import page

__all__ = ["Answer", "Span", "answers", "page"]
