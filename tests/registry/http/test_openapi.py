"""The document describes every path, and refers only to what it contains."""

import json
import re
from pathlib import Path

from re6st_core import registry_wire as wire
from registry.http.openapi import openapi_document
from tests.helpers.registry import served


def test_every_reference_leads_somewhere() -> None:
    document = openapi_document()
    names = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(document)))
    assert names
    assert names <= set(document["components"]["schemas"])


async def test_every_route_is_described(tmp_path: Path) -> None:
    async with served(tmp_path) as registry:
        app = registry.server._runners[0].app
        routes = {(r.resource.canonical, r.method) for r in app.router.routes() if r.resource}
        paths = openapi_document()["paths"]
        assert {path for path, _ in routes} == set(paths)
        assert all(method.lower() in paths[path] for path, method in routes if method != "HEAD")


def test_only_enrolment_and_the_document_need_no_certificate() -> None:
    document = openapi_document()
    assert document["security"] == [{"node": []}]
    operations = {(p, m): o for p, methods in document["paths"].items() for m, o in methods.items()}
    assert {key for key, o in operations.items() if o.get("security") == []} == {
        (wire.ENROL, "post"),
        (wire.OPENAPI, "get"),
    }
