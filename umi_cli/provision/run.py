"""How one unit goes through a plan, and goes on where an earlier run was cut (protocol 6.4).

Each step looks first whether it is done, does it, and looks again: so a step may be begun twice.
It is recorded before it is done and when it was seen. The order leaves no half identity: a unit
makes its key pair first and is known by it from then on; what it is called is allotted to that key
and written; its certificate is recorded before it is installed; only with its chain it is a unit
of ours, and all that follows is done under the session that the chain makes possible.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from umi_cli import crypto
from umi_cli.certificates.chain import decode_chain, encode_chain
from umi_cli.certificates.cvc import Certificate
from umi_cli.certificates.issue import issue
from umi_cli.certificates.request import CertificateRequest
from umi_cli.certificates.trust import Anchor, Trust
from umi_cli.device import identity
from umi_cli.device.image_upload import read_running
from umi_cli.device.meter import Meter
from umi_cli.errors import ConflictError, RefusedError, UnitFailedError
from umi_cli.objects.values import to_json, to_text
from umi_cli.provision.journal import Journal, Phase, UnitStatus
from umi_cli.provision.line import (
    IDENTITY_OBJECT,
    LIFE_CYCLE_OBJECT,
    LOCKED,
    Connect,
    Line,
)
from umi_cli.provision.pools import CERTIFICATE_SERIAL, SERIAL, UMI_ID
from umi_cli.types import UmiId

CERTIFICATE_SERIAL_BYTES = 8
UNIT_HEX = 32  # of the SHA-256 of its public point

UploadImage = Callable[[Meter], None]
"""Uploads the plan's image; raises what comes of it."""


@dataclass(slots=True, kw_only=True)
class UnitResult:
    """What came of a unit."""

    unit: str
    umi_id: str | None = None
    serial: str | None = None
    certificate: str | None = None
    """SHA-256 of its certificate, as hex."""
    steps: list[str] = field(default_factory=list)
    """The steps that were done in this run."""


def unit_name(public_point: bytes) -> str:
    """Return what a unit is called in the journal: a name that its key pair gives it."""
    return "key-" + crypto.sha256(public_point).hex()[:UNIT_HEX]


class UnitRun:
    """One unit on its way through a plan.

    Args:
        line: the plan, with all that it needs.
        journal: what was done to which unit.
        connect: opens the unit at this station.
        upload: uploads the plan's image.
        tell: told each step as it begins.
    """

    def __init__(
        self,
        line: Line,
        journal: Journal,
        connect: Connect,
        upload: UploadImage,
        tell: Callable[[str, str], None] = lambda unit, step: None,
    ) -> None:
        self._line = line
        self._journal = journal
        self._connect = connect
        self._upload = upload
        self._tell = tell
        self.result: UnitResult | None = None
        """What has come of the unit so far; None before it was met."""

    def run(self) -> UnitResult:
        """Take the unit through the plan; it is done at the end.

        Raises:
            ConflictError: it is done already, in quarantine, at another station, or not ours.
            UnitFailedError: it does not show what was requested, or a test failed.
            UmiError: the unit, the line or the journal failed; the same unit can go on.
        """
        with self._connect(None) as meter:
            unit = self._meet(meter)
            with self._journal.lock(unit):
                result = self._begin(unit)
                self._name(meter, result)
                self._certify(meter, result)
        with self._journal.lock(unit):
            with self._connect(self._line.station) as meter:
                self._prove(meter, result)
                self._equip(meter, result)
            self._journal.finish(unit)
        return result

    def _meet(self, meter: Meter) -> str:
        """Return what the unit is called in the journal; a blank one makes its key pair first.

        Raises:
            ConflictError: it has a chain that is not of this journal.
        """
        identity.make_key_pair(meter)
        request = identity.fetch_request(meter)
        unit = unit_name(request.public_point)
        known = self._journal.state(unit)
        if not known.values and identity.find_certificate(meter) is not None:
            raise ConflictError(
                f"the unit {request.subject} has its chain already, and not from this journal",
                hint="see who it is with: umi device certificate",
            )
        return unit

    def _begin(self, unit: str) -> UnitResult:
        """Begin with a unit, or go on with it."""
        state = self._journal.state(unit)
        if state.status is UnitStatus.DONE:
            raise ConflictError(
                f"the unit {state.values.get(SERIAL, unit)} is provisioned already",
                hint="take it off the station; it has been counted",
            )
        if state.status is UnitStatus.QUARANTINED:
            raise ConflictError(
                f"the unit {state.values.get(SERIAL, unit)} is in quarantine: {state.reason}",
                hint=f"once it is mended: umi provision release {unit} --journal URL --reason TEXT",
            )
        self.result = UnitResult(unit=unit)
        return self.result

    def _step(
        self,
        result: UnitResult,
        name: str,
        is_done: Callable[[], bool],
        act: Callable[[], object],
        requested: Mapping[str, Any],
    ) -> None:
        """Do a step that may have been begun before: look, do, look again."""
        unit = result.unit
        self._tell(unit, name)
        was_done = is_done()
        if was_done and name in self._journal.state(unit).done:
            return
        self._journal.record(unit, name, Phase.REQUESTED, requested)
        if not was_done:
            act()
            if not is_done():
                self._journal.record(unit, name, Phase.FAILED, {"reason": "not as requested"})
                raise UnitFailedError(
                    f"{name}: the unit does not show what was requested",
                    hint="see what was, with: umi provision export --journal URL",
                )
        self._journal.record(unit, name, Phase.OBSERVED, {"was_done": was_done})
        self._journal.record(unit, name, Phase.DONE)
        result.steps.append(name)

    def _name(self, meter: Meter, result: UnitResult) -> None:
        """Allot what the unit is called, and write it while it is blank."""
        result.serial = self._journal.allot(result.unit, SERIAL, self._line.serials)
        result.umi_id = self._umi_id(result.unit, result.serial)
        umi_id = UmiId.parse(result.umi_id)
        wanted = self._line.identity(result.serial)
        if identity.find_certificate(meter) is not None:
            return  # it has its chain, and with it its name

        def is_done() -> bool:
            return meter.session.identify() == umi_id and _value(meter, IDENTITY_OBJECT) == wanted

        def act() -> None:
            meter.write(IDENTITY_OBJECT, wanted)
            identity.set_umi_id(meter, umi_id)

        self._step(result, "name", is_done, act, {UMI_ID: str(umi_id), SERIAL: result.serial})

    def _umi_id(self, unit: str, serial: str) -> str:
        """Return the unit's UMI ID: of the plan's range, or what its list says for the serial."""
        listed = self._line.listed.get(serial)
        if listed is None:
            return self._journal.allot(unit, UMI_ID, self._line.umi_ids)
        self._journal.claim(unit, UMI_ID, listed)
        return listed

    def _certify(self, meter: Meter, result: UnitResult) -> None:
        """Give the unit its chain: recorded first, so that nothing is issued that is not there."""
        state = self._journal.state(result.unit)
        recorded = state.requested.get("certify")
        if recorded is not None:
            chain = decode_chain(bytes.fromhex(recorded["chain"]))
        elif "certify" in state.done:
            return
        else:
            self._tell(result.unit, "certify")
            certificate = self._issue(identity.fetch_request(meter), result.unit)
            chain = (certificate, *self._line.authority.chain)
            data = {
                "chain": encode_chain(chain).hex(),
                "fingerprint": certificate.fingerprint.hex(),
            }
            self._journal.record(result.unit, "certify", Phase.REQUESTED, data)
        self._tell(result.unit, "install")
        identity.trust(meter, [self._line.authority.anchor])  # a blank unit knows nobody
        trusted = Trust(anchors=(Anchor.of(self._line.authority.anchor),))
        identity.install_chain(meter, chain, trusted=trusted)
        found = {"fingerprint": identity.fetch_certificate(meter).fingerprint.hex()}
        self._journal.record(result.unit, "certify", Phase.OBSERVED, found)
        self._journal.record(result.unit, "certify", Phase.DONE, found)
        result.steps.append("certify")

    def _issue(self, request: CertificateRequest, unit: str) -> Certificate:
        """Issue the unit's certificate, with a serial number that nobody had."""
        state = self._journal.state(unit)
        serial = state.values.get(CERTIFICATE_SERIAL)
        if serial is None:
            serial = crypto.new_salt()[:CERTIFICATE_SERIAL_BYTES].hex()
            self._journal.claim(unit, CERTIFICATE_SERIAL, serial)
        authority = self._line.authority
        return issue(
            request,
            self._line.terms(bytes.fromhex(serial)),
            issuer=authority.certificate,
            signer=authority.signer,
        )

    def _prove(self, meter: Meter, result: UnitResult) -> None:
        """Have the unit prove itself under its new certificate, before it is equipped."""
        self._tell(result.unit, "prove")
        meter.session.begin()
        proved = meter.session.standing.device_certificate
        if proved is None or str(proved.body.subject) != result.umi_id:
            raise UnitFailedError(f"the unit does not prove that it is {result.umi_id}")
        result.certificate = proved.fingerprint.hex()
        data = {"fingerprint": result.certificate}
        self._journal.record(result.unit, "prove", Phase.OBSERVED, data)
        self._journal.record(result.unit, "prove", Phase.DONE, data)
        result.steps.append("prove")

    def _equip(self, meter: Meter, result: UnitResult) -> None:
        """Do all that the station may do once the unit has its chain; the lock comes last."""
        line = self._line
        if line.trusted:
            identity.trust(meter, line.trusted)
        for number, written in enumerate(line.writes):
            self._write(meter, result, f"write-{number}", written.part, written.raw)
        for number, opened in enumerate(line.accesses):
            self._set_access(meter, result, f"access-{number}", opened)
        self._load_image(meter, result)
        self._test(meter, result)
        if line.plan.locks:
            part = line.catalogue.resolve(LIFE_CYCLE_OBJECT)
            self._write(meter, result, "lock", part, line.catalogue.encode(part, LOCKED))

    def _write(self, meter: Meter, result: UnitResult, name: str, part: Any, raw: bytes) -> None:
        self._step(
            result,
            name,
            lambda: meter.read(part).raw == raw,
            lambda: meter.write(part, raw),
            {"object": str(part), "value": raw.hex()},
        )

    def _set_access(self, meter: Meter, result: UnitResult, name: str, opened: Any) -> None:
        def is_done() -> bool:
            found = meter.access(opened.part)
            return opened.read in (None, found.read) and opened.write in (None, found.write)

        self._step(
            result,
            name,
            is_done,
            lambda: meter.set_access(opened.part, read=opened.read, write=opened.write),
            {"object": str(opened.part), "read": str(opened.read), "write": str(opened.write)},
        )

    def _load_image(self, meter: Meter, result: UnitResult) -> None:
        image = self._line.image
        if image is None:
            return
        version = image.label.version
        self._step(
            result,
            "image",
            lambda: read_running(meter).version == version,
            lambda: self._upload(meter),
            {"version": str(version), "sha256": image.image_sha256.hex()},
        )

    def _test(self, meter: Meter, result: UnitResult) -> None:
        """Read what must be read; the unit fails if it shows anything else."""
        for number, tested in enumerate(self._line.tests):
            name = f"test-{number}"
            self._tell(result.unit, name)
            found = meter.read(tested.part)
            data = {"object": str(tested.part), "value": to_json(found.value)}
            if found.raw != tested.raw:
                self._journal.record(result.unit, name, Phase.FAILED, data)
                raise UnitFailedError(
                    f"the test of {tested.part} failed: it reads {to_text(found.value)}",
                    hint="the unit is put aside; see why with: umi provision status --journal URL",
                )
            self._journal.record(result.unit, name, Phase.OBSERVED, data)
            self._journal.record(result.unit, name, Phase.DONE)
            result.steps.append(name)


def _value(meter: Meter, name: str) -> object:
    try:
        return meter.read(name).value
    except RefusedError:
        return None
