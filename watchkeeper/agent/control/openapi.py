"""The description of the control API, made from its operations and their types: OpenAPI 3.1."""

import inspect
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec

from watchkeeper import __version__
from watchkeeper.agent.control.operations import Operation
from watchkeeper.agent.control.refusals import CONTENT_TYPE, Problem

_ALWAYS: Final = (400, 401, 403, 503)
_SCHEMAS: Final = "#/components/schemas/{name}"


def describe(operations: Sequence[Operation]) -> dict[str, Any]:
    types = [kind for one in operations for kind in (one.answer, one.body) if kind is not None]
    _, components = msgspec.json.schema_components((*dict.fromkeys(types), Problem), ref_template=_SCHEMAS)
    paths: dict[str, dict[str, Any]] = {}
    for one in operations:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one)
    return {
        "openapi": "3.1.0",
        "info": {"title": "watchkeeper control API", "version": __version__, "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(one: Operation) -> dict[str, Any]:
    told: dict[str, Any] = {
        "operationId": one.name,
        "summary": one.summary,
        "parameters": [*_item(one), *_query(one)],
        "responses": {
            "200": {"description": "done", "content": _content("application/json", one.answer)},
            **{str(status): _refusal(status) for status in sorted({*_ALWAYS, *one.refusals, *_of_body(one)})},
        },
        "security": [{"token": []}] if one.method != "GET" else [{"token": []}, {}],
    }
    if one.body is not None:
        told["requestBody"] = {"required": True, "content": _content("application/json", one.body)}
    return told


def _item(one: Operation) -> list[dict[str, Any]]:
    if not one.has_item:
        return []
    return [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}]


def _query(one: Operation) -> list[dict[str, Any]]:
    if one.query is None:
        return []
    docs = _docs(one.query)
    (whole,), _ = msgspec.json.schema_components((one.query,))
    properties = msgspec.json.schema(one.query)["$defs"][str(whole["$ref"]).rpartition("/")[2]]["properties"]
    return [
        {"name": name, "in": "query", "required": False, "schema": schema, "description": docs.get(name, "")}
        for name, schema in properties.items()
    ]


def _docs(kind: type[msgspec.Struct]) -> dict[str, str]:
    from watchkeeper.agent.documentation import field_docs

    return field_docs(kind) if inspect.getsourcefile(kind) else {}


def _of_body(one: Operation) -> tuple[int, ...]:
    return (413, 415) if one.body is not None else ()


def _refusal(status: int) -> dict[str, Any]:
    return {"description": HTTPStatus(status).phrase, "content": _content(CONTENT_TYPE, Problem)}


def _content(content_type: str, kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {content_type: {"schema": {"$ref": _SCHEMAS.format(name=kind.__name__)}}}
