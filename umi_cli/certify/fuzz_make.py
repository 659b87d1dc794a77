"""From a seed, a layer and a number to the bytes of a case: the same ones each time."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random

from umi_cli.certify.fuzz_bases import Subject
from umi_cli.certify.fuzz_case import Carrier, CaseName, FuzzCase, FuzzLayer
from umi_cli.certify.fuzz_certificates import spoilt_certificate
from umi_cli.certify.fuzz_images import spoilt_image
from umi_cli.certify.fuzz_link import spoilt_link
from umi_cli.certify.fuzz_packets import spoilt_packet, spoilt_payload
from umi_cli.certify.fuzz_safety import is_harmless

MAX_TRIES = 1000  # to make a case that may be sent; the first few do as a rule

Maker = Callable[[Subject, Random, FuzzCase], FuzzCase]

_MAKERS: Mapping[FuzzLayer, Maker] = {
    FuzzLayer.LINK: spoilt_link,
    FuzzLayer.PACKET: spoilt_packet,
    FuzzLayer.PAYLOAD: spoilt_payload,
    FuzzLayer.CERTIFICATE: spoilt_certificate,
    FuzzLayer.IMAGE: spoilt_image,
}


def make_case(subject: Subject, name: CaseName) -> FuzzCase:
    """Return the case of a name.

    What it may not send decides as well, and nothing else: neither what was sent before, nor the
    time. For another device, datasheet or identity of ours the bytes are others.

    Args:
        subject: the device.
        name: seed, layer, number, and whether the device may be changed.
    """
    # A layer whose exchanges change the device has no cases without.
    changes = name.changes or name.layer.changes
    empty = FuzzCase(
        seed=name.seed,
        layer=name.layer,
        number=name.number,
        changes=changes,
        base="",
        carrier=Carrier.FRAMES,
        pieces=(),
    )
    chance = Random(f"{empty.name}")  # noqa: S311 - repeatable on purpose
    make = _MAKERS[name.layer]
    for _ in range(MAX_TRIES):
        case = make(subject, chance, empty)
        is_spoilt = case.pieces != case.valid or case.patch is not None
        if is_spoilt and is_harmless(case, subject):
            return case
    return replace(case, pieces=case.valid, patch=None)
