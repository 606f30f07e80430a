"""The OpenAPI document, made from the very types that the handlers read and write."""

from typing import Any

import msgspec

from re6st_core import registry_wire as wire
from re6st_core.address import Endpoint
from re6st_core.netparams import NetworkParameters, SignedParameters
from re6st_core.prefix import Prefix

_TYPES = (
    wire.EnrolRequest,
    wire.RenewRequest,
    wire.CertificateResponse,
    wire.BabelKeyResponse,
    wire.BootstrapRequest,
    wire.BootstrapResponse,
    wire.RelayFrame,
    wire.Problem,
    SignedParameters,
    NetworkParameters,
)
_TEXTS = {
    Prefix: {"type": "string", "pattern": r"^(0|[1-9][0-9]{0,38})/(0|[1-9][0-9]{0,2})$", "example": "2/16"},
    Endpoint: {"type": "string", "description": "IP,PORT,PROTO[,COUNTRY]", "example": "192.0.2.1,1194,udp"},
}
_VERSION = {
    "name": "version",
    "in": "path",
    "required": True,
    "schema": {"type": "integer", "minimum": 0, "maximum": 10**16 - 1},
}
_EPOCH = {
    "name": "epoch",
    "in": "path",
    "required": True,
    "schema": {"type": "integer", "minimum": 1, "maximum": 2**31},
}
_REF = "#/components/schemas/{name}"


def openapi_document() -> dict[str, Any]:
    """The whole document, OpenAPI 3.1."""
    _, schemas = msgspec.json.schema_components(
        _TYPES, schema_hook=lambda kind: _TEXTS[kind], ref_template=_REF
    )
    relay = _operation(
        "Messages between members, over WebSocket: text frames, each a RelayFrame", "101", None, None
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "re6st registry",
            "version": "1",
            "description": "All but enrolment and this document needs a node's certificate (mutual TLS 1.3).",
        },
        "components": {"schemas": schemas, "securitySchemes": {"node": {"type": "mutualTLS"}}},
        "paths": {
            wire.ENROL: {
                "post": {
                    **_operation("Get a certificate", "200", wire.EnrolRequest, wire.CertificateResponse),
                    "security": [],
                }
            },
            wire.RENEW: {
                "post": _operation("Renew a certificate", "200", wire.RenewRequest, wire.CertificateResponse)
            },
            wire.PARAMETERS: {
                "get": _operation(
                    "Network parameters; body is base64 of NetworkParameters", "200", None, SignedParameters
                )
            },
            wire.PARAMETERS_AFTER + "{version}": {
                "get": {
                    **_operation(
                        "The same, once they are newer than that; 204: not yet", "200", None, SignedParameters
                    ),
                    "parameters": [_VERSION],
                }
            },
            wire.BABEL_KEY + "{epoch}": {
                "get": {
                    **_operation("Key of Babel's packets", "200", None, wire.BabelKeyResponse),
                    "parameters": [_EPOCH],
                }
            },
            wire.BOOTSTRAP: {
                "post": _operation(
                    "Announce endpoints, get peers", "200", wire.BootstrapRequest, wire.BootstrapResponse
                )
            },
            wire.RELAY: {"get": relay},
            wire.OPENAPI: {"get": {**_operation("This document", "200", None, None), "security": []}},
        },
        "security": [{"node": []}],
    }


def _operation(summary: str, status: str, request: type | None, response: type | None) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": "Success"}
    if response:
        answer["content"] = {"application/json": {"schema": _reference(response)}}
    problem = {"description": "Problem", "content": {wire.PROBLEM_TYPE: {"schema": _reference(wire.Problem)}}}
    operation: dict[str, Any] = {"summary": summary, "responses": {status: answer, "default": problem}}
    if request:
        content = {"application/json": {"schema": _reference(request)}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _reference(kind: type) -> dict[str, str]:
    return {"$ref": _REF.format(name=kind.__name__)}
