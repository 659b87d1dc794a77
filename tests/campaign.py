"""Seeded runs of a read-modify-write script over a line that does everything a line can do wrong.

    python -m tests.campaign --runs 10000 --faults all:0.05 --scheme 2
    python -m tests.campaign --line optical --faults ber:1e-4,drop:0.05,lift:0.01
    python -m tests.campaign --line spi --faults drop:0.02,power:0.01 --pins all:0.02

The optical line signs on first, at each of its rates in turn, with and without an echo; its time is
that of the characters on it. On spi the meter is a Peripheral and we are its Host, which answers
what it asks; what may go wrong on its pins comes on top.

What must hold in every run, whatever the line does:

1. a value that is reported is the one that the meter held while it was asked;
2. a write that is reported done was done, once;
3. no write is executed twice;
4. every step ends: done, or with a documented error, within its bound of (simulated) time;
5. under scheme 2, no key and nonce ever seal two texts.
"""

import argparse
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from tests.certificates.pki import (
    DEVICE_KEY,
    MIDDLE_KEY,
    ROOT_BODY,
    ROOT_ID,
    ROOT_KEY,
    make_root,
    standard,
)
from umi_cli import crypto
from umi_cli.certificates.cvc import Certificate
from umi_cli.certificates.trust import Anchor, Trust
from umi_cli.device.credentials import Scheme1Credentials, Scheme2Credentials
from umi_cli.device.driver import HostEnd, Observer
from umi_cli.device.meter import Meter
from umi_cli.device.protection import Protection
from umi_cli.device.protection1 import Scheme1
from umi_cli.device.protection2 import Scheme2
from umi_cli.device.session import Session
from umi_cli.errors import OutcomeUnknownError, UmiError
from umi_cli.objects.catalogue import Catalogue
from umi_cli.optical.sign_on import SignOnProfile
from umi_cli.transports.base import Transport
from umi_cli.transports.memory import (
    MemoryBoard,
    MemoryPort,
    MemoryTransport,
    SimulatedClock,
)
from umi_cli.transports.optical import OpticalSettings, OpticalTransport
from umi_cli.transports.spi import SpiTransport
from umi_cli.types import Role, UmiCode, UmiId, parse_datetime
from umi_cli.virtual.delivered import VIRTUAL_METER_ID
from umi_cli.virtual.faults import FaultRates
from umi_cli.virtual.host_end import HostObjects
from umi_cli.virtual.memory import Memory
from umi_cli.virtual.optical_sign_on import OpticalCharacter
from umi_cli.virtual.pin_faults import PinFaultRates
from umi_cli.virtual.setup import SimOptions, Simulation

START = "2026-11-22T10:00:00Z"
START_UNIX_S = 1_795_341_600.0
COUNTER = UmiCode.parse("umi.255.0.0.65")
STEPS = 6
STEP_BOUND_S = {
    "memory": 300.0,  # four tries, each of a RESYNC and a few frames, each frame three times 1 s
    "optical": 1500.0,  # and four sign-ons, each of up to four tries; at 300 baud a frame takes 9 s
    "spi": 300.0,
}
DOCUMENTED = {10, 14, 15, 16, 17, 20, 21, 23, 24, 30, 31, 33}
OPTICAL_RATES = (300, 2400, 9600, 19_200)

OWN_ID = UmiId(0x0023_7EFE_0000_0009)
METER_KEY, OWN_KEY = DEVICE_KEY, MIDDLE_KEY
ROOT = make_root()


def _leaf(subject: UmiId, key: crypto.PrivateKey, role: Role, serial: bytes) -> Certificate:
    body = replace(
        ROOT_BODY,
        issuer=ROOT_ID,
        subject=subject,
        serial=serial,
        public_point=key.public_point,
        authorisation=standard(role),
    )
    return Certificate.sign(body, ROOT_KEY)


METER_CERTIFICATE = _leaf(VIRTUAL_METER_ID, METER_KEY, Role.METERING_DEVICE, b"\x02")
CREDENTIALS_1 = Scheme1Credentials(role=Role.SERVICE, key=crypto.AesKey(bytes(range(16))))
CREDENTIALS_2 = Scheme2Credentials(
    signer=OWN_KEY,
    chain=(_leaf(OWN_ID, OWN_KEY, Role.SERVICE, b"\x03"),),
    trust=Trust(anchors=(Anchor.of(ROOT),)),
)


@dataclass
class Outcome:
    """What came of a campaign."""

    runs: int = 0
    steps: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    seals: int = 0
    """How many packets were encrypted."""

    def __str__(self) -> str:
        steps, faults = dict(sorted(self.steps.items())), dict(sorted(self.faults.items()))
        return (
            f"{self.runs} runs, {sum(steps.values())} steps: {steps}\n"
            f"{sum(faults.values())} faults injected: {faults}\n"
            f"{self.seals} packets encrypted; {len(self.violations)} violations"
        )


def trust_each_other(memory: Memory) -> None:
    """Give a meter its keys: what scheme 1 and scheme 2 need."""
    vault = memory.vault
    vault.signer, vault.chain = METER_KEY, (METER_CERTIFICATE,)
    vault.anchors = (ROOT,)
    keys = memory.store.find("scheme-1-keys")
    assert keys is not None
    memory.store.values[keys.code] = CREDENTIALS_1.key.raw * 16


def session_under(
    scheme: int,
    transport: Transport,
    host: HostEnd | None = None,
    observer: Observer | None = None,
) -> Session:
    """Return a session with a meter that trusts us, under a security scheme.

    Args:
        host: our objects, where we are the meter's Host.
        observer: told every piece of bytes that passes.
    """
    protection: Protection | None = None
    if scheme:
        protection = Scheme2(CREDENTIALS_2) if scheme == 2 else Scheme1(CREDENTIALS_1)
    port = 1 if host else None
    return Session(
        transport, own_id=OWN_ID, protection=protection, port=port, host=host, observer=observer
    )


@contextmanager
def watched_nonces(outcome: Outcome) -> Iterator[None]:
    """Report a violation whenever one key and nonce seal two different texts."""
    sealed: dict[tuple[bytes, bytes], tuple[bytes, bytes]] = {}
    seal = crypto.gcm_seal

    def watch(key: crypto.AesKey, iv: bytes, plaintext: bytes, aad: bytes) -> bytes:
        text = sealed.setdefault((key.raw, iv), (plaintext, aad))
        if text != (plaintext, aad):
            outcome.violations.append("a nonce has sealed two texts")
        outcome.seals += 1
        return seal(key, iv, plaintext, aad)

    crypto.gcm_seal = watch
    try:
        yield
    finally:
        crypto.gcm_seal = seal


class Run:
    """One run of the script."""

    def __init__(
        self,
        seed: int,
        rates: FaultRates,
        outcome: Outcome,
        catalogue: Catalogue,
        scheme: int,
        line: str = "memory",
        pins: PinFaultRates = PinFaultRates(),  # noqa: B008 - frozen
    ) -> None:
        spec = f"baud:{OPTICAL_RATES[seed % 4]}" + (",echo" if seed % 3 == 0 else "")
        options = SimOptions(
            faults=rates,
            seed=seed,
            time_s=parse_datetime(START),
            optical=OpticalCharacter.parse(spec),
            pin_faults=pins,
        )
        clock = SimulatedClock(START_UNIX_S)
        self.seed = seed
        self.outcome = outcome
        self.simulation = Simulation(options, clock.utc())
        trust_each_other(self.simulation.meter.memory)
        self.executed: Counter[int] = Counter()
        self.simulation.meter.memory.store.on_write("counter", self._on_write)
        self.clock = clock
        self.catalogue = catalogue
        self.scheme = scheme
        self.line = line

    def play(self) -> None:
        try:
            with self._open() as self.meter:
                self._play_steps()
        except UmiError as error:
            self.outcome.steps[self._told(error)] += 1
        if (took_s := self.clock.monotonic()) > STEPS * STEP_BOUND_S[self.line]:
            self._violation(f"the run took {took_s:.0f} s")
        self._judge()

    def _open(self) -> Meter:
        transport: Transport
        host = None
        if self.line == "spi":
            board = MemoryBoard(self.simulation.new_peripheral("line"), clock=self.clock)
            transport = SpiTransport(board)
            own = Simulation(SimOptions(time_s=parse_datetime(START)), self.clock.utc())
            host = HostObjects(own.meter, "port")
        elif self.line == "optical":
            port = MemoryPort(self.simulation.new_optical_port("line"), clock=self.clock)
            settings = OpticalSettings(profile=SignOnProfile(wakeup=True))
            transport = OpticalTransport(port, settings, "optical")
        else:
            transport = MemoryTransport(self.simulation.new_line("line"), clock=self.clock)
        return Meter(transport, session_under(self.scheme, transport, host), self.catalogue)

    def _play_steps(self) -> None:
        for step in range(STEPS):
            began = self.clock.monotonic()
            result = self._step(step)
            self.outcome.steps[result] += 1
            if self.clock.monotonic() - began > STEP_BOUND_S[self.line]:
                self._violation(f"step {step} took {self.clock.monotonic() - began:.0f} s")
            if result == "lost for good":
                break

    def _judge(self) -> None:
        for value, count in self.executed.items():
            if count > 1:
                self._violation(f"the write of {value} was executed {count} times")
        self.outcome.runs += 1
        for injector in self.simulation.injectors:
            self.outcome.faults += injector.counts
        for faults in self.simulation.pin_faults:
            self.outcome.faults.update({f"pin {name}": n for name, n in faults.counts.items()})

    def _step(self, step: int) -> str:
        try:
            value = self.meter.read("counter").value
            if value != self._held():
                self._violation(f"read {value!r}, the meter holds {self._held()}")
            target = self.seed * 100 + step * 10 + 1  # never written before in this run
            self._write(target)
            self._read_profile()
        except UmiError as error:
            return self._told(error)
        return "done"

    def _told(self, error: UmiError) -> str:
        if error.exit_code not in DOCUMENTED:
            self._violation(f"undocumented exit code {error.exit_code}: {error}")
        self.outcome.errors[f"{error.exit_code} {error}"[:100]] += 1
        return "lost for good" if "hung up" in str(error) else f"exit {error.exit_code}"

    def _write(self, target: int) -> None:
        try:
            self.meter.write("counter", target)
        except OutcomeUnknownError:
            raise
        except UmiError:
            if self.executed[target]:
                self._violation(f"the write of {target} was reported not sent, and ran")
            raise
        if self.executed[target] != 1 or self._held() != target:
            self._violation(f"wrote {target}, the meter holds {self._held()}: {self.executed}")

    def _read_profile(self) -> None:
        found = self.meter.read("profile-table[0:30]")
        store = self.simulation.meter.memory.store
        if found.raw != store.read(found.part, Role.GUEST):
            self._violation("the profile reads differently from what the meter holds")

    def _held(self) -> int:
        return int.from_bytes(self.simulation.meter.memory.store.values[COUNTER], "little")

    def _on_write(self, raw: bytes) -> None:
        self.executed[int.from_bytes(raw, "little")] += 1

    def _violation(self, text: str) -> None:
        self.outcome.violations.append(f"seed {self.seed}: {text}")


def run_campaign(
    runs: int,
    rates: FaultRates,
    first_seed: int = 0,
    scheme: int = 0,
    line: str = "memory",
    pins: PinFaultRates = PinFaultRates(),  # noqa: B008 - frozen
) -> Outcome:
    """Play the script that many times, each with its own seed."""
    outcome = Outcome()
    catalogue = Catalogue.load("ei4")
    with watched_nonces(outcome):
        for seed in range(first_seed, first_seed + runs):
            Run(seed, rates, outcome, catalogue, scheme, line, pins).play()
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--faults", default="all:0.05", help="as in umi sim --fault")
    parser.add_argument("--seed", type=int, default=0, help="of the first run")
    parser.add_argument("--scheme", type=int, choices=(0, 1, 2), default=0)
    parser.add_argument("--line", choices=("memory", "optical", "spi"), default="memory")
    parser.add_argument("--pins", default="", help="faults of the pins, as in spi:sim?pins=")
    parser.add_argument("--errors", action="store_true", help="list what the steps ended with")
    arguments = parser.parse_args()
    rates = FaultRates.parse(arguments.faults)
    outcome = run_campaign(
        arguments.runs,
        rates,
        arguments.seed,
        arguments.scheme,
        arguments.line,
        PinFaultRates.parse(arguments.pins),
    )
    print(outcome)
    if arguments.errors:
        print("\n".join(f"{count:6} {error}" for error, count in outcome.errors.most_common()))
    print("\n".join(outcome.violations))
    raise SystemExit(bool(outcome.violations))


if __name__ == "__main__":
    main()
