"""Result codes by name and number, and what a refusal tells its user (protocol 3.3)."""

import pytest

from umi_cli.application.codes import ResultCode, refusal, result_name
from umi_cli.errors import AccessDeniedError, RefusedError, UnknownObjectError

OF_THE_PROTOCOL = """
0 OK · 1 UNKNOWN_VERSION · 2 UNKNOWN_PACKET_TYPE · 3 INVALID_PACKET_FORMAT · 4 UNKNOWN_OBJECT ·
5 UNKNOWN_MEMBER · 6 UNKNOWN_ELEMENT · 7 NOT_IMPLEMENTED · 8 TOO_LONG · 9 ACCESS_DENIED ·
10 UNAVAILABLE · 11 INVALID_LENGTH · 12 INVALID_VALUE · 13 TRANSFER_RESTARTED ·
14 IMAGE_PROCESSING_ERROR · 15 UNKNOWN_EVENT · 16 APPLICATION_ERROR · 17 NO_SESSION ·
18 NO_ENCRYPTION · 19 UNKNOWN_SIGNATURE_SCHEME · 20 UNKNOWN_ENCRYPTION_SCHEME · 21 DEFER_ERROR ·
22 WRONG_IMAGE_TARGET · 23 BAD_IMAGE · 24 UNKNOWN_TRANSPORT_KEY_ID · 128 INVALID_SIGNATURE ·
129 AUTHENTICATION_FAILED · 130 NO_PUBLIC_KEY · 131 NO_CERTIFICATE ·
132 KEYPAIR_ALREADY_GENERATED · 133 ALREADY_INSTALLED · 134 REVOCATION_POINT_UNAVAILABLE ·
135 REVOCATION_POINT_UNKNOWN · 136 NO_CURRENT_RIGHTS · 137 UNKNOWN_ISSUER ·
138 OUT_OF_REVOCATION_MEMORY · 139 INVALID_CERTIFICATE_FORMAT ·
140 INVALID_CERTIFICATE_SIGNATURE · 141 INVALID_CERTIFICATE · 142 KEY_TABLE_FULL
"""


def test_the_result_codes_are_those_of_the_protocol() -> None:
    """Every number has its name, and there is no other."""
    pairs = [item.split() for item in OF_THE_PROTOCOL.split("·")]
    assert {int(number): name for number, name in pairs} == {
        code.value: code.name for code in ResultCode
    }


EXIT_CODES = {4: 31, 5: 31, 6: 31, 9: 23, 15: 31}
KINDS = {23: AccessDeniedError, 30: RefusedError, 31: UnknownObjectError}


@pytest.mark.parametrize("number", range(1, 256))
def test_a_refusal_has_name_number_and_exit_code(number: int) -> None:
    """Access denied is 23, what does not exist 31, all else 30, codes nobody has defined too."""
    error = refusal(number, "READ umi.1.1.0.7")
    assert error.exit_code == EXIT_CODES.get(number, 30)
    assert type(error) is KINDS[error.exit_code]
    assert (error.number, error.name) == (number, result_name(number))
    assert str(error) == f"the device refused READ umi.1.1.0.7: {error.name} ({number})"


def test_a_code_that_nobody_has_defined_keeps_its_number() -> None:
    assert result_name(77) == "RESULT_77"
    assert result_name(9) == "ACCESS_DENIED"


OF_CERTIFICATES = [code for code in ResultCode if code >= ResultCode.NO_PUBLIC_KEY]
NEXT_STEPS = {
    130: "umi device keypair",
    131: "umi device trust",
    132: "umi device csr",
    133: "umi device certificate",
    134: "umi device answer-revocation",
    135: "umi device trust",
    136: "umi cert issue",
    137: "umi device trust",
    138: "try again when",
    139: "umi cert show",
    140: "umi cert verify",
    141: "umi cert show",
    142: "relinquish",
}


@pytest.mark.parametrize("code", OF_CERTIFICATES, ids=lambda code: code.name)
def test_a_refusal_of_keys_and_certificates_says_why_and_what_next(code: ResultCode) -> None:
    """Each of 130 to 142 has a sentence of its own, which ends in the next step."""
    hint = refusal(code, "it").hint
    assert NEXT_STEPS[code] in hint
    assert not hint.endswith(".")
    others = {refusal(other, "it").hint for other in ResultCode if other not in (0, code)}
    assert hint not in others


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (2, "the device does not know this command at all"),
        (7, "the device knows this command, and does not offer it"),
        (8, "ask for fewer elements at a time, such as [0:9]"),
        (9, "act in a role that may, with --role and --key: umi objects tells which"),
        (10, "try again in a while"),
        (77, ""),
    ],
)
def test_a_refusal_names_the_next_step(number: int, hint: str) -> None:
    assert refusal(number, "it").hint == hint
