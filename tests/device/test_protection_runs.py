"""Seeded runs of scheme 2: whatever happens to line, client and meter, four things hold.

1. No key and IV ever seal two different texts, plaintext or additional data.
2. No unencrypted answer is accepted inside a session.
3. No command runs twice, and what is reported done has run.
4. A tampered packet never changes the meter's state, and no wrong value is reported.

What happens: frames are lost, doubled, delayed, damaged, and tampered with under a right CRC;
the meter answers WAIT, loses power, and is started again from its state file; the client crashes in
the middle and another one comes, on the same line or a new one; sessions idle, and are renewed.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import pytest

from tests.device.between import CATALOGUE, credentials2
from tests.device.scripted import START_UNIX_S
from tests.virtual.parties import COUNTER, LOAD_LIMIT, SERVICE, trusting_memory
from umi_cli import crypto
from umi_cli.application.commands import ReadObject, WriteObject
from umi_cli.device import protection2
from umi_cli.device.meter import Meter
from umi_cli.device.protection2 import Scheme2
from umi_cli.device.session import Session
from umi_cli.errors import LostError, OutcomeUnknownError, UmiError
from umi_cli.link.crc import crc
from umi_cli.transports.memory import MemoryTransport, SimulatedClock
from umi_cli.virtual.device import MeterSettings, VirtualMeter
from umi_cli.virtual.faults import FaultInjector, FaultRates, Passage
from umi_cli.virtual.line import MeterLine
from umi_cli.virtual.memory import Memory, load_memory
from umi_cli.virtual.security import SESSION_IDLE_S

BLOCKS, RUNS_A_BLOCK = 10, 60
STEPS = 12
DOCUMENTED = {0, 14, 15, 17, 23, 24, 30, 31, 33}
LENGTH_BYTE = 2  # of a frame: left alone, for a frame of another length is no frame at all


class Tamperer(FaultInjector):
    """A bad line on which somebody changes frames, and corrects their CRC."""

    def __init__(self, chance: Random) -> None:
        kinds = ("drop", "duplicate", "delay", "flip", "truncate", "noise", "power", "hangup")
        rates = {kind: chance.choice((0.0, 0.01, 0.05)) for kind in kinds}
        super().__init__(FaultRates(**rates), chance.randrange(1 << 32))
        self._random = chance
        self._tampering = chance.choice((0.0, 0.02, 0.1))

    def pass_through(self, chunk: bytes) -> Passage:
        if self._random.random() < self._tampering:
            chunk = self._tampered(chunk)
        return super().pass_through(chunk)

    def _tampered(self, chunk: bytes) -> bytes:
        data = bytearray(chunk[:-2])
        for _ in range(self._random.choice((1, 1, 2, 9))):
            place = self._random.randrange(len(data))
            if place != LENGTH_BYTE:
                data[place] ^= 1 << self._random.randrange(8)
        return bytes(data) + crc(bytes(data)).to_bytes(2, "little")


class World:
    """A meter, whoever talks to it, and what all of them have done."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.clock = SimulatedClock(START_UNIX_S)
        self.executed: Counter[bytes] = Counter()
        self.wanted: set[bytes] = set()
        self.lines = 0
        self.numbers = iter(range(1, 1 << 20))
        defer = {COUNTER: 700, LOAD_LIMIT: 300} if seed % 3 == 0 else {}
        self.settings = MeterSettings(defer_ms=defer)
        self.start_meter(trusting_memory(*([SERVICE] if seed % 2 else [])))
        self.untouched = self.rest_of_the_state()

    def start_meter(self, memory: Memory) -> None:
        self.meter = VirtualMeter(self.settings, memory)
        memory.store.on_write("counter", self.on_write)
        memory.store.on_write("load-limit", self.on_write)
        self.connect()

    def connect(self) -> None:
        """Have a client come on a new line."""
        self.lines += 1
        self.line = MeterLine(self.meter, f"line {self.lines}", Tamperer(self.random))
        self.start_client()

    def start_client(self) -> None:
        """Have a client begin on the line; what the one before it was at is forgotten."""
        transport = MemoryTransport(self.line, clock=self.clock)
        session = Session(transport, own_id=SERVICE.umi_id, protection=Scheme2(credentials2()))
        self.client = Meter(transport, session, CATALOGUE)

    def on_write(self, raw: bytes) -> None:
        self.executed[raw] += 1

    def held(self) -> bytes:
        return self.meter.memory.store.values[COUNTER]

    def rest_of_the_state(self) -> tuple[Any, ...]:
        """Return what nothing in a run may change."""
        memory = self.meter.memory
        values = {**memory.store.values, COUNTER: b"", LOAD_LIMIT: b""}
        vault = memory.vault
        identity = vault.signer and vault.signer.public_point
        trust = (vault.chain, vault.anchors, vault.revoked, vault.asked, memory.umi_id)
        return (values, memory.store.access, identity, trust, memory.lockout.failures)

    def play(self) -> None:
        for _ in range(STEPS):
            step = self.random.choice(
                (
                    self.read,
                    self.read,
                    self.write,
                    self.write,
                    self.write_signed,
                    self.read_long,
                    self.crash_client,
                    self.restart_meter,
                    self.cut_power,
                    self.pass_time,
                    self.finish,
                )
            )
            assert self.exit_code_of(step) in DOCUMENTED
            if self.line.is_hung_up:
                self.connect()
        self.client.session.finish()
        self.check()

    def exit_code_of(self, step: Callable[[], None]) -> int:
        try:
            step()
        except UmiError as error:
            return error.exit_code
        return 0

    def check(self) -> None:
        assert max(self.executed.values(), default=0) <= 1, "a command ran twice"
        assert set(self.executed) <= self.wanted, "a command ran that nobody gave"
        assert self.rest_of_the_state() == self.untouched, "something else has changed"
        known = self.meter.memory.vault.key_table
        assert known in ({}, {SERVICE.umi_id: SERVICE.certificate})

    def read(self) -> None:
        before, done = self.held(), set(self.executed)
        value = self.client.session.request(ReadObject(code=COUNTER)).value
        meanwhile = set(self.executed) - done
        assert value in {before} | meanwhile, "a wrong value was reported"

    def read_long(self) -> None:
        """A response of several frames."""
        part = CATALOGUE.resolve("profile-table[0:30]")
        raw = self.client.read(part).raw
        assert raw == self.meter.memory.profile.since(0)[: len(raw)]

    def next_value(self) -> bytes:
        value = next(self.numbers).to_bytes(4, "little")
        self.wanted.add(value)
        return value

    def write(self) -> None:
        self.change(self.next_value(), "counter")

    def write_signed(self) -> None:
        self.change(self.next_value(), "load-limit")

    def change(self, value: bytes, name: str) -> None:
        """Write a value that was never written before, and see what is said of it."""
        try:
            if self.random.random() < 0.3:
                code = CATALOGUE.resolve(name).code
                command = WriteObject(code=code, value=value)
                self.client.session.request(command, is_signed=name == "load-limit")
            else:
                self.client.write(name, value)
        except OutcomeUnknownError:
            return
        except UmiError:
            assert not self.executed[value], "what was reported not to have run has run"
            raise
        assert self.executed[value] == 1, "what was reported done has not run"

    def crash_client(self) -> None:
        """In the middle of a command, after some bytes of it; another one comes."""
        patience = self.random.randrange(1, 6)
        sends = self.line.receive_data

        def dying(data: bytes, now: float, utc: float) -> None:
            nonlocal patience
            patience -= 1
            if not patience:
                raise LostError("the client has crashed")
            sends(data, now, utc)

        self.line.receive_data = dying  # type: ignore[method-assign]
        try:
            self.write()
        except LostError:
            pass
        finally:
            self.line.receive_data = sends  # type: ignore[method-assign]
        if self.random.random() < 0.5:
            self.start_client()
        else:
            self.connect()

    def restart_meter(self) -> None:
        """From its state file; its lines are gone."""
        self.start_meter(load_memory(self.meter.memory.dump(), "test"))

    def cut_power(self) -> None:
        self.meter.lose_power(self.clock.monotonic() + self.random.choice((0.0, 2.0)))

    def pass_time(self) -> None:
        skipped_s = self.random.choice((1.0, 70.0, SESSION_IDLE_S + 1.0))
        self.clock.skip_to(self.clock.monotonic() + skipped_s)

    def finish(self) -> None:
        self.client.session.finish()


@contextmanager
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """Watch every seal and every answer that is accepted; counts what was seen."""
    seen: Counter[str] = Counter()
    sealed: dict[tuple[bytes, bytes], tuple[bytes, bytes]] = {}
    seal, accept = crypto.gcm_seal, Scheme2.open

    def watch_seal(key: crypto.AesKey, iv: bytes, plaintext: bytes, aad: bytes) -> bytes:
        seen["seals"] += 1
        text = sealed.setdefault((key.raw, iv), (plaintext, aad))
        assert text == (plaintext, aad), "a nonce has sealed two texts"
        return seal(key, iv, plaintext, aad)

    def watch_open(self: Scheme2, packet: bytes, sent: Any) -> Any:
        accepted = accept(self, packet, sent)
        assert packet[0] == 2, "an unencrypted answer was accepted inside a session"
        seen["answers"] += 1
        return accepted

    with monkeypatch.context() as patch:
        patch.setattr(crypto, "gcm_seal", watch_seal)
        patch.setattr(Scheme2, "open", watch_open)
        yield seen


@pytest.mark.parametrize("block", range(BLOCKS))
def test_what_holds_whatever_happens(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """600 runs of random steps over random lines; see the four promises above."""
    seeds = range(block * RUNS_A_BLOCK, (block + 1) * RUNS_A_BLOCK)
    if block % 2:
        monkeypatch.setattr(protection2, "REKEY_AFTER", 3)
    executed = 0
    with watched(monkeypatch) as seen:
        for seed in seeds:
            world = World(seed)
            try:
                world.play()
            except AssertionError as error:
                raise AssertionError(f"seed {seed}: {error}") from error
            executed += sum(world.executed.values())
    assert seen["seals"] > 10 * RUNS_A_BLOCK  # the runs did something
    assert seen["answers"] > 4 * RUNS_A_BLOCK
    assert executed > RUNS_A_BLOCK // 2


def test_the_watch_sees_what_it_watches_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test of the test: a nonce used twice is noticed."""
    key = crypto.AesKey(bytes(16))
    with watched(monkeypatch):
        crypto.gcm_seal(key, bytes(12), b"one", b"")
        crypto.gcm_seal(key, bytes(12), b"one", b"")
        with pytest.raises(AssertionError, match="two texts"):
            crypto.gcm_seal(key, bytes(12), b"another", b"")
        with pytest.raises(AssertionError, match="two texts"):
            crypto.gcm_seal(key, bytes(12), b"one", b"other header")
