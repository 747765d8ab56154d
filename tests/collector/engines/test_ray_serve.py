"""Ray Serve LLM, and the page on which KServe joins an engine's families with its own."""

from collections.abc import Callable
from typing import Any

import pytest

from collector._pages.page import parse
from collector._pages.source import PagesSource
from collector.engines import TABLES
from collector.engines.config import EngineTarget
from collector.engines.recognise import observe_all, recognise
from watchkeeper.core.testkit.engine_pages import value, vllm_page
from watchkeeper.core.vocabulary import engines

NOW = 1_000_000.0
NewSource = Callable[..., PagesSource]


def ray_page(*replicas: tuple[str, float], name: str = "ray_vllm_prompt_tokens_total", started: float = 5.0) -> str:
    """A page of Ray's agent with this replica's total."""
    return (
        f"# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds {started}\n# TYPE {name} counter\n"
        + "".join(
            f'{name}{{ReplicaId="{replica}",WorkerId="w-{replica}",deployment="LLM:m",model_name="m"}} {total}\n'
            for replica, total in replicas
        )
        + "# TYPE ray_node_cpu_count gauge\nray_node_cpu_count 8\n"
    )


@pytest.mark.parametrize("name", ["ray_vllm_prompt_tokens_total", "ray_vllm:prompt_tokens_total"])
def test_the_engine_behind_ray_is_read_by_its_own_table(name: str) -> None:
    recognised = recognise(parse(ray_page(("a", 5), name=name).encode(), 100), TABLES)
    assert recognised is not None
    observation = observe_all(recognised, {})

    assert recognised.title == "Ray Serve LLM, vLLM"
    [(metric, labels)] = set(observation.becomes.values())
    assert metric == engines.TOKENS
    assert dict(labels)["gen_ai.provider.name"] == "vllm"
    assert dict(labels)["gen_ai.request.model"] == "m"


def test_a_page_of_ray_without_an_engine_is_nobodys() -> None:
    assert recognise(parse(b"# TYPE ray_node_cpu_count gauge\nray_node_cpu_count 8\n", 100), TABLES) is None


def test_replicas_that_move_and_an_agent_that_restarts_leave_the_total_right(
    engine: Any, new_source: NewSource, answer: Any
) -> None:
    source = new_source(EngineTarget(url=engine.url))
    pages = [
        ray_page(("a", 100), ("b", 50)),
        ray_page(("a", 110), ("b", 60)),
        ray_page(("b", 60)),  # a vanishes for a moment
        ray_page(("a", 115), ("b", 60)),
        ray_page(("b", 70), ("c", 7)),  # a moved: c took over
        ray_page(("b", 70), ("c", 9), started=NOW + 22),  # only the agent that shows the page is new
        ray_page(("b", 3), ("c", 9), started=NOW + 22),  # b began anew
    ]
    grown = []
    for turn, page in enumerate(pages):
        engine.respond = answer(page)
        grown.append(value(source.read(NOW + 5 * turn), engines.TOKENS))

    assert grown == [0.0, 20.0, 0.0, 5.0, 17.0, 2.0, 3.0]


def test_a_page_joined_with_queue_proxys_is_the_engines(engine: Any, new_source: NewSource, answer: Any) -> None:
    """Two processes tell their start there; that of queue-proxy says nothing of the engine's totals."""
    source = new_source(EngineTarget(url=engine.url))
    proxy = "# TYPE revision_app_request_count counter\nrevision_app_request_count{{}} 3\n"
    start = "# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds {}\n"
    grown = []
    for turn, (tokens, started) in enumerate([(10, 5), (12, 5), (15, NOW + 9)]):
        engine.respond = answer(proxy.format() + start.format(started) + vllm_page(tokens))
        grown.append(value(source.read(NOW + 5 * turn), engines.TOKENS))

    assert grown == [0.0, 2.0, 3.0]
