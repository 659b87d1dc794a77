"""Scenarios of security: whom a reader lets prove what, and what it tells them (protocol 6)."""

from umi_cli.application.codes import PacketType
from umi_cli.application.security_commands import S2StartSession
from umi_cli.certify.bench import describe
from umi_cli.certify.case import Level, Need, expect, fail
from umi_cli.certify.reader_case import End, Task, reader_case
from umi_cli.certify.reader_judging import (
    expect_no_false_success,
    expect_not_believed,
    expect_same_frame_again,
    repeats_of,
)
from umi_cli.certify.reader_record import Asked, Conversation

RECENT_PACKETS = 100  # choice: of a session, so few that the low byte of a counter tells them apart
_TRUST = "Verify the certificate, its chain and its time before a key is agreed on."


def _check_untrusted(talk: Conversation) -> None:
    """Go on if no session was asked for once a certificate was shown that nobody may trust."""
    for each in talk.asked_after(talk.strike.order):
        if each.packet_type == PacketType.S2_START_SESSION:
            fail("the reader began a session with whoever showed that certificate")


@reader_case(
    "RDR-050",
    "no session is begun with a meter whose issuer is unknown",
    level=Level.SECURITY,
    clause="6.4",
    mark="F",
    trick="certificate-of-stranger",
    task=Task.SESSION,
    end=End.BADLY,
    needs=(Need.CREDENTIALS,),
    sends="a certificate of an issuer that was made up, and that issuer's own when it is asked for",
    expects="no S2_START_SESSION",
    advice="A root that the meter itself brings proves nothing. " + _TRUST,
)
def _stranger(talk: Conversation) -> None:
    _check_untrusted(talk)


@reader_case(
    "RDR-051",
    "no session is begun with a meter whose certificate its issuer did not sign",
    level=Level.SECURITY,
    clause="6.4",
    mark="F",
    trick="certificate-forged",
    task=Task.SESSION,
    end=End.BADLY,
    needs=(Need.CREDENTIALS,),
    sends="the meter's own certificate with another key in it, signed with that key",
    expects="no S2_START_SESSION",
    advice="Verify the signature with the issuer's key. " + _TRUST,
)
def _forged(talk: Conversation) -> None:
    _check_untrusted(talk)


@reader_case(
    "RDR-052",
    "no session is begun with a meter whose certificate has ended",
    level=Level.SECURITY,
    clause="6.4",
    mark="F",
    trick="certificate-expired",
    task=Task.SESSION,
    end=End.BADLY,
    needs=(Need.CREDENTIALS, Need.AUTHORITY),
    sends="a certificate of the trusted authority that ended a day ago",
    expects="no S2_START_SESSION",
    advice="Compare both ends of its time with your own clock, never with the meter's.",
)
def _expired(talk: Conversation) -> None:
    _check_untrusted(talk)


@reader_case(
    "RDR-053",
    "no session is begun with a meter that shows another device's certificate",
    level=Level.SECURITY,
    clause="6.4",
    mark="F",
    trick="certificate-of-other",
    task=Task.SESSION,
    end=End.BADLY,
    needs=(Need.CREDENTIALS, Need.AUTHORITY),
    sends="a certificate of the trusted authority for another UMI ID",
    expects="no S2_START_SESSION",
    advice="The subject of the certificate is the meter's UMI ID, but for known aliases.",
)
def _other(talk: Conversation) -> None:
    _check_untrusted(talk)


@reader_case(
    "RDR-054",
    "no session is begun with a meter whose certificate is no device's",
    level=Level.SECURITY,
    clause="6.4",
    mark="C",
    trick="certificate-of-commander",
    task=Task.SESSION,
    end=End.BADLY,
    needs=(Need.CREDENTIALS, Need.AUTHORITY),
    sends="a certificate of the trusted authority for the role service",
    expects="no S2_START_SESSION",
    advice="Take the roles host, peripheral and metering device for devices: whoever may command"
    " one must not be able to pose as one.",
)
def _commander(talk: Conversation) -> None:
    _check_untrusted(talk)


def _check_salt(talk: Conversation) -> None:
    """Go on if nothing was sealed under a key that was made with a bad salt."""
    for each in talk.asked_after(talk.strike.order):
        expect(not each.is_sealed, f"the reader took the salt, and sealed under it: {each.title}")


@reader_case(
    "RDR-060",
    "a session salt of zeros is refused",
    level=Level.SECURITY,
    clause="6.3",
    mark="F",
    trick="salt-zero",
    task=Task.SESSION,
    end=End.BADLY,
    needs=(Need.CREDENTIALS,),
    sends="16 bytes of zero as salt B, in every session",
    expects="nothing sealed under it: another S2_START_SESSION, or an end",
    advice="Check salt B before the key is derived.",
)
def _zero(talk: Conversation) -> None:
    _check_salt(talk)


@reader_case(
    "RDR-061",
    "a session salt that repeats the reader's own is refused",
    level=Level.SECURITY,
    clause="6.3",
    mark="F",
    trick="salt-same",
    task=Task.SESSION,
    end=End.BADLY,
    needs=(Need.CREDENTIALS,),
    sends="salt A as salt B, in every session",
    expects="nothing sealed under it: another S2_START_SESSION, or an end",
    advice="Compare salt B with salt A before the key is derived.",
)
def _same(talk: Conversation) -> None:
    _check_salt(talk)


def _check_left(talk: Conversation) -> None:
    """Go on if nothing more was sealed in the session that the trick made doubtful."""
    for each in talk.asked_after(talk.strike.order):
        if each.packet_type == PacketType.S2_START_SESSION:
            break
        expect(not each.is_sealed, f"the reader went on in the same session with {each.title}")
    _check_nonces(talk)


def _check_nonces(talk: Conversation) -> None:
    """Go on if no counter sealed two packets in a session, and no salt began two sessions."""
    used: set[bytes] = set()
    salt = b""
    packets: list[bytes] = []
    for each in talk.asked:
        if each.is_sealed:
            _check_counter(each, packets)
            packets = [*packets, each.packet][-RECENT_PACKETS:]
            used.add(salt)
        elif isinstance(each.command, S2StartSession):
            packets, salt = [], each.command.salt_a
            expect(salt not in used, "two sessions were begun with one salt A")


def _check_counter(asked: Asked, packets: list[bytes]) -> None:
    """Go on if no other packet of the session was sealed under the same counter."""
    options = asked.envelope.encryption_options
    for earlier in packets:
        is_reused = earlier[20] == options and earlier != asked.packet
        expect(
            not is_reused,
            f"two packets were sealed under one counter, whose low byte is {options}:"
            " whoever has both can read them",
        )


@reader_case(
    "RDR-062",
    "an answer in the clear is not believed in a session",
    level=Level.SECURITY,
    clause="6.3",
    mark="F",
    trick="clear-in-session",
    task=Task.SESSION,
    end=End.EITHER,
    needs=(Need.CREDENTIALS,),
    sends="the right response to a command in a session, in the clear",
    expects="the session is over: S2_START_SESSION, or an end",
    advice="In a session believe what is sealed, and of all else NO_SESSION alone.",
)
def _clear(talk: Conversation) -> None:
    _check_left(talk)
    expect_no_false_success(talk)


@reader_case(
    "RDR-063",
    "an answer under a wrong tag ends the session",
    level=Level.SECURITY,
    clause="6.3",
    mark="F",
    trick="tag-wrong",
    task=Task.SESSION,
    end=End.EITHER,
    needs=(Need.CREDENTIALS,),
    sends="the right response to a command in a session, with a bit of its tag turned round",
    expects="the session is over: S2_START_SESSION, or an end",
    advice="Nothing of a packet is true before its tag is; after a wrong one the session is dead.",
)
def _tag(talk: Conversation) -> None:
    _check_left(talk)
    expect_no_false_success(talk)


@reader_case(
    "RDR-064",
    "an answer that was given before is not believed again",
    level=Level.SECURITY,
    clause="6.3",
    mark="F",
    trick="response-replayed",
    task=Task.SESSION,
    end=End.EITHER,
    needs=(Need.CREDENTIALS,),
    sends="the sealed response to the command before, once more",
    expects="the session is over: S2_START_SESSION, or an end",
    advice="A response carries the counter after its command's; any other ends the session.",
)
def _replayed(talk: Conversation) -> None:
    _check_left(talk)
    expect_no_false_success(talk)


@reader_case(
    "RDR-065",
    "a command whose session the meter has lost is given in a new one",
    level=Level.SECURITY,
    clause="6.3",
    mark="F",
    trick="session-forgotten",
    task=Task.SESSION,
    needs=(Need.CREDENTIALS,),
    sends="NO_SESSION (17) in the clear for a command in a session, which did not run",
    expects="S2_START_SESSION, and the command again under the new key",
    advice="A meter forgets its sessions with its power. The command did not run: give it again.",
)
def _forgotten(talk: Conversation) -> None:
    lost = talk.struck_command
    after = talk.asked_after(talk.strike.order)
    starts = [each for each in after if each.packet_type == PacketType.S2_START_SESSION]
    expect(bool(starts), "no new session was begun: there is no S2_START_SESSION after NO_SESSION")
    _check_left(talk)
    again = [
        each
        for each in after
        if each.order > starts[0].order and each.is_sealed and len(each.packet) == len(lost.packet)
    ]
    expect(bool(again), f"{lost.title} was lost with its session: it was not given again")


@reader_case(
    "RDR-066",
    "a sealed command is repeated to the letter, never sealed anew",
    level=Level.SECURITY,
    clause="6.3",
    mark="F",
    trick="sealed-lost",
    task=Task.SESSION,
    needs=(Need.CREDENTIALS,),
    sends="nothing for a command in a session; the stored answer when its frame comes again",
    expects="the very same frame again",
    advice="Seal a command once, and keep its bytes: sealed anew it would run twice.",
)
def _repeated(talk: Conversation) -> None:
    expect_same_frame_again(talk)
    _check_nonces(talk)


@reader_case(
    "RDR-067",
    "no counter seals two packets, and a session that fell silent is given up",
    level=Level.SECURITY,
    clause="6.3",
    mark="F",
    trick="sealed-unanswered",
    task=Task.SESSION,
    end=End.EITHER,
    needs=(Need.CREDENTIALS,),
    sends="nothing for a command in a session, however often its frame comes",
    expects="no more in that session; in a new one another salt, and counters of its own",
    advice="After a timeout nobody knows which counters the meter has seen: begin anew.",
)
def _silent(talk: Conversation) -> None:
    repeats = repeats_of(talk, talk.struck)
    expect(
        repeats < talk.attempts,
        f"{describe(talk.struck.frame)} was sent {repeats + 1} times in all, not {talk.attempts}",
    )
    _check_left(talk)


@reader_case(
    "RDR-068",
    "a sealed NOT_IMPLEMENTED confirms the key as well",
    level=Level.SECURITY,
    clause="6.3",
    mark="C",
    trick="confirmation-refused",
    task=Task.SESSION,
    needs=(Need.CREDENTIALS,),
    sends="NOT_IMPLEMENTED (7) for the NO_OPERATION that confirms the key, sealed under it",
    expects="the next command in that session",
    advice="Who can seal an answer has the key; that the command is not offered is another matter.",
)
def _unconfirmed(talk: Conversation) -> None:
    after = talk.asked_after(talk.strike.order)
    goes_on = bool(after) and after[0].is_sealed
    ended = (PacketType.S2_END_SESSION, PacketType.NO_OPERATION)
    expect(
        goes_on and after[0].packet_type not in ended,
        "the reader did not go on in the session"
        + (f": {after[0].title} came next" if after else ""),
    )
    _check_nonces(talk)


@reader_case(
    "RDR-080",
    "a meter that does not hold the role's key is told nothing",
    level=Level.SECURITY,
    clause="6.2",
    mark="C",
    trick="tag-b-false",
    task=Task.ROLE,
    end=End.BADLY,
    sends="a nonce, and as tag B something that was made without the role's key",
    expects="no S1_AUTH_REPLY: tag A would tell a false meter something about the key",
    advice="Verify tag B before anything else is sent.",
)
def _false_meter(talk: Conversation) -> None:
    for each in talk.asked_after(talk.strike.order):
        if each.packet_type == PacketType.S1_AUTH_REPLY:
            fail("the reader sent its own proof to a meter that had proved nothing")


@reader_case(
    "RDR-081",
    "a response whose MAC is wrong is not believed",
    level=Level.SECURITY,
    clause="6.2",
    mark="C",
    trick="mac-wrong",
    task=Task.ROLE,
    end=End.EITHER,
    needs=(Need.ROLE_KEY,),
    sends="the first value that is read, with a bit of its MAC turned round",
    expects="the same read again, or an end; nothing that goes on from there",
    advice="Under scheme 1 each response stands for itself: verify its MAC before its value.",
)
def _mac(talk: Conversation) -> None:
    expect_not_believed(talk)
