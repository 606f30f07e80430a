"""Plain HTTP: the CA certificate, the revocation list, and a word for who looks with a browser."""

from aiohttp import web
from cryptography.hazmat.primitives.serialization import Encoding

from re6st_core.identity import fingerprint
from re6st_core.registry_wire import CA_PATH, CRL_PATH
from registry.http.context import Context
from registry.http.problems import explain_errors


def public_app(context: Context) -> web.Application:
    """The application for the HTTP port; nothing here is secret, nothing changes anything."""

    async def ca(_request: web.Request) -> web.Response:
        pem = context.registry.authority.certificate.public_bytes(Encoding.PEM)
        return web.Response(body=pem, content_type="application/x-x509-ca-cert")

    async def crl(_request: web.Request) -> web.Response:
        return web.Response(body=(await context.published()).crl, content_type="application/pkix-crl")

    async def home(_request: web.Request) -> web.Response:
        authority = context.registry.authority
        digest = fingerprint(authority.certificate)
        return web.Response(
            text=f"Registry of the network {authority.network}.\n"
            f"CA certificate {digest}\n\n"
            f"Join with: re6st-conf --registry {context.registry.settings.url} "
            f"--fingerprint {digest} --token TOKEN\n"
        )

    app = web.Application(middlewares=[explain_errors], client_max_size=1)
    app.add_routes([web.get("/", home), web.get(CA_PATH, ca), web.get(CRL_PATH, crl)])
    return app
