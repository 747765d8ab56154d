"""watchkeeper: observability agent and monitor for large language models in production."""

__version__ = "0.1.0"
