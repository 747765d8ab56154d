"""Which operation a span stands for, in the words of every dialect."""

from typing import Final

from collector.otlp.values import INVALID, Parse, text

INFERENCE: Final = frozenset(("chat", "generate_content", "text_completion", "embeddings"))
"""operations that are one call of a model: these become a Completion"""
AGENT: Final = "invoke_agent"
WORKFLOW: Final = "invoke_workflow"
TOOL: Final = "execute_tool"

OUTER: Final = "outer"
"""a span around the call's own, with the same usage on it: never counted"""
NONE: Final = ""
"""a kind of span that has no counterpart"""

COMPLETION: Final = "completion"
"""of a text; LiteLLM says so of chats, too, and has another word for texts"""
REQUEST_TYPES: Final = {
    "chat": "chat", "completion": COMPLETION, "embedding": "embeddings", "rerank": NONE,
    "text_completion": "text_completion", "responses": "chat", "anthropic_messages": "chat",
    "generate_content": "generate_content",
}  # fmt: skip
_AWAITED: Final = {f"a{word}": canonical for word, canonical in REQUEST_TYPES.items()} | {f"a{COMPLETION}": "chat"}
"""LiteLLM's words for calls that its program awaits"""
OPENINFERENCE_KINDS: Final = {
    "LLM": "chat", "EMBEDDING": "embeddings", "RETRIEVER": "retrieval", "TOOL": TOOL, "AGENT": AGENT,
    "CHAIN": NONE, "RERANKER": NONE, "GUARDRAIL": NONE, "EVALUATOR": NONE, "PROMPT": NONE, "UNKNOWN": NONE,
}  # fmt: skip
LANGFUSE_TYPES: Final = {
    "generation": "chat", "embedding": "embeddings", "agent": AGENT, "tool": TOOL, "retriever": "retrieval",
    "span": NONE, "event": NONE, "chain": NONE, "evaluator": NONE, "guardrail": NONE,
}  # fmt: skip
WRAPPER_KINDS: Final = {
    "workflow": WORKFLOW, "agent": AGENT, "tool": TOOL, "task": NONE, "chain": NONE, "prompt": NONE, "parser": NONE,
    "llm": "chat", "chat_model": "chat", "embedding": "embeddings", "retriever": "retrieval", "rag": "retrieval",
    "span": NONE, "unknown": NONE,
}  # fmt: skip
"""traceloop.span.kind, langsmith.span.kind, mlflow.spanType (in capitals) and langwatch.span.type"""


def operation(value: object) -> object:
    """gen_ai.operation.name: an open set. Names of the conventions in any case; `embedding` is seen too."""
    name = text(value)
    if not isinstance(name, str):
        return name
    lower = name.lower()
    return {"embedding": "embeddings", "completion": "text_completion"}.get(lower, lower)


def request_type(value: object) -> object:
    """llm.request.type: a word that is none of these is an operation of its own name."""
    name = text(value)
    if not isinstance(name, str):
        return name
    lower = name.lower()
    known = REQUEST_TYPES.get(lower, _AWAITED.get(lower, lower))
    return None if known == "unknown" else known


def by(table: dict[str, str]) -> Parse:
    """A parser from one dialect's words; words not in the table are not an operation."""
    folded = {word.lower(): canonical for word, canonical in table.items()}

    def parse(value: object) -> object:
        name = text(value)
        return folded.get(name.lower()) if isinstance(name, str) else (None if name is None else INVALID)

    return parse


def vercel(value: object) -> object:
    """ai.operationId: the inner `.do…` span is the call; the one around it repeats its usage."""
    name = text(value)
    if not isinstance(name, str):
        return name
    if name.endswith((".doGenerate", ".doStream")):
        return "chat"
    if name.endswith(".doEmbed"):
        return "embeddings"
    return TOOL if name == "ai.toolCall" else OUTER
