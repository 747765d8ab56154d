"""
Ray Serve LLM: the families of the engine that it runs, behind `ray_`, on the page of Ray's metrics agent.

https://docs.ray.io/en/latest/serve/llm/user-guides/observability.html
"""

from typing import Final

from collector.engines.table import Table

TABLE: Final = Table(
    name="ray_serve",
    title="Ray Serve LLM",
    matches=lambda names: any(name.startswith(("ray_vllm_", "ray_sglang_")) for name in names),
    rows=(),
    switch_on="keep log_engine_metrics: true in LLMConfig; the page is on Ray's --metrics-export-port",
    port=8080,
    wraps="ray_",
)
