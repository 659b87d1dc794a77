"""What of UMI is implemented, on what grounds, where, and how a choice is changed: `umi spec`.

Clauses are those of the protocol notes this package was written from. Marks: S, the public UMI
overview names it; F, it was seen in the field; C, it is this project's own choice, because the
specification is not public. Each comment that says `choice` stands in something that a C row
names here, and the README's page "From UMI-S to code" is made of this table.

A list, and as long as that.
"""

from collections.abc import Iterator
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
    """The modules under umi_cli that do it, each with its names: `link.crc:crc, wire:Reader.u8`;
    a file that is no module by its path."""
    change: str = ""
    """How to change what is our own choice; nothing where nothing is."""

    @property
    def places(self) -> Iterator[tuple[str, str]]:
        """Yield each module, or path, with the name in it; no name where all of it is meant."""
        for place in self.where.split(", ") if self.where else []:
            module, _, name = place.partition(":")
            yield module, name


def _done(feature: str, clause: str, marks: str, where: str, change: str = "") -> Feature:
    return Feature(feature, clause, marks, "implemented", where, change)


FEATURES: tuple[Feature, ...] = (
    _done("UMI code, UMI ID", "1", "S/F", "types:UmiCode, types:UmiId"),
    _done("datetime, role, role set", "1", "F", "types:to_datetime, types:Role, types:RoleSet"),
    _done(
        "a host's clock that was never set is before 2026",
        "1",
        "C",
        "cli.doctor_host:_EARLIEST",
        "the constant; umi doctor alone asks",
    ),
    _done(
        "what is meant as a file though none is there; from when on a log is told of progress",
        "1",
        "C",
        "cli.sources:_PATH, output.progress:SHORT_S",
        "the constants",
    ),
    _done("object part and its text", "1", "F", "types:ObjectPart"),
    _done(
        "object part [:]/3 as elements 0 to 0xFFFF",
        "1",
        "F/C",
        "types:Selection.parse",
        "refuse it there with an InputError, as the field client does",
    ),
    _done(
        "frame header, types, link errors",
        "2.1",
        "F",
        "link.frame:Frame, link.frame:FrameType, link.frame:LinkErrorCode",
    ),
    _done("CRC", "2.2", "F", "link.crc:crc"),
    _done(
        "exchange, addresses, sequences, RESYNC, busy",
        "2.3",
        "F",
        "link.connection:LinkConnection, link.commander:Commander, link.states",
    ),
    _done(
        "sequence wraps from 15 to 1 inside one packet",
        "2.3",
        "C",
        "link.commander:next_command_sequence, link.commander:next_response_sequence",
        "two functions, used by both ends",
    ),
    _done(
        "a repeated command is answered from store, executed once",
        "2.3",
        "C",
        "link.responder:Responder._store",
        "drop what is stored after a sequence; then a repeat runs a command twice",
    ),
    _done(
        "finding the next frame in a noisy stream",
        "2.3",
        "C",
        "link.stream:DEFAULT_IDLE_GAP_S, link.stream:FrameReceiver",
        "the constant for all transports, their idle_gap_s for one; _slide for the search",
    ),
    _done(
        "how soon a fragment that was lost is repeated",
        "2.3",
        "C",
        "link.patience:Patience, link.patience:KNOWN_AFTER, link.patience:FACTOR",
        "with KNOWN_AFTER out of reach every answer has the one timeout of the clause",
    ),
    _done(
        "fragment header, types, errors",
        "2.4",
        "F",
        "link.fragment:Fragment, link.fragment:FragmentType, link.fragment:FragmentErrorCode",
    ),
    _done(
        "how fragments alternate",
        "2.4",
        "C",
        "link.commander:Commander, link.responder:Responder, link.fragment:Assembler",
        "_on_response_fragment and _on_fragment_response say who sends what next",
    ),
    _done(
        "application packet", "3.1", "F", "application.packet:Envelope, application.packet:Message"
    ),
    _done(
        "ERROR packet for what cannot be parsed",
        "3.1",
        "F/C",
        "application.codec:payload_of, virtual.device:VirtualMeter._error",
        "_error makes the packet; the results are those that the decoders raise",
    ),
    _done(
        "packet to another device's UMI ID: UNAVAILABLE",
        "3.1",
        "C",
        "virtual.device:VirtualMeter._open",
        "another ResultCode in that line",
    ),
    _done("packet types and payloads", "3.2", "F", "application.codes:PacketType"),
    _done(
        "TUNNEL_DATA, TUNNEL_UMI answers",
        "3.2",
        "C",
        "application.commands:TunnelDataReply, application.commands:TunnelUmiReply",
        "declare other fields: a payload is coded by its fields",
    ),
    _done(
        "certificate name, request, own chain",
        "3.2",
        "C",
        "application.security_commands:S2GetCsrReply,"
        " application.security_commands:S2InstallOwnCertificateChain,"
        " application.security_commands:S2RevokeCertificate, certificates.cvc:CertificateName,"
        " certificates.chain:decode_chain",
        "declare other fields; decode_chain and encode_chain have the order of a chain",
    ),
    _done(
        "EVENT_PUBLISH goes to all ones",
        "3.2",
        "C",
        "virtual.line:MeterLine._packet",
        "another destination in the envelope",
    ),
    _done("WAIT and COMPLETE", "3.2", "F", "device.session:Session, application.commands:Wait"),
    _done("result codes", "3.3", "F", "application.codes:ResultCode"),
    _done("objects and datasheets", "4", "S/F", "objects.datasheet:load, objects.catalogue"),
    _done("EI4 gas meter datasheet", "4", "F", "objects/datasheets/ei4.toml"),
    _done(
        "events and their bits",
        "4",
        "F/C",
        "objects/datasheets/ei4.toml",
        "the [[event]] tables, or those of a datasheet of your own that extends ei4",
    ),
    _done(
        "event log read without moving the head-end's read pointer",
        "4",
        "F",
        "device.event_log:EventLog",
    ),
    _done(
        "how far back the event log is read for a window of time",
        "4",
        "C",
        "device.event_log:CLOCK_MARGIN",
        "the constant: by how much a clock may have been set back",
    ),
    _done(
        "which object counts the entries of a table that is exported",
        "4",
        "C",
        "device.export:_COUNTED_BY",
        "the mapping, by the name of the table",
    ),
    _done(
        "which jump of a clock needs a yes; what a power cut leaves in a profile",
        "4",
        "C",
        "cli.clock:ASK_ABOVE, virtual.metering:Metering._set_clock,"
        " virtual.profile:LoadProfile.power_back",
        "the constant; power_back for what is made of the half hours that nobody measured",
    ),
    _done(
        "strings padded with 0x00, order of ddhhmmss",
        "4",
        "C",
        "objects.value_types:Ascii.pack, objects.value_types:DayTimeType",
        "the byte of ljust; the order in pack and unpack",
    ),
    _done(
        "EI4 names, delivered role sets, optical characters",
        "4",
        "C",
        "objects/datasheets/ei4.toml",
        "a datasheet of your own that extends ei4 says otherwise; no code changes",
    ),
    _done(
        "virtual meter's own objects, bank umi.255.0",
        "4",
        "C",
        "objects.catalogue:VIRTUAL_DATASHEET, objects/datasheets/virtual.toml,"
        " virtual.device:VirtualMeter",
        "add or remove objects in virtual.toml; no real device has them",
    ),
    _done(
        "virtual meter's life cycle: blank, provisioned, locked, retired",
        "4",
        "C",
        "virtual.life_cycle:LifeCycle, virtual.life_cycle:check_command,"
        " virtual.delivered:blank_memory, virtual.metering:Metering._identify",
        "_STEPS says which state follows which, MAKERS who may take the step",
    ),
    _done("signature record of scheme 0", "5", "F", "security.scheme0:Scheme0"),
    _done(
        "signature records of scheme 2, ECDSA",
        "5",
        "F",
        "security.signatures:CommandSignature, security.signatures:ResponseSignature,"
        " security.signatures:ImageSignature",
    ),
    _done(
        "signature records of scheme 1, CMAC",
        "5",
        "C",
        "security.signatures:SCHEME_MAC, crypto:cmac",
        "_VALUE_BYTES has the lengths, _sign and _verify the algorithm",
    ),
    _done(
        "keys in PKCS#11 tokens",
        "5",
        "C",
        "security.token_uri:TokenUri, tokens:TokenSigner",
        "TokenUri.parse says what a URI must and may hold",
    ),
    _done(
        "signature made before encryption",
        "5",
        "C",
        "security.signatures:packet_signed_bytes",
        "keep byte 20 there in place of the 0",
    ),
    _done("roles, access role sets", "6.1", "F", "types:Role, types:RoleSet"),
    _done(
        "who may set an object's access",
        "6.1",
        "C",
        "virtual.store:ObjectStore.set_access, virtual.store:ObjectStore.write",
        "the condition that raises ACCESS_DENIED",
    ),
    _done(
        "scheme 1 authentication",
        "6.2",
        "C",
        "security.authentication1:Handshake, device.protection1:Scheme1",
        "_LABEL, _text_a and _text_b make the bytes under each tag; both ends use them",
    ),
    _done(
        "scheme 1 key files, check value of a key",
        "6.2",
        "C",
        "security.keys:check_value, security.keys:_ENCRYPTED_HEAD_BYTES",
        "_CHECK_TEXT and _CHECK_BYTES; files need another label, or old ones cannot be read",
    ),
    _done(
        "lock-out after failed authentications",
        "6.2",
        "C",
        "virtual.lockout:LOCKED_S, virtual.lockout:MAX_FAILURES",
        "the two constants",
    ),
    _done(
        "scheme 2 session, AES-128-GCM, counter",
        "6.3",
        "F",
        "security.session2:SealedSession, device.protection2:Scheme2",
    ),
    _done(
        "scheme 2 session ends long before its counter wraps",
        "6.3",
        "C",
        "security.session2:LAST_COUNTER",
        "the constant; past 0xFFFFFFFE the counter of a response would wrap",
    ),
    _done(
        "what is said in the clear beside a session; idle end",
        "6.3",
        "C",
        "virtual.security:SESSION_IDLE_S, virtual.security:BAD_DECRYPT_EVERY_S,"
        " virtual.security:_CLEAR_IN_SESSION",
        "the constants and the tuple of packet types",
    ),
    _done("key confirmation", "6.3", "S", "device.protection2:Scheme2.begin"),
    _done("card-verifiable certificates, aliases", "6.4", "F", "certificates.cvc:Certificate"),
    _done("certificate chains and their rules", "6.4", "F", "certificates.chain:verify_chain"),
    _done(
        "bounds of serial numbers and chains, nested times, whose requests are answered",
        "6.4",
        "C",
        "certificates.cvc:MAX_SERIAL_BYTES, certificates.chain:MAX_CHAIN,"
        " certificates.issue:issue, certificates.issue:_check_issuer",
        "the constants; the checks in issue, one after the other",
    ),
    _done(
        "authority bits, certificate request",
        "6.4",
        "C",
        "certificates.authorisation:AuthorityAuthorisation,"
        " certificates.request:CertificateRequest",
        "encode and _read_authority for the bits; encode and decode of a request",
    ),
    _done(
        "an authority's policy, its register of what was issued",
        "6.4",
        "C",
        "certificates.policy:Policy, certificates.register:Register",
        "rules are fields of Policy; a line of the register is Entry.encode",
    ),
    _done(
        "revocation; a new meter's first root, who adds another, who replaces its chain",
        "6.4",
        "C",
        "virtual.vault:ROOTS, virtual.vault:Vault, virtual.security_handlers:_add,"
        " virtual.security_handlers:_install",
        "ROOTS and REVOCATION_SIZE; the handlers say which role may",
    ),
    _done(
        "key pair, request, chain, trust and rights in a device",
        "6.4",
        "S",
        "device.identity:Identity, device.identity:install_chain",
    ),
    _done(
        "image encryption",
        "6.5",
        "S/C",
        "images.encryption:encrypt_package, images.encryption:decrypt_package, crypto:encapsulate",
        "both functions; Sealing holds what the header says of it",
    ),
    _done(
        "image package, its bounds, who signs it and for whom, what is newer",
        "7",
        "C",
        "images.header:MAX_IMAGE_BYTES, images.header:_MODEL, images.header:Sealing,"
        " images.package:MAX_PARTS, images.signing:IMAGE_ROLES, images.signing:check_targets,"
        " images.verify:check_header",
        "_HEADER is the layout; IMAGE_ROLES who signs; check_header what is refused",
    ),
    _done(
        "two image slots, a boot that always boots a whole image",
        "7",
        "C",
        "virtual.slots:Slots, virtual.slots:_BOOT, virtual.flash:SLOT_BYTES",
        "the layouts and sizes; tests/cuts.py cuts the power at each write",
    ),
    _done(
        "image transfer, the meter's side: who may, what is refused, when the new image runs",
        "7",
        "C",
        "virtual.updates:UPLOADERS, virtual.updates:MAY_GO_BACK, virtual.updates:Updates,"
        " virtual.image_handlers:_check_role, virtual.examination:Examiner,"
        " virtual.examination:_rejection",
        "the role sets; _rejection has the result code of each fault",
    ),
    _done(
        "image upload, gone on with where it stopped",
        "7",
        "C",
        "images.upload:Upload",
        "MAX_BLOCK_BYTES, MAX_STARTS and TRIES bound it",
    ),
    _done("UMI-opto: sign-on after EN 62056-21", "8", "S", "optical.sign_on:SignOn"),
    _done(
        "UMI-opto: V 0 and Y 6 switch into UMI",
        "8",
        "C",
        "virtual.optical_sign_on:MeterSignOn._on_select, virtual.optical_sign_on:REACTION_S,"
        " objects/datasheets/ei4.toml",
        "[optical] of a datasheet, or v= and y= of an address; _on_select for the virtual meter",
    ),
    _done(
        "UMI-opto: RESYNC proves the switch; no pauses behind it",
        "8",
        "C",
        "optical.sign_on:SignOn._switch",
        "_holds_resync_response says what proves it",
    ),
    _done(
        "UMI-opto: what a lifted probe costs, which adapters are probes",
        "8",
        "C",
        "transports.optical:IDLE_GAP_S, transports.optical:CHUNK_S, transports.hosts:PROBE_CHIPS",
        "the constants; PROBE_CHIPS by USB vendor and product",
    ),
    _done("UMI-spi: pins, levels, power of a port", "9", "S", "transports.board:SpiBoard"),
    _done(
        "UMI-spi: handshake, power sequence, reset of a silent peripheral",
        "9",
        "C",
        "transports.spi:RISE_WITHIN_S, transports.spi:TAKEN_WITHIN_S, transports.spi:RESET_S,"
        " transports.spi:OFF_S, transports.spi:SpiTransport, transports.bus:WAKE_PULSE_US,"
        " virtual.pins:READY_S",
        "times are constants; _power_up, send and _fetch are the handshake",
    ),
    _done(
        "fuzzing: how long half a frame is left alone; who has no certificate takes any first root",
        "9",
        "C",
        "certify.fuzz_send:HOST_PAUSE_S, certify.fuzz_device:_trusts_nobody",
        "the constant; a factory that gives the first root otherwise has it answer no there",
    ),
    _done("forwarding to the ports of a Host", "9", "S", "virtual.host:Host.route"),
    _done(
        "a Host passes the parts of a product on",
        "9",
        "C",
        "virtual.host:PASSAGE_BLOCK_BYTES, virtual.host:Passage",
        "the constant; Passage.ask says what is sent next",
    ),
    _done(
        "a Host takes events from whoever is on the line",
        "9",
        "C",
        "virtual.handlers:_take_event",
        "ask there for a role, as the other handlers do",
    ),
    _done("UMI over TCP", "10", "F", "transports.tcp:TcpTransport"),
)
"""Every mechanism of the protocol notes, in their order."""
