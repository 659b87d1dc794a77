"""What the bytes of certificates, requests and signature records mean (protocol 5, 6.4).

Each tag and length is walked first, so that a broken one is named where it stands; then the strict
decoder of the certificate room has its say.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from umi_cli.certificates.authorisation import StandardAuthorisation, decode_authorisation
from umi_cli.certificates.cvc import (
    TAG_AUTHORISATION,
    TAG_SERIAL,
    TAG_VALID_FROM,
    TAG_VALID_UNTIL,
    Certificate,
)
from umi_cli.certificates.envelope import (
    TAG_BODY,
    TAG_ENVELOPE,
    TAG_ISSUER,
    TAG_POINT,
    TAG_PROFILE,
    TAG_PUBLIC_KEY,
    TAG_SIGNATURE,
    TAG_SUBJECT,
)
from umi_cli.certificates.request import CertificateRequest
from umi_cli.certificates.tlv import TlvReader
from umi_cli.errors import MalformedError, SignatureError
from umi_cli.explain.layers import Layer
from umi_cli.types import UmiId

ENVELOPE_HEAD = TAG_ENVELOPE.to_bytes(2, "big")
_ENVELOPE, _BODY = "certificate", "certificate body"
_OFFSET = re.compile(r"at offset \d+")
_LONG_TAG = 0x1F
_LAYERS = {TAG_ENVELOPE, TAG_BODY}
_CONSTRUCTED = {*_LAYERS, TAG_PUBLIC_KEY}
_NAMES = {
    TAG_ENVELOPE: "envelope",
    TAG_BODY: "body",
    TAG_PROFILE: "profile",
    TAG_ISSUER: "issuer",
    TAG_SERIAL: "serial number",
    TAG_PUBLIC_KEY: "public key",
    TAG_POINT: "point",
    TAG_SUBJECT: "subject",
    TAG_VALID_FROM: "valid from",
    TAG_VALID_UNTIL: "valid until",
    TAG_AUTHORISATION: "authorisation",
    TAG_SIGNATURE: "signature",
}
_NOT_IN_REQUESTS = {
    _NAMES[tag] for tag in (TAG_SERIAL, TAG_VALID_FROM, TAG_VALID_UNTIL, TAG_AUTHORISATION)
}


def is_certificate(data: bytes) -> bool:
    """Tell whether bytes begin as a certificate or a request does."""
    return data[: len(ENVELOPE_HEAD)] == ENVELOPE_HEAD


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One TLV, and where it stands."""

    tag: int
    offset: int
    """Of its tag."""
    value_offset: int
    value: bytes
    whole: bytes
    """With tag and length."""


def elements(data: bytes, offset: int) -> Iterator[Element]:
    """Yield the TLVs that stand one after the other.

    Args:
        offset: of the first byte.

    Raises:
        MalformedError: a tag or a length is malformed; the sentence says at which offset.
    """
    start = 0
    while start < len(data):
        rest = data[start:]
        tag = _tag_at(rest)
        reader = TlvReader(rest, what="TLV")
        try:
            value = reader.value(tag, _NAMES.get(tag, f"tag {tag:02X}"))
        except MalformedError as error:
            raise MalformedError(placed(error, offset + start)) from error
        length = len(rest) - reader.remaining
        yield Element(
            tag=tag,
            offset=offset + start,
            value_offset=offset + start + length - len(value),
            value=value,
            whole=rest[:length],
        )
        start += length


def placed(error: MalformedError, base: int) -> str:
    """Return the sentence of an error with its offset, counted from where its bytes stand."""
    where = f"at offset {base + (error.offset or 0)}"
    text = _OFFSET.sub(where, str(error))
    return text if where in text else f"{text}, {where}"


def _tag_at(data: bytes) -> int:
    is_long = data[0] & _LONG_TAG == _LONG_TAG
    return int.from_bytes(data[: 2 if is_long else 1], "big")


def explain_certificates(data: bytes, offset: int, kind: str | None = None) -> list[Layer]:
    """Explain certificates or requests that stand one after the other.

    Args:
        data: the bytes.
        offset: where they stand.
        kind: `certificate` or `request`; found out if None.
    """
    layers: list[Layer] = []
    try:
        for element in elements(data, offset):
            layers += _explain_one(element, kind)
    except MalformedError as error:
        layers.append(Layer(name=kind or _ENVELOPE, failures=[str(error)]))
    return layers or [Layer(name=kind or _ENVELOPE, failures=["there are no bytes"])]


def _explain_one(envelope: Element, kind: str | None) -> list[Layer]:
    layers = _walk(envelope)
    names = {each.name for layer in layers for each in layer.fields}
    kind = kind or ("certificate" if names & _NOT_IN_REQUESTS else "request")
    name = "certificate request" if kind == "request" else "certificate"
    for layer in layers:
        layer.name = layer.name.replace(_ENVELOPE, name)
    if not any(layer.failures for layer in layers):
        check = _check_request if kind == "request" else _check_certificate
        check(layers[0], envelope.whole)
    return layers


def _walk(envelope: Element) -> list[Layer]:
    """Return a layer for the envelope, one for its body and one for the authorisation."""
    layer = Layer(name=_ENVELOPE)
    if envelope.tag != TAG_ENVELOPE:
        layer.failures.append(
            f"tag {envelope.tag:02X} stands where 7F21 is due, at offset {envelope.offset}"
        )
        return [layer]
    return [layer, *_walk_into(layer, envelope)]


def _walk_into(layer: Layer, parent: Element) -> list[Layer]:
    """Add the TLVs inside another to a layer; return the layers further in."""
    inner: list[Layer] = []
    try:
        for element in elements(parent.value, parent.value_offset):
            _add(layer, element)
            if element.tag in _LAYERS:
                body = Layer(name=_BODY)
                inner += [body, *_walk_into(body, element)]
            elif element.tag in _CONSTRUCTED:
                inner += _walk_into(layer, element)
            elif element.tag == TAG_AUTHORISATION:
                inner.append(_explain_authorisation(element))
    except MalformedError as error:
        layer.failures.append(str(error))
    return inner


def _add(layer: Layer, element: Element) -> None:
    name = _NAMES.get(element.tag, f"unknown tag {element.tag:02X}")
    value, meaning = _meaning_of(element)
    layer.add(name, element.offset, element.whole, value, meaning)


def _meaning_of(element: Element) -> tuple[Any, str]:
    """Return the value of a TLV as `--json` prints it, and what people are told."""
    value = element.value
    if element.tag in (TAG_ISSUER, TAG_SUBJECT) and len(value) == 8:
        return str(UmiId(int.from_bytes(value, "big"))), ""
    if element.tag in (TAG_VALID_FROM, TAG_VALID_UNTIL):
        return value.decode("latin-1"), ""
    if element.tag in (TAG_SERIAL, TAG_PROFILE):
        return value.hex(), ""
    return None, f"{len(value)} bytes"


def _explain_authorisation(element: Element) -> Layer:
    layer = Layer(name="authorisation")
    data, start = element.value, element.value_offset
    try:
        rights = decode_authorisation(data)
    except MalformedError as error:
        layer.failures.append(placed(error, start))
        return layer
    is_standard = isinstance(rights, StandardAuthorisation)
    layer.add("version", start, data[:1], data[0])
    layer.add("kind", start + 1, data[1:2], data[1], "standard" if is_standard else "authority")
    layer.add("lowest target", start + 2, data[2:10], str(rights.targets.lowest))
    layer.add("highest target", start + 10, data[10:18], str(rights.targets.highest))
    if isinstance(rights, StandardAuthorisation):
        layer.add("role", start + 18, data[18:19], int(rights.role), rights.role.label)
    else:
        for place, name, roles in (
            (18, "signing roles", rights.signing_roles),
            (20, "devolvable roles", rights.devolvable_roles),
        ):
            layer.add(name, start + place, data[place : place + 2], roles.bits, str(roles))
    layer.add("flags", start + len(data) - 1, data[-1:], rights.flags)
    return layer


def _check_certificate(layer: Layer, data: bytes) -> None:
    try:
        certificate = Certificate.decode(data)
    except MalformedError as error:
        layer.failures.append(str(error))
        return
    layer.notes.append(f"its SHA-256 fingerprint is {certificate.fingerprint.hex()}")
    body = certificate.body
    if body.issuer != body.subject:
        layer.notes.append(f"whether {body.issuer} signed it, umi cert verify can tell")
        return
    _check_signature(layer, lambda: certificate.envelope.verify(body.public_point), "itself")


def _check_request(layer: Layer, data: bytes) -> None:
    try:
        request = CertificateRequest.decode(data)
    except MalformedError as error:
        layer.failures.append(str(error))
        return
    _check_signature(layer, request.verify, "the key that it asks for")


def _check_signature(layer: Layer, verify: Callable[[], None], whose: str) -> None:
    try:
        verify()
    except SignatureError:
        layer.failures.append(f"the self-signature does not verify: {whose} did not sign it")
    else:
        layer.notes.append(f"the self-signature is valid: {whose} signed it")
