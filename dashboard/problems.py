"""Errors as problem documents (RFC 9457): one shape for every error, for people and programs."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"


class FieldError(BaseModel):
    """What is wrong with one field of a request."""

    field: str
    message: str


class Problem(BaseModel):
    """A problem document."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:tiktok-anomalies:problem:no-incident",
                    "title": "Not Found",
                    "status": 404,
                    "detail": "There is no incident 17.",
                    "instance": "/api/v1/incidents/17",
                }
            ]
        }
    )

    type: str = Field(description="Identifies the kind of problem; stable.")
    title: str
    status: int
    detail: str = Field(description="What is wrong and what to do about it.")
    instance: str = Field(description="The path that was asked for.")
    errors: list[FieldError] | None = None


class ProblemError(Exception):
    """Ends a request with a problem document.

    Args:
        status: HTTP status.
        kind: last part of the problem's ``type``.
        detail: what is wrong and what to do about it.
        headers: of the response.
    """

    def __init__(self, status: int, kind: str, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.headers = headers


def response(
    path: str, status: int, kind: str, detail: str, headers: dict[str, str] | None = None, **extra: Any
) -> JSONResponse:
    """Make the response that tells of a problem."""
    document = {
        "type": f"urn:tiktok-anomalies:problem:{kind}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": path,
        **extra,
    }
    return JSONResponse(document, status, headers, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Let every error of ``app`` leave as a problem document."""

    def problem(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ProblemError)
        return response(request.url.path, error.status, error.kind, error.detail, error.headers)

    def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        errors = [
            {"field": ".".join(str(part) for part in found["loc"][1:]) or "body", "message": found["msg"]}
            for found in error.errors()
        ]
        detail = "; ".join(f"{found['field']}: {found['message']}" for found in errors)
        return response(request.url.path, 422, "invalid-request", detail, errors=errors)

    def http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        kind = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
        headers = dict(error.headers) if error.headers else None
        return response(request.url.path, error.status_code, kind, str(error.detail), headers)

    app.add_exception_handler(ProblemError, problem)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe, for OpenAPI, the problems that a route may answer with."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}},
        }
        for status in statuses
    }
