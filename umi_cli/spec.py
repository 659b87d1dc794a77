"""What of UMI is implemented, on what grounds, and where: the table that `umi spec` prints.

Clauses are those of the protocol notes this package was written from. Marks: S, the public UMI
overview names it; F, it was seen in the field; C, it is this project's own choice, because the
specification is not public. Each comment that says
`choice` stands in a module that a C row names here.
"""

from dataclasses import dataclass
from typing import Literal

State = Literal["implemented", "planned"]


@dataclass(frozen=True, slots=True)
class Feature:
    """One mechanism of UMI."""

    feature: str
    """What it is."""
    clause: str
    """Section of the protocol notes."""
    marks: str
    """Its grounds: S, F, C, with / between."""
    state: State
    """Whether this version does it."""
    where: str = ""
    """The modules that do it, under umi_cli, with commas between."""


def _done(feature: str, clause: str, marks: str, where: str) -> Feature:
    return Feature(feature, clause, marks, "implemented", where)


def _planned(feature: str, clause: str, marks: str) -> Feature:
    return Feature(feature, clause, marks, "planned")


FEATURES: tuple[Feature, ...] = (
    _done("UMI code, UMI ID", "1", "S/F", "types"),
    _done("datetime, role, role set", "1", "F", "types"),
    _done("object part and its text", "1", "F", "types"),
    _done("object part [:]/3 as elements 0 to 0xFFFF", "1", "F/C", "types"),
    _done("frame header, types, link errors", "2.1", "F", "link.frame"),
    _done("CRC", "2.2", "F", "link.crc"),
    _done("exchange, addresses, sequences, RESYNC, busy", "2.3", "F", "link.connection"),
    _done("sequence wraps from 15 to 1 inside one packet", "2.3", "C", "link.connection"),
    _done("a repeated command is answered from store, executed once", "2.3", "C", "link.responder"),
    _done("finding the next frame in a noisy stream", "2.3", "C", "link.stream"),
    _done("how soon a fragment that was lost is repeated", "2.3", "C", "link.patience"),
    _done("fragment header, types, errors", "2.4", "F", "link.fragment"),
    _done("how fragments alternate", "2.4", "C", "link.commander, link.responder, link.fragment"),
    _done("application packet", "3.1", "F", "application.packet"),
    _done("ERROR packet for what cannot be parsed", "3.1", "F/C", "application.codec"),
    _done("packet to another device's UMI ID: UNAVAILABLE", "3.1", "C", "virtual.device"),
    _done("packet types and payloads", "3.2", "F", "application.commands"),
    _done("TUNNEL_DATA, TUNNEL_UMI answers", "3.2", "C", "application.commands"),
    _done("certificate name, request, own chain", "3.2", "C", "application.security_commands"),
    _done("EVENT_PUBLISH goes to all ones", "3.2", "C", "virtual.line"),
    _done("WAIT and COMPLETE", "3.2", "F", "device.session"),
    _done("result codes", "3.3", "F", "application.codes"),
    _done("objects and datasheets", "4", "S/F", "objects.datasheet"),
    _done("EI4 gas meter datasheet", "4", "F", "objects.datasheets"),
    _done("events and their bits", "4", "F/C", "objects.datasheets"),
    _done(
        "event log read without moving the head-end's read pointer", "4", "F", "device.event_log"
    ),
    _done("how far back it is read for a window of time", "4", "C", "device.event_log"),
    _done("strings padded with 0x00, order of ddhhmmss", "4", "C", "objects.value_types"),
    _done("EI4 names, delivered role sets, optical characters", "4", "C", "objects.datasheets"),
    _done(
        "virtual meter's own objects, bank umi.255.0", "4", "C", "objects.catalogue, virtual.device"
    ),
    _done(
        "virtual meter's life cycle: blank, provisioned, locked, retired",
        "4",
        "C",
        "virtual.life_cycle, virtual.delivered, virtual.metering",
    ),
    _done("signature record of scheme 0", "5", "F", "security.scheme0"),
    _done("signature records of scheme 2, ECDSA", "5", "F", "security.signatures"),
    _done("signature records of scheme 1, CMAC", "5", "C", "security.signatures"),
    _done("keys in PKCS#11 tokens", "5", "C", "security.token_uri, tokens"),
    _done("signature made before encryption", "5", "C", "security.signatures"),
    _done("roles, access role sets", "6.1", "F", "types"),
    _done("who may set an object's access", "6.1", "C", "virtual.store"),
    _done("scheme 1 authentication", "6.2", "C", "security.authentication1, device.protection1"),
    _done("scheme 1 key files, check value of a key", "6.2", "C", "security.keys"),
    _done("lock-out after failed authentications", "6.2", "C", "virtual.lockout"),
    _done(
        "scheme 2 session, AES-128-GCM, counter",
        "6.3",
        "F",
        "security.session2, device.protection2",
    ),
    _done("scheme 2 session ends long before its counter wraps", "6.3", "C", "security.session2"),
    _done("what is said in the clear beside a session; idle end", "6.3", "C", "virtual.security"),
    _done("key confirmation", "6.3", "S", "device.protection2"),
    _done("card-verifiable certificates, aliases", "6.4", "F", "certificates.cvc"),
    _done("certificate chains and their rules", "6.4", "F", "certificates.chain"),
    _done(
        "bounds of serial numbers and chains, nested times, whose requests are answered",
        "6.4",
        "C",
        "certificates.cvc, certificates.chain, certificates.issue",
    ),
    _done(
        "authority bits, certificate request",
        "6.4",
        "C",
        "certificates.authorisation, certificates.request",
    ),
    _done(
        "an authority's policy, its register of what was issued",
        "6.4",
        "C",
        "certificates.policy, certificates.register",
    ),
    _done(
        "revocation; a new meter's first root, who adds another, who replaces its chain",
        "6.4",
        "C",
        "virtual.vault, virtual.security_handlers",
    ),
    _done("key pair, request, chain, trust and rights in a device", "6.4", "S", "device.identity"),
    _done("image encryption", "6.5", "S/C", "images.encryption"),
    _done(
        "image package, its bounds, who signs it and for whom, what is newer",
        "7",
        "C",
        "images.header, images.package, images.signing, images.verify",
    ),
    _done(
        "two image slots, a boot that always boots a whole image",
        "7",
        "C",
        "virtual.slots, virtual.flash",
    ),
    _done(
        "image transfer, the meter's side: who may, what is refused, when the new image runs",
        "7",
        "C",
        "virtual.updates, virtual.image_handlers, virtual.examination",
    ),
    _done("image upload, gone on with where it stopped", "7", "C", "images.upload"),
    _done("UMI-opto: sign-on after EN 62056-21", "8", "S", "optical.sign_on"),
    _done("UMI-opto: V 0 and Y 6 switch into UMI", "8", "C", "virtual.optical_sign_on"),
    _done("UMI-opto: RESYNC proves the switch; no pauses behind it", "8", "C", "optical.sign_on"),
    _done(
        "UMI-opto: what a lifted probe costs, which adapters are probes",
        "8",
        "C",
        "transports.optical, transports.hosts",
    ),
    _done("UMI-spi: pins, levels, power of a port", "9", "S", "transports.board"),
    _done(
        "UMI-spi: handshake, power sequence, reset of a silent peripheral",
        "9",
        "C",
        "transports.spi, transports.bus, virtual.pins",
    ),
    _done("forwarding to the ports of a Host", "9", "S", "virtual.host"),
    _done("a Host passes the parts of a product on", "9", "C", "virtual.host"),
    _done("a Host takes events from whoever is on the line", "9", "C", "virtual.handlers"),
    _done("UMI over TCP", "10", "F", "transports.tcp"),
)
"""Every mechanism of the protocol notes, in their order."""
