"""Whose certificates an HTTP call believes: everybody's usual authorities, those that the task names, or anybody's."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from functools import cached_property
from typing import Final

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from tasks.errors import FieldProblem
from tasks.http_request import HttpRequest

#: Most certificates that a task may name.
MOST: Final = 50
_BEGIN: Final = "-----BEGIN CERTIFICATE-----"
#: What stands around the certificates, such as the names that `openssl s_client` prints, is left alone (RFC 7468 §2).
#: It looks through all of the text for each beginning, so these are counted before.
_CERTIFICATE = re.compile(rf"{_BEGIN}.+?-----END CERTIFICATE-----", re.DOTALL)
#: However its line is written: nobody should send one by mistake.
_PRIVATE = re.compile(r"BEGIN[A-Z \t]{0,40}PRIVATE[ \t]{1,5}KEY", re.IGNORECASE)


class Trust:
    """Makes TLS settings; those that need no certificates of a task's own are made once, for they take a while."""

    def of(self, request: HttpRequest) -> ssl.SSLContext:
        """The settings for a request that has no problems."""
        if not request.verify_tls:
            return self._lax
        return self._strict if request.ca_certificate is None else _of_certificates(request.ca_certificate)

    @cached_property
    def _strict(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        # Beside the roots of the system, which an operator may have added to, or which a slim image may lack.
        context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
        return _spoken(context)

    @cached_property
    def _lax(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return _spoken(context)


def trust_problems(request: HttpRequest) -> Iterator[FieldProblem]:
    """What is wrong with the certificates that the task names."""
    text = request.ca_certificate
    if text is None:
        return
    if not request.verify_tls:
        message = "Give either ca_certificate or verify_tls: false; without a check nothing is believed or not."
        yield FieldProblem(pointer="/ca_certificate", code="conflict", message=message)
    if fault := _fault(text):
        yield FieldProblem(pointer="/ca_certificate", code="bad_certificate", message=fault)


def _fault(text: str) -> str | None:
    if _PRIVATE.search(text):
        return "This holds a private key, which nobody needs to know here: make a new one, and send certificates only."
    begun = text.count(_BEGIN)
    if begun > MOST:
        return f"Give at most {MOST} certificates."
    found = _CERTIFICATE.findall(text)
    if not "".join(found).isascii():
        return "A certificate in PEM holds nothing but ASCII characters."
    if not found or len(found) != begun:
        return "Give certificates in PEM, each from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----."
    for number, one in enumerate(found, 1):
        try:
            _of_certificates(one)
        except (ssl.SSLError, ValueError):
            return f"Certificate {number} of {len(found)} cannot be read; it is damaged or incomplete."
    return None


def _of_certificates(text: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata="\n".join(_CERTIFICATE.findall(text)))
    # So that the certificate of a server itself, or of an authority in between, can be named as well as a root.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return _spoken(context)


def _spoken(context: ssl.SSLContext) -> ssl.SSLContext:
    context.set_alpn_protocols(["http/1.1"])
    return context
