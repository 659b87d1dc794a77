"""The numbers of the application layer: packet types and result codes (protocol 3.2, 3.3)."""

from enum import IntEnum

from umi_cli.errors import (
    AccessDeniedError,
    RefusedError,
    UnknownObjectError,
)


class PacketType(IntEnum):
    """The packet types; a command is even, its response is odd (protocol 3.2)."""

    NO_OPERATION = 0x00
    NO_OPERATION_RESPONSE = 0x01
    COMPLETE = 0x02
    WAIT = 0x03
    EVENT_SUBSCRIBE = 0x20
    EVENT_SUBSCRIBE_RESPONSE = 0x21
    EVENT_PUBLISH = 0x22
    EVENT_PUBLISH_RESPONSE = 0x23
    READ_OBJECT = 0x30
    READ_OBJECT_RESPONSE = 0x31
    READ_OBJECT_PART = 0x32
    READ_OBJECT_PART_RESPONSE = 0x33
    WRITE_OBJECT = 0x34
    WRITE_OBJECT_RESPONSE = 0x35
    WRITE_OBJECT_PART = 0x36
    WRITE_OBJECT_PART_RESPONSE = 0x37
    SET_OBJECT_READ_ACCESS = 0x3A
    SET_OBJECT_READ_ACCESS_RESPONSE = 0x3B
    SET_OBJECT_WRITE_ACCESS = 0x3C
    SET_OBJECT_WRITE_ACCESS_RESPONSE = 0x3D
    GET_OBJECT_ACCESS = 0x3E
    GET_OBJECT_ACCESS_RESPONSE = 0x3F
    IMAGE_START = 0x50
    IMAGE_START_RESPONSE = 0x51
    IMAGE_DATA = 0x52
    IMAGE_DATA_RESPONSE = 0x53
    IMAGE_END = 0x54
    IMAGE_END_RESPONSE = 0x55
    TUNNEL_DATA = 0x60
    TUNNEL_DATA_RESPONSE = 0x61
    TUNNEL_UMI = 0x62
    TUNNEL_UMI_RESPONSE = 0x63
    S1_AUTH_REQUEST = 0x90
    S1_AUTH_REQUEST_RESPONSE = 0x91
    S1_AUTH_CHALLENGE = 0x92
    S1_AUTH_CHALLENGE_RESPONSE = 0x93
    S1_AUTH_REPLY = 0x94
    S1_AUTH_REPLY_RESPONSE = 0x95
    S1_AUTH_LOGOUT = 0x96
    S1_AUTH_LOGOUT_RESPONSE = 0x97
    S2_START_SESSION = 0xA0
    S2_START_SESSION_RESPONSE = 0xA1
    S2_END_SESSION = 0xA2
    S2_END_SESSION_RESPONSE = 0xA3
    S2_GET_CERTIFICATE = 0xA4
    S2_GET_CERTIFICATE_RESPONSE = 0xA5
    S2_ADD_CERTIFICATE = 0xA6
    S2_ADD_CERTIFICATE_RESPONSE = 0xA7
    S2_GENERATE_KEYPAIR = 0xA8
    S2_GENERATE_KEYPAIR_RESPONSE = 0xA9
    S2_GET_CSR = 0xAA
    S2_GET_CSR_RESPONSE = 0xAB
    S2_INSTALL_OWN_CERTIFICATE_CHAIN = 0xAC
    S2_INSTALL_OWN_CERTIFICATE_CHAIN_RESPONSE = 0xAD
    S2_REVOKE_CERTIFICATE = 0xB0
    S2_REVOKE_CERTIFICATE_RESPONSE = 0xB1
    S2_CHECK_REVOCATION = 0xB2
    S2_CHECK_REVOCATION_RESPONSE = 0xB3
    S2_REVOCATION_ANSWER = 0xB4
    S2_REVOCATION_ANSWER_RESPONSE = 0xB5
    S2_RELINQUISH_RIGHTS = 0xB6
    S2_RELINQUISH_RIGHTS_RESPONSE = 0xB7
    ERROR = 0xFF


class ResultCode(IntEnum):
    """What a response says of its command (protocol 3.3)."""

    OK = 0
    UNKNOWN_VERSION = 1
    UNKNOWN_PACKET_TYPE = 2
    INVALID_PACKET_FORMAT = 3
    UNKNOWN_OBJECT = 4
    UNKNOWN_MEMBER = 5
    UNKNOWN_ELEMENT = 6
    NOT_IMPLEMENTED = 7
    TOO_LONG = 8
    ACCESS_DENIED = 9
    UNAVAILABLE = 10
    INVALID_LENGTH = 11
    INVALID_VALUE = 12
    TRANSFER_RESTARTED = 13
    IMAGE_PROCESSING_ERROR = 14
    UNKNOWN_EVENT = 15
    APPLICATION_ERROR = 16
    NO_SESSION = 17
    NO_ENCRYPTION = 18
    UNKNOWN_SIGNATURE_SCHEME = 19
    UNKNOWN_ENCRYPTION_SCHEME = 20
    DEFER_ERROR = 21
    WRONG_IMAGE_TARGET = 22
    BAD_IMAGE = 23
    UNKNOWN_TRANSPORT_KEY_ID = 24
    INVALID_SIGNATURE = 128
    AUTHENTICATION_FAILED = 129
    NO_PUBLIC_KEY = 130
    NO_CERTIFICATE = 131
    KEYPAIR_ALREADY_GENERATED = 132
    ALREADY_INSTALLED = 133
    REVOCATION_POINT_UNAVAILABLE = 134
    REVOCATION_POINT_UNKNOWN = 135
    NO_CURRENT_RIGHTS = 136
    UNKNOWN_ISSUER = 137
    OUT_OF_REVOCATION_MEMORY = 138
    INVALID_CERTIFICATE_FORMAT = 139
    INVALID_CERTIFICATE_SIGNATURE = 140
    INVALID_CERTIFICATE = 141
    KEY_TABLE_FULL = 142


_HINTS = {
    ResultCode.UNKNOWN_PACKET_TYPE: "the device does not know this command at all",
    ResultCode.NOT_IMPLEMENTED: "the device knows this command, and does not offer it",
    ResultCode.UNKNOWN_ELEMENT: "the array is shorter: [:] reads all that there is",
    ResultCode.TOO_LONG: "ask for fewer elements at a time, such as [0:9]",
    ResultCode.UNAVAILABLE: "try again in a while",
    ResultCode.INVALID_LENGTH: "compare the datasheet with the device: --datasheet selects one",
    ResultCode.INVALID_VALUE: "the object takes other values: umi objects shows its type",
    ResultCode.UNKNOWN_TRANSPORT_KEY_ID: "encrypt it with a key that the device has, or to its "
    "certificate: umi image encrypt",
    ResultCode.INVALID_SIGNATURE: "the key is not the one the device knows for this role, the "
    "device's clock is outside the command's window, or the command has run already",
    ResultCode.NO_PUBLIC_KEY: "the device has no key pair of its own yet: have it make one with "
    "umi device keypair",
    ResultCode.NO_CERTIFICATE: "the device does not have that certificate: hand over another's "
    "with umi device trust, its own with umi device install",
    ResultCode.KEYPAIR_ALREADY_GENERATED: "the device makes one key pair in its life: go on with "
    "its request, umi device csr",
    ResultCode.ALREADY_INSTALLED: "the device has its own chain, or a newer certificate of that "
    "party: see which with umi device certificate",
    ResultCode.REVOCATION_POINT_UNAVAILABLE: "no security authority has a session with the device: "
    "it begins one with umi auth, and answers with umi device answer-revocation",
    ResultCode.REVOCATION_POINT_UNKNOWN: "the device knows no security authority to ask: hand its "
    "certificate over with umi device trust",
    ResultCode.NO_CURRENT_RIGHTS: "the device has no certificate that gives this party a role: "
    "issue one with umi cert issue --role, and hand it over with umi device trust",
    ResultCode.UNKNOWN_ISSUER: "the device trusts another root, or lacks a certificate between: "
    "hand over the issuer's first with umi device trust",
    ResultCode.OUT_OF_REVOCATION_MEMORY: "the device forgets the party, and cannot remember the "
    "revocation: try again when one of those it keeps has ended",
    ResultCode.INVALID_CERTIFICATE_FORMAT: "what was sent is no certificate: see what the file "
    "holds with umi cert show",
    ResultCode.INVALID_CERTIFICATE_SIGNATURE: "its issuer did not sign it with the key that the "
    "device knows: find the one who did with umi cert verify",
    ResultCode.INVALID_CERTIFICATE: "it is for another device, key or time, or was revoked: "
    "compare umi cert show with the device's UMI ID and clock, umi info",
    ResultCode.KEY_TABLE_FULL: "the device has no room for one more party: have one that is no "
    "longer needed revoked, or relinquish",
    ResultCode.NO_SESSION: "start a new session",
    ResultCode.NO_ENCRYPTION: "this command is only taken inside a session",
    ResultCode.DEFER_ERROR: "send the command again",
}
_ERRORS: dict[ResultCode, type[RefusedError]] = {
    ResultCode.ACCESS_DENIED: AccessDeniedError,
    ResultCode.UNKNOWN_OBJECT: UnknownObjectError,
    ResultCode.UNKNOWN_MEMBER: UnknownObjectError,
    ResultCode.UNKNOWN_ELEMENT: UnknownObjectError,
    ResultCode.UNKNOWN_EVENT: UnknownObjectError,
}


def result_name(number: int) -> str:
    """Return the name of a result code, or `RESULT_77` for one that nobody has defined."""
    try:
        return ResultCode(number).name
    except ValueError:
        return f"RESULT_{number}"


def refusal(number: int, what: str) -> RefusedError:
    """Return the error for a result code other than OK.

    Args:
        number: the result code, 1..255.
        what: what was refused, such as `READ umi.1.1.0.7`.
    """
    name = result_name(number)
    known = number in ResultCode.__members__.values()
    kind = _ERRORS.get(ResultCode(number), RefusedError) if known else RefusedError
    hint = _HINTS.get(ResultCode(number), "") if known else ""
    sentence = f"the device refused {what}: {name} ({number})"
    return kind(sentence, number=number, name=name, hint=hint)
