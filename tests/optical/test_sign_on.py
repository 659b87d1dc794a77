"""The sign-on, step by step on a clock of our own: what it does, when, and that it ends."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.optical.driving import (
    BREAKS,
    BROKEN_OFF,
    EI4,
    IDENTIFIED,
    IN_300,
    READOUT,
    REFUSED,
    REQUEST,
    RESYNC,
    RESYNC_RESPONSE,
    SELECT,
    START_S,
    Drive,
    a_meter,
    silent,
)
from umi_cli.optical.characters import SIGN_ON_SETTINGS, LineSettings, with_parity, without_parity
from umi_cli.optical.evidence import diagnose
from umi_cli.optical.messages import MAX_LINE, WAKE_UP, Identification, OptionSelect, request
from umi_cli.optical.sign_on import (
    BREAK_PAUSE_S,
    CHARACTER_GAP_S,
    IDLE_S,
    MAX_IDLE_S,
    REACTION_S,
    SETTLE_S,
    SILENT_ATTEMPTS,
    SLACK_S,
    Send,
    SetLine,
    SignOnProfile,
)

IN_9600 = SetLine(LineSettings(baud=9600))
WAKING = SignOnProfile(wakeup=True)
# A line of 64 characters that each come as late as they may, and everything else, seven times.
LONGEST_S = 7 * (2 * MAX_LINE * CHARACTER_GAP_S + MAX_IDLE_S + 20)


def test_every_step_of_a_sign_on_and_its_time() -> None:
    """Request 167 ms, pause 250 ms, option select 200 ms, switch delay 50 ms, RESYNC."""
    drive = Drive()
    drive.asked()
    drive.hear(IDENTIFIED, 0.3)
    drive.wait()
    drive.wait()
    drive.hear(RESYNC_RESPONSE, 0.1)
    identified_ms = 166.7 + 300
    assert drive.done == [
        (0.0, IN_300),
        (0.0, Send(REQUEST)),
        (identified_ms + 250, Send(SELECT)),
        (identified_ms + 500, IN_9600),
        (identified_ms + 500, Send(RESYNC)),
    ]
    assert drive.machine.is_over
    assert drive.machine.has_succeeded
    assert drive.machine.identification == drive.machine.evidence.identification == EI4
    assert drive.machine.settings == LineSettings(baud=9600)
    assert drive.machine.evidence.select == "V/Y = 0/6"


def test_a_battery_meter_is_woken_first() -> None:
    """2.2 s of NUL characters without a gap, 1.6 s of silence; then the request."""
    drive = Drive(WAKING)
    drive.wait()
    assert drive.done == [(0.0, IN_300), (0.0, Send(WAKE_UP)), (3800.0, Send(REQUEST))]


def test_what_comes_while_the_meter_wakes_is_no_answer() -> None:
    """It is kept as evidence, but for the NUL characters of an echo."""
    drive = Drive(WAKING)
    drive.hear(WAKE_UP, 2.3)
    drive.hear(b"\0\xff/\0", 0.1)
    assert drive.wait() == [Send(REQUEST)]
    assert drive.machine.evidence.heard == b"\xff/"


def test_a_meter_that_has_answered_is_awake() -> None:
    """It is woken until it has identified itself, and not again."""
    silent_once = [b"", IDENTIFIED, b"", b"", b""]
    drive = Drive(WAKING)
    drive.run(lambda data, _: silent_once.pop(0) if data == REQUEST and silent_once else b"")
    said = [data for data in drive.sent if data in (WAKE_UP, REQUEST, SELECT)]
    assert said == [WAKE_UP, REQUEST, WAKE_UP, REQUEST, SELECT, REQUEST, REQUEST]


@pytest.mark.parametrize(("manufacturer", "pause_ms"), [("ELS", 250), ("els", 30), ("ELs", 30)])
def test_the_pause_before_the_option_select(manufacturer: str, pause_ms: int) -> None:
    """A meter that promises to react within 20 ms gets the same."""
    meter = Identification(manufacturer=manufacturer, rate="5", ident="EI4")
    drive = Drive()
    drive.asked()
    drive.hear(with_parity(meter.encode()), 0.3)
    identified_ms = drive.now * 1000
    drive.wait()
    assert drive.done[-1] == (round(identified_ms + pause_ms, 1), Send(SELECT))


@pytest.mark.parametrize(("rate", "baud"), [("0", 300), ("2", 1200), ("6", 19_200)])
def test_the_rate_that_the_meter_offers_is_taken(rate: str, baud: int) -> None:
    meter = Identification(manufacturer="ELS", rate=rate, ident="EI4")
    drive = Drive()
    drive.run(a_meter(with_parity(meter.encode())))
    assert with_parity(OptionSelect(v="0", z=rate, y="6").encode()) in drive.sent
    assert drive.machine.settings == LineSettings(baud=baud)
    assert drive.machine.has_succeeded


def test_baud_300_stays_there() -> None:
    drive = Drive(SignOnProfile(baud=300))
    drive.run(a_meter())
    assert [action for _, action in drive.done] == [
        IN_300,
        Send(REQUEST),
        Send(with_parity(b"\x06006\r\n")),
        IN_300,
        Send(RESYNC),
    ]
    assert drive.machine.has_succeeded


def test_the_profile_says_what_is_sent() -> None:
    drive = Drive(SignOnProfile(v="1", y="7", device_address="12", switch_delay_ms=150))
    drive.hear(b"", 10 / 30)
    drive.hear(IDENTIFIED, 0.3)
    drive.wait()
    drive.wait()
    assert drive.sent == [with_parity(request("12")), with_parity(b"\x06157\r\n"), RESYNC]
    assert drive.delays_ms == [150]
    assert drive.machine.evidence.select == "V/Y = 1/7"


def test_the_port_makes_the_parity_where_it_shall() -> None:
    """Seven bits each way until the switch, eight behind it."""
    drive = Drive(SignOnProfile(parity="hard"))
    drive.hear(b"", 5 / 30)
    drive.hear(EI4.encode(), 0.3)
    drive.wait()
    drive.wait()
    drive.hear(RESYNC_RESPONSE)
    assert [action for _, action in drive.done] == [
        SetLine(SIGN_ON_SETTINGS),
        Send(request()),
        Send(without_parity(SELECT)),
        IN_9600,
        Send(RESYNC),
    ]
    assert drive.machine.has_succeeded


def test_evidence_has_its_parity_whoever_makes_it() -> None:
    """At a port that takes parity off, what is kept has it in bit 7 again."""
    for parity, came in (("hard", b"\x02F.F(00)"), ("soft", with_parity(b"\x02F.F(00)"))):
        drive = Drive(SignOnProfile(parity=parity))  # type: ignore[arg-type]
        drive.hear(b"", 5 / 30)
        drive.hear(came, 0.3)
        drive.wait()
        while drive.done[-1][1] != (IN_300 if parity == "soft" else SetLine(SIGN_ON_SETTINGS)):
            drive.wait()
        drive.hear(came, 0.3)
        assert drive.machine.evidence.heard == 2 * with_parity(b"\x02F.F(00)")


def test_a_readout_at_300_has_its_parity_too() -> None:
    """What answers before the switch comes through a port that takes parity off."""
    drive = Drive(SignOnProfile(parity="hard", switch_delay_ms=400))
    drive.hear(b"", 5 / 30)
    drive.hear(EI4.encode(), 0.3)
    drive.wait()
    drive.hear(without_parity(READOUT), 0.3)
    drive.wait()
    drive.wait()
    drive.wait()
    assert drive.machine.evidence.answered == READOUT


def test_an_identification_byte_by_byte() -> None:
    """Each character may come as late as 1.5 s after the one before."""
    drive = Drive()
    drive.asked()
    for place in range(len(IDENTIFIED)):
        assert drive.hear(IDENTIFIED[place : place + 1], CHARACTER_GAP_S - 0.01) == []
    assert drive.wait() == [Send(SELECT)]


def test_an_identification_whose_characters_stop_is_asked_for_again() -> None:
    drive = Drive()
    drive.asked()
    drive.hear(IDENTIFIED[:5], 0.3)
    assert drive.deadline == pytest.approx(drive.now + CHARACTER_GAP_S)
    given_up_ms = round(drive.deadline * 1000, 1)
    assert drive.wait() == BREAKS[:1]
    assert drive.done[-1] == (given_up_ms, BREAKS[0])
    drive.asked()
    drive.hear(IDENTIFIED)
    assert drive.wait() == [Send(SELECT)]
    assert drive.machine.evidence.heard == IDENTIFIED[:5]


def test_the_answer_may_come_with_the_end_of_the_request() -> None:
    """A host that was busy finds all of it at once."""
    drive = Drive()
    drive.hear(IDENTIFIED, 0.9)
    assert drive.wait() == [Send(SELECT)]


def test_a_meter_has_its_reaction_time_and_a_host_some_more() -> None:
    """1.5 s, and 0.5 s on top, after the request is out."""
    drive = Drive()
    drive.asked()
    assert drive.deadline - drive.now == pytest.approx(REACTION_S + SLACK_S) == pytest.approx(2.0)


NOISE = [b"\0", b"\x95", b"\x7f\xfe", with_parity(b"/ELS5E"), with_parity(b"x/y"), b"\x2f"]


@pytest.mark.parametrize("noise", NOISE)
def test_noise_before_an_identification_is_skipped(noise: bytes) -> None:
    """Whatever its parity: what counts begins at the last slash."""
    drive = Drive()
    drive.asked()
    drive.hear(noise + IDENTIFIED, 0.3)
    assert drive.wait() == [Send(SELECT)]
    assert drive.machine.evidence.identification == EI4


@pytest.mark.parametrize("more", [b"\0", b"\xfe", b"\x0a", READOUT])
def test_what_comes_behind_an_identification_spoils_nothing(more: bytes) -> None:
    """A busy host finds both in one piece, which shall make no difference."""
    drive = Drive()
    drive.asked()
    drive.hear(IDENTIFIED + more, 0.3)
    assert drive.wait() == [Send(SELECT)]


def test_one_bad_parity_spoils_an_identification() -> None:
    """Wherever it stands: the line is dropped, and the meter is asked again."""
    for place in range(len(IDENTIFIED)):
        damaged = bytearray(IDENTIFIED)
        damaged[place] ^= 0x80
        drive = Drive()
        drive.asked()
        assert drive.hear(bytes(damaged), 0.3) == BREAKS[:1]
        assert drive.machine.evidence.heard == damaged
        drive.asked()
        drive.hear(IDENTIFIED, 0.3)
        assert drive.wait() == [Send(SELECT)]


def test_a_meter_that_stays_silent_is_asked_three_times() -> None:
    """Each try ends with breaks at every rate, for it may be in a session; 2 s of silence part."""
    drive = Drive(SignOnProfile(wakeup=True))
    drive.run(silent)
    attempt = [Send(WAKE_UP), Send(REQUEST), *BREAKS, IN_300]
    assert [action for _, action in drive.done] == [IN_300, *attempt * SILENT_ATTEMPTS]
    assert SILENT_ATTEMPTS == 3
    asked = [at_ms for at_ms, action in drive.done if action == Send(WAKE_UP)]
    reset = [at_ms for at_ms, action in drive.done if action == IN_300][1:]
    # The last break takes its time before the port is set once more.
    for rest_from_ms, again_ms in zip(reset[1::2], asked[1:], strict=False):
        assert again_ms - rest_from_ms == pytest.approx(1000 * IDLE_S)
    assert not drive.machine.has_succeeded
    assert drive.machine.settings == LineSettings(baud=300)


def test_each_break_has_silence_before_it_and_is_out_before_the_rate_changes() -> None:
    """A meter may know it among link frames by the silence alone."""
    drive = Drive()
    drive.run(silent)
    breaks = [number for number, (_, action) in enumerate(drive.done) if action == Send(BROKEN_OFF)]
    assert len(breaks) == SILENT_ATTEMPTS * 7
    assert pytest.approx(0.15) == BREAK_PAUSE_S
    for number in breaks:
        (set_ms, is_set), (at_ms, _), (next_ms, _) = drive.done[number - 1 : number + 2]
        assert isinstance(is_set, SetLine)
        assert at_ms - set_ms == pytest.approx(1000 * BREAK_PAUSE_S, abs=0.2)
        takes_ms = 1000 * len(BROKEN_OFF) * is_set.settings.character_s
        assert next_ms - at_ms == pytest.approx(takes_ms + 1000 * SETTLE_S, abs=0.2)


def test_the_switch_delays_are_tried_in_order() -> None:
    """The profile's own first; two RESYNC each, for one may be lost."""
    drive = Drive()
    drive.run(a_meter(resynced=b""))
    assert drive.delays_ms == [50, 0, 100, 250]
    assert drive.machine.evidence.delays_ms == [50, 0, 100, 250]
    assert drive.sent.count(SELECT) == 4
    assert drive.sent.count(RESYNC) == 8
    assert drive.sent.count(BROKEN_OFF) == 4 * 7
    assert not drive.machine.has_succeeded


@pytest.mark.parametrize(("own_ms", "tried"), [(0, [0, 100, 250]), (400, [400, 0, 100, 250])])
def test_no_switch_delay_is_tried_twice(own_ms: int, tried: list[int]) -> None:
    drive = Drive(SignOnProfile(switch_delay_ms=own_ms))
    drive.run(a_meter(resynced=b""))
    assert drive.delays_ms == tried


def test_a_meter_that_follows_at_the_third_delay() -> None:
    answers = [b"", b"", b"garbage", b"", b"", RESYNC_RESPONSE]
    drive = Drive()
    drive.run(lambda data, _: answers.pop(0) if data == RESYNC else a_meter()(data, _))
    assert drive.delays_ms == [50, 0, 100]
    assert drive.machine.has_succeeded
    assert drive.machine.settings == LineSettings(baud=9600)
    assert drive.machine.evidence.answered == b"garbage"


def test_resync_is_sent_again_when_it_is_not_answered() -> None:
    """After the longest reaction time, the slack and the frame's own time."""
    drive = Drive()
    drive.asked()
    drive.hear(IDENTIFIED, 0.3)
    drive.wait()
    drive.wait()
    first_ms = drive.done[-1][0]
    assert drive.wait() == [Send(RESYNC)]
    assert drive.done[-1][0] - first_ms == pytest.approx(2000 + 2 * 6000 / 960, abs=0.2)
    drive.hear(RESYNC_RESPONSE)
    assert drive.machine.has_succeeded


@pytest.mark.parametrize("noise", [b"", b"\0\0\0", b"\x11\x00\xf9\x15", RESYNC, b"\xff"])
def test_the_response_to_resync_is_found_in_noise(noise: bytes) -> None:
    """A right CRC proves the switch: nothing else does, and no length that lied hides it."""
    drive = Drive()
    drive.run(a_meter(resynced=noise + RESYNC_RESPONSE))
    assert drive.machine.has_succeeded


def test_a_response_to_resync_byte_by_byte() -> None:
    drive = Drive()
    drive.asked()
    drive.hear(IDENTIFIED, 0.3)
    drive.wait()
    drive.wait()
    for place in range(len(RESYNC_RESPONSE)):
        assert not drive.machine.is_over
        drive.hear(RESYNC_RESPONSE[place : place + 1], 0.2)
    assert drive.machine.has_succeeded


def test_a_wrong_crc_proves_nothing() -> None:
    drive = Drive()
    drive.run(a_meter(resynced=RESYNC_RESPONSE[:-1] + b"\0"))
    assert not drive.machine.has_succeeded
    assert drive.machine.evidence.answered == 8 * (RESYNC_RESPONSE[:-1] + b"\0")


@pytest.mark.parametrize("rate", ["7", "9", "A", "E", "x"])
def test_a_rate_that_mode_c_does_not_know_ends_it(rate: str) -> None:
    """Mode B switches unasked, others mean what nobody knows: no option select is sent."""
    meter = Identification(manufacturer="ELS", rate=rate, ident="EI4")
    drive = Drive()
    drive.run(a_meter(with_parity(meter.encode())))
    assert drive.sent == [REQUEST, *[BROKEN_OFF] * 7]
    assert drive.machine.evidence.identification == meter
    assert drive.machine.evidence.delays_ms == []
    assert not drive.machine.has_succeeded
    assert drive.machine.settings == LineSettings(baud=300)


def test_baud_300_is_for_a_meter_of_an_unknown_rate_as_well() -> None:
    meter = Identification(manufacturer="ELS", rate="7", ident="EI4")
    drive = Drive(SignOnProfile(baud=300))
    drive.run(a_meter(with_parity(meter.encode())))
    assert with_parity(b"\x06006\r\n") in drive.sent
    assert drive.machine.has_succeeded


@pytest.mark.parametrize("came", [REFUSED, READOUT])
def test_a_meter_that_says_no_is_not_asked_again(came: bytes) -> None:
    """Another switch delay would change nothing of a NAK or a readout."""
    drive = Drive()
    drive.run(a_meter(selected=came, resynced=b""))
    assert drive.sent == [REQUEST, SELECT, RESYNC, RESYNC, *[BROKEN_OFF] * 7]
    assert drive.machine.evidence.answered == came
    assert not drive.machine.has_succeeded


def test_a_meter_that_says_no_to_everything_is_told_from_noise() -> None:
    drive = Drive(SignOnProfile(baud=300))
    drive.run(lambda data, _: IDENTIFIED if data == REQUEST else REFUSED)
    assert drive.sent.count(REQUEST) == 1
    assert "NAK" in str(diagnose(drive.machine.evidence, has_echo=False))


def test_a_head_that_is_lifted_is_told_from_a_missed_change_of_rate() -> None:
    drive = Drive()
    answers = iter([IDENTIFIED])
    drive.run(lambda data, _: next(answers, b"") if data == REQUEST else b"")
    assert drive.machine.evidence.unanswered == drive.sent.count(REQUEST) - 1 > 0
    assert "was the head lifted" in diagnose(drive.machine.evidence, has_echo=False).hint
    missed = Drive()
    missed.run(a_meter(with_parity(b"/ELS5EISGMv0\r\n"), resynced=b""))
    assert missed.machine.evidence.unanswered == 0
    assert "switch delays" in str(diagnose(missed.machine.evidence, has_echo=False))


def test_another_device_that_is_asked_for_is_named() -> None:
    drive = Drive(SignOnProfile(device_address="12345"))
    drive.run(silent)
    assert "'12345'" in str(diagnose(drive.machine.evidence, has_echo=False))


def test_silence_must_last_before_another_try() -> None:
    drive = Drive()
    drive.asked()
    while drive.sent.count(BROKEN_OFF) < 7:
        drive.wait()
    assert drive.wait() == [IN_300]
    for _ in range(3):
        assert drive.hear(b"\x95", IDLE_S - 0.1) == []
    spoken = drive.now
    assert drive.wait() == [Send(REQUEST)]
    assert drive.now == pytest.approx(spoken + IDLE_S)
    assert drive.machine.evidence.heard == b"\x95\x95\x95"


def test_what_comes_between_the_tries_of_a_known_meter_answered_it() -> None:
    drive = Drive()
    drive.asked()
    drive.hear(IDENTIFIED, 0.3)
    while drive.done[-1][1] != Send(BROKEN_OFF):
        drive.wait()
    drive.hear(b"late")
    assert (drive.machine.evidence.heard, drive.machine.evidence.answered) == (b"", b"late")


@pytest.mark.parametrize("babble", [b"\0", b"\xff", b"U", b"\x8d", b"\x0a", b"/", b"\x02\x46"])
@pytest.mark.parametrize("every_s", [0.02, 0.033, 1.4])
@pytest.mark.parametrize("is_identified", [False, True])
def test_a_line_that_never_falls_silent_ends_all_the_same(
    babble: bytes, every_s: float, is_identified: bool
) -> None:
    drive = Drive(WAKING)
    if is_identified:
        drive.asked()
        drive.hear(IDENTIFIED)
    while not drive.machine.is_over:
        drive.hear(babble, every_s)
        assert drive.now < LONGEST_S
    assert not drive.machine.has_succeeded
    assert drive.machine.settings == LineSettings(baud=300)


pieces = (
    st.sampled_from(
        [b"", IDENTIFIED, IDENTIFIED[:7], IDENTIFIED[7:], RESYNC_RESPONSE[:3], RESYNC_RESPONSE[3:]]
    )
    | st.sampled_from([REFUSED, READOUT, RESYNC, b"\x0a", b"\x8d", with_parity(b"/ElsEx\r\n")])
    | st.binary(max_size=12)
)
pauses = st.sampled_from([0.0, 0.05, 0.2, 0.25, 0.5, 1.0, 1.5, 3.0]) | st.floats(0, 5)
profiles = st.builds(
    SignOnProfile,
    wakeup=st.booleans(),
    baud=st.sampled_from([None, 300]),
    parity=st.sampled_from(["soft", "hard"]),
    switch_delay_ms=st.integers(0, 400),
)


@given(profiles, st.lists(st.tuples(pauses, pieces), max_size=30), st.integers(1, 6))
def test_whatever_comes_whenever_it_ends_and_raises_nothing(
    profile: SignOnProfile, script: Sequence[tuple[float, bytes]], times: int
) -> None:
    """Without a right response the port is at 300 baud at the end."""
    drive = Drive(profile)
    for pause_s, piece in [*script] * times:
        if drive.now + pause_s >= drive.deadline:
            drive.wait()
        else:
            drive.hear(piece, pause_s)
    while drive.wait():
        pass
    assert drive.now < LONGEST_S
    last_set = [action for _, action in drive.done if isinstance(action, SetLine)][-1]
    assert drive.machine.settings == last_set.settings
    if not drive.machine.has_succeeded:
        assert last_set.settings.baud == 300
        assert drive.done[-1][1] == last_set


@given(st.lists(st.lists(st.floats(0, 0.999), max_size=3), max_size=12))
def test_a_step_too_early_does_nothing(early: list[list[float]]) -> None:
    """The same is done at the same times."""
    hurried, calm = Drive(WAKING), Drive(WAKING)
    calm.run(silent)
    for parts in early:
        due = hurried.deadline
        for part in sorted(parts):
            at = hurried.now + part * (due - hurried.now)
            assert hurried.hear(b"", at - hurried.now) == []
            assert hurried.deadline == due
        hurried.hear(b"", due - hurried.now)
    assert hurried.done == calm.done[: len(hurried.done)]


def test_a_step_behind_the_end_does_nothing() -> None:
    drive = Drive()
    drive.run(a_meter())
    done = list(drive.done)
    assert drive.hear(b"more") == []
    assert drive.done == done
    assert drive.machine.has_succeeded


def test_the_clock_is_the_callers() -> None:
    assert Drive().machine.deadline == pytest.approx(START_S + 5 / 30)
