"""What surrounds model calls: agents, workflows, tools. Retrieval and the rest are client operations (requests)."""

from typing import Final

from watchkeeper.core.metric import Kind, Metric
from watchkeeper.core.vocabulary import buckets
from watchkeeper.core.vocabulary.requests import ERROR_TYPE, WHO

AGENT_DURATION: Final = Metric(
    "gen_ai.invoke_agent.duration", Kind.HISTOGRAM, "s",
    "Duration of one agent invocation.", (*WHO, "gen_ai.agent.name", ERROR_TYPE), buckets.AGENT,
)  # fmt: skip
WORKFLOW_DURATION: Final = Metric(
    "gen_ai.invoke_workflow.duration", Kind.HISTOGRAM, "s",
    "Duration of one workflow run.", (*WHO, "gen_ai.workflow.name", ERROR_TYPE), buckets.WORKFLOW,
)  # fmt: skip
TOOL_DURATION: Final = Metric(
    "gen_ai.execute_tool.duration", Kind.HISTOGRAM, "s",
    "Duration of one tool execution.", (*WHO, "gen_ai.tool.name", ERROR_TYPE), buckets.DURATION,
)  # fmt: skip

METRICS: Final = (AGENT_DURATION, WORKFLOW_DURATION, TOOL_DURATION)
