"""The meter's side of the sign-on, on a clock of the test's own: when it answers, and when not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umi_cli.errors import InputError
from umi_cli.optical.characters import SIGN_ON_SETTINGS, LineSettings, with_parity, without_parity
from umi_cli.optical.messages import BREAK, NAK, WAKE_UP, Identification, OptionSelect, request
from umi_cli.virtual.optical_sign_on import (
    AWAKE_S,
    INACTIVE_S,
    KEY_PRESS_S,
    MIN_QUIET_S,
    MIN_WAKE_UP_S,
    REACTION_S,
    SELECT_WITHIN_S,
    MeterSignOn,
    OpticalCharacter,
    PortState,
)

IDENTIFIED = with_parity(b"/ELS5EI4\r\n")
AWAKE = OpticalCharacter(needs_wakeup=False)
SLEEPY = OpticalCharacter()
SHUT = OpticalCharacter(needs_key=True)
RESYNC = bytes.fromhex("01040000fe5b")
IN_300 = LineSettings(baud=300)
IN_9600 = LineSettings(baud=9600)


class Meter:
    """A meter's port, and a reader that says things to it at the right rate."""

    def __init__(self, character: OpticalCharacter = AWAKE) -> None:
        self.now = 0.0
        self.sign_ons = 0
        self.port = MeterSignOn(character, lambda: ("ELS", "EI4"), self._on_sign_on)

    def _on_sign_on(self) -> None:
        self.sign_ons += 1

    @property
    def state(self) -> PortState:
        return self.port.state

    def say(self, characters: bytes, gap_s: float = 0.0) -> None:
        """Say characters, bit 7 as it is on the line, with a gap before each but the first."""
        for number, character in enumerate(characters):
            self.now += gap_s if number else 0.0
            began = self.now
            self.now += self.port.settings.character_s
            self.port.hear(bytes([character]), began, self.now)

    def wait(self, seconds: float) -> list[tuple[float, bytes]]:
        """Let the time pass; return what the meter says, and how much later."""
        start, said = self.now, []
        until = start + seconds
        while (due := self.port.deadline) is not None and due <= until:
            self.now = due
            if reply := self.port.on_timer(due):
                said.append((round(due - start, 4), reply))
            assert self.port.deadline != due
        self.now = until
        return said

    def ask(self) -> list[tuple[float, bytes]]:
        """Ask who is there; return what comes within the longest reaction time."""
        self.say(with_parity(request()))
        return self.wait(1.5)

    def select(self, v: str = "0", z: str = "5", y: str = "6") -> None:
        self.say(with_parity(OptionSelect(v=v, z=z, y=y).encode()))

    def wake(self) -> None:
        self.say(WAKE_UP)
        self.wait(1.6)

    def sign_on(self) -> None:
        assert self.ask() == [(REACTION_S, IDENTIFIED)]
        self.select()
        assert self.port.is_umi


def test_a_sign_on_from_the_request_to_umi() -> None:
    """It answers after its reaction time, and follows as soon as the option select is over."""
    meter = Meter()
    assert (meter.state, meter.port.settings) == (PortState.LISTENING, SIGN_ON_SETTINGS)
    assert meter.ask() == [(REACTION_S, IDENTIFIED)]
    assert (meter.state, meter.port.settings) == (PortState.IDENTIFIED, SIGN_ON_SETTINGS)
    meter.select()
    assert (meter.state, meter.port.settings) == (PortState.UMI, IN_9600)
    assert meter.wait(1.5) == []
    assert meter.sign_ons == 1


def test_z_0_stays_at_300_baud() -> None:
    """Eight bits all the same: link frames pass."""
    meter = Meter()
    meter.ask()
    meter.select(z="0")
    assert (meter.state, meter.port.settings) == (PortState.UMI, IN_300)


@pytest.mark.parametrize("rate", "0123456")
def test_the_rate_that_it_offers_is_the_one_that_it_takes(rate: str) -> None:
    character = OpticalCharacter(rate=rate, needs_wakeup=False)
    meter = Meter(character)
    ((_, answer),) = meter.ask()
    assert Identification.decode(without_parity(answer)).baud == character.baud
    meter.select(z=rate)
    assert meter.port.settings == LineSettings(baud=character.baud)


def test_a_battery_meter_sleeps_until_it_is_woken() -> None:
    meter = Meter(SLEEPY)
    assert meter.ask() == []
    meter.wake()
    assert meter.ask() == [(REACTION_S, IDENTIFIED)]


def test_nul_characters_must_last_to_wake_it() -> None:
    """2.1 s: 63 characters of 33 ms each."""
    for count, is_woken in ((62, False), (63, True)):
        meter = Meter(SLEEPY)
        meter.say(bytes(count))
        assert meter.now == pytest.approx(MIN_WAKE_UP_S, abs=0.04)
        meter.wait(1.6)
        assert bool(meter.ask()) == is_woken


@pytest.mark.parametrize(("gap_s", "is_woken"), [(0.04, True), (0.06, False)])
def test_a_gap_spoils_a_wake_up(gap_s: float, is_woken: bool) -> None:
    meter = Meter(SLEEPY)
    meter.say(bytes(40))
    meter.now += gap_s
    meter.say(bytes(40))
    meter.wait(1.6)
    assert bool(meter.ask()) == is_woken


def test_another_character_spoils_a_wake_up() -> None:
    meter = Meter(SLEEPY)
    meter.say(bytes(40) + b"\x81" + bytes(40))
    meter.wait(1.6)
    assert meter.ask() == []


def test_a_request_too_early_after_the_wake_up_is_ignored() -> None:
    """It must be over no earlier than 1.4 s behind the last NUL; a later one is answered."""
    meter = Meter(SLEEPY)
    meter.say(WAKE_UP)
    meter.wait(MIN_QUIET_S - 0.2)
    assert meter.ask() == []
    assert meter.ask() == [(REACTION_S, IDENTIFIED)]


def test_a_woken_meter_sleeps_again() -> None:
    meter = Meter(SLEEPY)
    meter.say(WAKE_UP)
    meter.wait(AWAKE_S - 0.2)
    assert meter.ask() == [(REACTION_S, IDENTIFIED)]
    meter = Meter(SLEEPY)
    meter.say(WAKE_UP)
    meter.wait(AWAKE_S)
    assert meter.ask() == []


def test_who_has_spoken_with_it_need_not_wake_it_again_at_once() -> None:
    """It stays awake for a while after a session has ended for want of frames."""
    meter = Meter(SLEEPY)
    meter.wake()
    meter.sign_on()
    meter.wait(INACTIVE_S)
    assert meter.state is PortState.LISTENING
    meter.wait(AWAKE_S - 1)
    assert meter.ask() == [(REACTION_S, IDENTIFIED)]
    meter.wait(SELECT_WITHIN_S + AWAKE_S)
    assert meter.ask() == []


def test_a_key_press_opens_the_port_for_a_minute() -> None:
    """It wakes the meter too; without it a shut port is as if nobody were there."""
    meter = Meter(SHUT)
    meter.wake()
    assert meter.ask() == []
    meter.port.press_key(meter.now)
    meter.wait(KEY_PRESS_S - 0.2)
    assert meter.ask() == [(REACTION_S, IDENTIFIED)]
    meter.wait(SELECT_WITHIN_S)
    assert meter.ask() == []


def test_a_shut_port_of_a_meter_that_never_sleeps_is_shut() -> None:
    meter = Meter(OpticalCharacter(needs_key=True, needs_wakeup=False))
    assert meter.ask() == []
    meter.port.press_key(meter.now)
    assert meter.ask() == [(REACTION_S, IDENTIFIED)]


def test_one_wrong_parity_spoils_a_request() -> None:
    for place in range(5):
        meter = Meter()
        damaged = bytearray(with_parity(request()))
        damaged[place] ^= 0x80
        meter.say(bytes(damaged))
        assert meter.wait(1.5) == []
        assert meter.ask() == [(REACTION_S, IDENTIFIED)]


def test_one_wrong_parity_spoils_an_option_select() -> None:
    for place in range(6):
        meter = Meter()
        meter.ask()
        damaged = bytearray(with_parity(OptionSelect(v="0", z="5", y="6").encode()))
        damaged[place] ^= 0x80
        meter.say(bytes(damaged))
        assert meter.state is PortState.IDENTIFIED
        meter.select()
        assert meter.port.is_umi


@pytest.mark.parametrize("line", [b"\x0605\r\n", b"\x06\r\n", b"\x060566\r\n", b"x\r\n"])
def test_what_is_no_option_select_is_ignored(line: bytes) -> None:
    meter = Meter()
    meter.ask()
    meter.say(with_parity(line))
    assert meter.wait(1.5) == []
    assert meter.state is PortState.IDENTIFIED
    meter.select()
    assert meter.port.is_umi


def test_noise_before_a_message_is_skipped() -> None:
    meter = Meter()
    meter.say(with_parity(b"noise"))
    assert meter.ask() == [(REACTION_S, IDENTIFIED)]
    meter.say(with_parity(b"noise"))
    meter.select()
    assert meter.port.is_umi


def test_another_devices_request_is_not_answered() -> None:
    meter = Meter()
    meter.say(with_parity(request("12")))
    assert meter.wait(1.5) == []


def test_who_asks_again_is_answered_again() -> None:
    meter = Meter()
    meter.ask()
    assert meter.ask() == [(REACTION_S, IDENTIFIED)]
    meter.select()
    assert meter.port.is_umi


def test_nak_to_a_rate_that_it_does_not_offer() -> None:
    """It stays where it is, and takes a better one."""
    meter = Meter()
    meter.ask()
    meter.select(z="6")
    assert meter.wait(1.5) == [(REACTION_S, with_parity(NAK))]
    assert (meter.state, meter.port.settings) == (PortState.IDENTIFIED, SIGN_ON_SETTINGS)
    meter.select()
    assert meter.port.is_umi


@pytest.mark.parametrize(("v", "y"), [("0", "0"), ("0", "1"), ("0", "7"), ("1", "6"), ("2", "2")])
def test_a_readout_to_whoever_asks_for_something_else(v: str, y: str) -> None:
    """At the rate that was chosen, 7E1, with its block check; then it listens again."""
    meter = Meter()
    meter.ask()
    meter.select(v=v, y=y)
    assert meter.state is PortState.READOUT
    assert meter.port.settings == LineSettings(baud=9600, bits=7, parity="E")
    ((reaction_s, readout),) = meter.wait(1.5)
    text = without_parity(readout)
    assert reaction_s == REACTION_S
    assert with_parity(text) == readout
    assert (text[:1], text[-2:-1]) == (b"\x02", b"\x03")
    check = 0
    for character in text[1:-1]:
        check ^= character
    assert text[-1] == check
    assert meter.sign_ons == 0
    assert meter.ask() == []
    meter.wait(SELECT_WITHIN_S)
    assert meter.ask() == [(REACTION_S, IDENTIFIED)]


def test_a_readout_has_its_own_time() -> None:
    """Four seconds from the option select on, however late that came."""
    meter = Meter()
    meter.ask()
    meter.wait(2.0)
    meter.select(y="0")
    meter.wait(SELECT_WITHIN_S - 0.1)
    assert meter.port.settings == LineSettings(baud=9600, bits=7, parity="E")
    meter.wait(0.2)
    assert meter.port.settings == SIGN_ON_SETTINGS


def test_an_identified_meter_waits_four_seconds_for_the_option_select() -> None:
    meter = Meter()
    meter.ask()
    meter.wait(SELECT_WITHIN_S - 1.5)
    assert meter.state is PortState.LISTENING
    meter.select()
    assert meter.state is PortState.LISTENING


@pytest.mark.parametrize("characters", [BREAK, with_parity(BREAK)])
def test_a_break_ends_a_session(characters: bytes) -> None:
    meter = Meter()
    meter.sign_on()
    meter.say(RESYNC)
    meter.wait(0.2)
    meter.say(characters)
    assert (meter.state, meter.port.settings) == (PortState.LISTENING, SIGN_ON_SETTINGS)
    assert meter.port.deadline is None
    meter.sign_on()


def test_a_break_ends_a_readout_and_what_was_identified() -> None:
    meter = Meter()
    for y in ("6", "0"):
        meter.ask()
        if y == "0":
            meter.select(y=y)
        meter.wait(0.2)
        meter.say(with_parity(BREAK))
        assert meter.state is PortState.LISTENING
        assert meter.wait(SELECT_WITHIN_S) == []


@pytest.mark.parametrize("pause_s", [0.0, 0.09])
def test_a_break_within_other_characters_is_none(pause_s: float) -> None:
    """Among link frames those bytes may mean something else: a break stands alone."""
    meter = Meter()
    meter.sign_on()
    meter.wait(0.2)
    meter.say(RESYNC)
    meter.wait(pause_s)
    meter.say(with_parity(BREAK))
    assert meter.port.is_umi
    meter.wait(0.2)
    meter.say(with_parity(BREAK)[:3])
    meter.wait(0.2)
    meter.say(with_parity(BREAK)[3:])
    assert meter.port.is_umi


def test_a_break_of_wrong_parity_is_none_at_the_sign_on() -> None:
    meter = Meter()
    meter.ask()
    meter.wait(0.2)
    meter.say(BREAK[:1] + with_parity(BREAK)[1:])
    assert meter.state is PortState.IDENTIFIED


def test_inactivity_ends_a_session() -> None:
    """A minute after the last character, whatever it was."""
    meter = Meter()
    meter.sign_on()
    for _ in range(3):
        meter.wait(INACTIVE_S - 0.1)
        assert meter.port.is_umi
        meter.say(b"\xff")
    meter.wait(INACTIVE_S)
    assert (meter.state, meter.port.settings) == (PortState.LISTENING, SIGN_ON_SETTINGS)


def test_a_long_transfer_keeps_no_more_than_could_be_a_break() -> None:
    meter = Meter()
    meter.sign_on()
    meter.say(bytes(range(256)) * 20)
    assert meter.port.is_umi
    meter.wait(0.2)
    meter.say(with_parity(BREAK))
    assert not meter.port.is_umi


@pytest.mark.parametrize("character", [SLEEPY, SHUT, AWAKE])
def test_a_power_cut_forgets_the_session_the_wake_up_and_the_key(
    character: OpticalCharacter,
) -> None:
    meter = Meter(character)
    meter.port.press_key(meter.now)
    meter.sign_on()
    meter.port.lose_power()
    assert (meter.state, meter.port.settings) == (PortState.LISTENING, SIGN_ON_SETTINGS)
    assert meter.port.deadline is None
    assert bool(meter.ask()) == (character == AWAKE)


def test_a_power_cut_takes_what_was_about_to_be_said_and_a_wake_up_half_done() -> None:
    meter = Meter(SLEEPY)
    meter.wake()
    meter.say(with_parity(request()))
    meter.port.lose_power()
    assert meter.wait(1.5) == []
    meter.say(WAKE_UP[:40])
    meter.port.lose_power()
    meter.say(WAKE_UP[:40])
    meter.wait(1.6)
    assert meter.ask() == []


def test_a_fast_meter_answers_fast() -> None:
    meter = Meter(OpticalCharacter(needs_wakeup=False, reaction_s=0.02))
    assert meter.ask() == [(0.02, IDENTIFIED)]


def test_a_character_is_written_in_words() -> None:
    assert OpticalCharacter.parse("") == OpticalCharacter()
    character = OpticalCharacter(
        rate="6", has_echo=True, needs_wakeup=False, needs_key=True, reaction_s=0.02
    )
    words = ["echo", "no-wakeup", "key", "baud:19200", "reaction:20"]
    assert OpticalCharacter.parse(",".join(words)) == character
    assert OpticalCharacter.parse(" , ".join(words)) == character
    assert OpticalCharacter.parse("baud:300").baud == 300
    assert OpticalCharacter.parse("reaction:9999").reaction_s == pytest.approx(9.999)


WRONG = ["Echo", "baud", "baud:301", "baud:5", "reaction:", "reaction:-1", "reaction:1e3", "keys"]
WRONG += ["reaction:10000", "echo:1", "no-wakeup;key", "reaction:\u0664", "x" * 99]


@pytest.mark.parametrize("text", WRONG)
def test_a_word_that_says_nothing_of_a_port_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="says nothing of an optical port") as caught:
        OpticalCharacter.parse(text)
    assert "19200" in caught.value.hint
    assert len(str(caught.value)) < 120


@given(st.text(max_size=30) | st.text("echonwakupbd:9603, rt", max_size=30))
def test_any_text_is_a_character_or_an_input_error(text: str) -> None:
    try:
        character = OpticalCharacter.parse(text)
    except InputError:
        return
    assert 0 <= character.reaction_s < 10
    assert character.baud


SAID = [request(), b"\x06056\r\n", b"\x06000\r\n", BREAK, bytes(70)]
said = st.binary(max_size=12) | st.just(RESYNC) | st.sampled_from(SAID).map(with_parity)


@given(
    st.builds(OpticalCharacter, needs_wakeup=st.booleans(), needs_key=st.booleans()),
    st.lists(st.tuples(said, st.floats(0, 70)), max_size=20),
)
def test_whatever_is_said_to_it_a_break_and_a_wake_up_bring_it_back(
    character: OpticalCharacter, script: list[tuple[bytes, float]]
) -> None:
    meter = Meter(character)
    for characters, pause_s in script:
        meter.say(characters)
        meter.wait(pause_s)
    meter.wait(0.2)
    meter.say(with_parity(BREAK))
    meter.wait(SELECT_WITHIN_S)
    assert (meter.state, meter.port.settings) == (PortState.LISTENING, SIGN_ON_SETTINGS)
    meter.port.press_key(meter.now)
    meter.wake()
    meter.sign_on()
