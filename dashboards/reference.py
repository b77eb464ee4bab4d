"""/docs: the API's reference, written from openapi.json here; FastAPI's own page loads a CDN."""

from collections.abc import Mapping
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

_PAGE = """<!DOCTYPE html>
<html lang="en" data-theme="light"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Lineside API</title><link rel="icon" href="/assets/icon.svg" type="image/svg+xml">
<script src="/assets/theme.js"></script>
<link rel="stylesheet" href="/assets/base.css"><link rel="stylesheet" href="/assets/pages.css"></head>
<body class="reference"><main><h1>Lineside API</h1>
<p>Machine-readable: <a href="/openapi.json">/openapi.json</a>. Back to the <a href="/">board</a>.</p>
BODY</main></body></html>"""


def router() -> APIRouter:
    """The page at /docs."""
    docs = APIRouter()

    @docs.get("/docs", include_in_schema=False)
    def page(request: Request) -> HTMLResponse:
        return HTMLResponse(render(request.app.openapi()))

    return docs


def render(spec: Mapping[str, Any]) -> str:
    """An OpenAPI 3.1 description as one HTML page."""
    schemas = spec.get("components", {}).get("schemas", {})
    groups: dict[str, list[str]] = {}
    for path, methods in spec["paths"].items():
        for method, operation in methods.items():
            tag = (operation.get("tags") or ["other"])[0]
            groups.setdefault(tag, []).append(_operation(method, path, operation, schemas))
    body = "".join(
        f"<section><h2>{escape(tag.title())}</h2>{''.join(parts)}</section>" for tag, parts in groups.items()
    )
    return _PAGE.replace("BODY", body)


def _operation(method: str, path: str, operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    rows = [
        (p["name"], p["in"], _kind(p["schema"]), p.get("required", False), p.get("description", ""))
        for p in operation.get("parameters", ())
    ]
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    schema = content.get("schema", {})
    body = schemas.get(schema.get("$ref", "").rsplit("/", 1)[-1], schema)
    rows += [
        (name, "body", _kind(part), name in body.get("required", ()), part.get("description", ""))
        for name, part in body.get("properties", {}).items()
    ]
    table = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{place}</td><td>{escape(kind)}</td>"
        f"<td>{'required' if needed else 'optional'}</td><td>{escape(text)}</td></tr>"
        for name, place, kind, needed, text in rows
    )
    head = "<tr><th>Name</th><th>In</th><th>Type</th><th></th><th>Meaning</th></tr>"
    return (
        f'<article class="panel"><h3><span class="method {method}">{method.upper()}</span> '
        f"<code>{escape(path)}</code></h3><p>{escape(operation.get('description', ''))}</p>"
        + (f'<div class="scroll"><table class="table">{head}{table}</table></div>' if rows else "")
        + "</article>"
    )


def _kind(schema: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_kind(part) for part in schema["anyOf"] if part.get("type") != "null")
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return str(schema.get("type", "object"))
