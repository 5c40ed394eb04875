"""The OpenAPI description, generated from the structs of queries, answers, messages, commands and problems.

Nothing is written twice: a member that a struct gets is in the description. Served at /api/openapi.json.
"""

from __future__ import annotations

import functools
import inspect
from importlib.metadata import version
from typing import Any, Final

import msgspec

from engine.api.answers import LinkAnswer, LoginRequest, SessionAnswer
from engine.api.problems import CODES, ProblemAnswer
from engine.operator.requests import AnyRequest
from engine.runtime.desk import CommandAnswer
from engine.views.answers import ANSWERS, MESSAGES
from engine.views.queries import PARAMETERS, REQUIRED

__all__ = ["described", "description"]

_POSTS: Final[tuple[tuple[str, Any, type[msgspec.Struct], str], ...]] = (
    ("login", LoginRequest, SessionAnswer, "Exchange the token of a link, or the password, for a cookie."),
    ("logout", None, SessionAnswer, "End the session of the cookie."),
    ("link", None, LinkAnswer, "Make a fresh link for one login. Over the Unix socket only."),
    ("commands", AnyRequest, CommandAnswer, "Carry out a command. It is recorded once, by its nonce."),
)


@functools.cache
def description() -> bytes:
    """Return the description as JSON."""
    return msgspec.json.encode(described())


def described() -> dict[str, Any]:
    """Return the description."""
    types: list[Any] = [*ANSWERS.values(), *MESSAGES.values(), *(one[2] for one in _POSTS)]
    types += [LoginRequest, ProblemAnswer, AnyRequest]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    schema_of = {id(one): schema for one, schema in zip(types, schemas, strict=True)}

    def content(schema: Any) -> dict[str, Any]:
        return {"application/json": {"schema": schema}}

    def answers(answer: Any) -> dict[str, Any]:
        return {
            "200": {"description": "The answer.", "content": content(schema_of[id(answer)])},
            "default": {
                "description": "A problem. Codes: " + ", ".join(sorted(CODES)),
                "content": content(schema_of[id(ProblemAnswer)]),
            },
        }

    paths: dict[str, Any] = {}
    for name, answer in ANSWERS.items():
        path = f"/api/{name}/{{seq}}" if name == "why" else f"/api/{name}"
        paths[path] = {
            "get": {
                "operationId": name,
                "summary": inspect.getdoc(answer),
                "parameters": _parameters(name),
                "responses": answers(answer),
            }
        }
    paths["/api/session"] = {
        "get": {
            "operationId": "session",
            "summary": inspect.getdoc(SessionAnswer),
            "parameters": [_JOURNAL],
            "responses": answers(SessionAnswer),
        }
    }
    for name, body, result, summary in _POSTS:
        operation: dict[str, Any] = {"operationId": name, "summary": summary, "responses": answers(result)}
        if body is not None:
            operation["requestBody"] = {"required": True, "content": content(schema_of[id(body)])}
        paths[f"/api/{name}"] = {"post": operation}
    kinds = {kind: schema_of[id(data)] for kind, data in MESSAGES.items()}
    paths["/api/stream"] = {
        "get": {
            "operationId": "stream",
            "summary": "Server-sent events: `event` is the kind, `id` a seq, `data` JSON of its struct.",
            "parameters": [_JOURNAL, {**_LAST_EVENT_ID}],
            "responses": {
                "200": {
                    "description": "The stream. The schema is that of `data`, one of them by kind.",
                    "content": {"text/event-stream": {"schema": {"oneOf": list(kinds.values())}}},
                    "x-kinds": kinds,
                },
                "default": answers(SessionAnswer)["default"],
            },
        }
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "retape", "version": version("retape")},
        "paths": paths,
        "components": {"schemas": components},
    }


_JOURNAL: Final = {
    "name": "journal",
    "in": "query",
    "description": "The id of the journal that is meant: another one answers 409.",
    "schema": {"type": "string"},
}
_LAST_EVENT_ID: Final = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "Go on after the message with this id.",
    "schema": {"type": "integer"},
}


_KINDS: Final[dict[type, dict[str, Any]]] = {
    str: {"type": "string"},
    int: {"type": "integer", "minimum": 0},
    bool: {"type": "boolean"},
    list: {"type": "string", "description": "With commas between the parts."},
}


def _parameters(name: str) -> list[dict[str, Any]]:
    """Return the parameters of a GET path. The seq of `why` is a part of the path."""
    required = REQUIRED.get(name, ())
    own = [
        {
            "name": key,
            "in": "path" if name == "why" else "query",
            "required": key in required,
            "schema": _KINDS[kind],
        }
        for key, kind in PARAMETERS[name].items()
    ]
    return [*own, _JOURNAL]
