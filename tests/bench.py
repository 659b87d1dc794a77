"""How fast it is, in ratios: machines are noisy, so every figure stands against a plain one.

    python -m tests.bench [--full]

Each line names what is measured, the figure, and what the plain one next to it does in the same
run. Nothing here passes or fails.
"""

import argparse
import os
import socket
import subprocess
import sys
import threading
import time
from binascii import crc_hqx
from collections.abc import Callable

from tests import bench_images, campaign
from tests.bench_line import measure as bench_line_stations
from tests.bench_optical import measure_all as bench_optical_lines
from tests.bench_spi import HZ as SPI_HZ
from tests.bench_spi import PERIPHERAL_S
from tests.bench_spi import measure as bench_spi_port
from tests.certificates.pki import ROOT_KEY
from umi_cli import crypto
from umi_cli.application.commands import ReadObject
from umi_cli.connecting import connect
from umi_cli.device.session import Session
from umi_cli.link.frame import Frame
from umi_cli.transports.memory import MemoryTransport
from umi_cli.types import UmiCode
from umi_cli.virtual.serve import Server
from umi_cli.virtual.setup import SimOptions, Simulation

READS = 2000
COMMAND_BYTES, RESPONSE_BYTES = 44, 71  # the frames of a read of umi.1.1.0.0
ROUNDS = 5
OWN, METER = campaign.OWN_KEY, campaign.METER_KEY


def best_s(act: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Return the shortest time that something took, in seconds."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        act()
        times.append(time.perf_counter() - began)
    return min(times)


def report(what: str, figure: str, plain: str, ratio: float) -> None:
    """Print one line."""
    print(f"{what:<44} {figure:>22}   against {plain:<44} ratio {ratio:6.2f}")


def bench_frames() -> None:
    """Encode and decode a full frame, against the bare CRC of its bytes twice."""
    frame = Frame(sequence=1, frame_type=0, destination=0, source=5, payload=bytes(range(249)))
    data = frame.encode()
    count = 20_000

    def codec() -> None:
        for _ in range(count):
            Frame.decode(frame.encode())

    def plain() -> None:
        for _ in range(2 * count):
            crc_hqx(data, 0)

    ours, theirs = best_s(codec), best_s(plain)
    rate = f"{count / ours:,.0f} frames/s"
    report("frame encode + decode, 255 bytes", rate, "binascii.crc_hqx twice", ours / theirs)


def bench_tcp() -> None:
    """Read over loopback TCP, against a bare exchange of the same sizes."""
    simulation = Simulation(SimOptions(), time.time())
    with Server(simulation) as server:
        address = server.listen("127.0.0.1", 0)
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            with connect(address) as meter:
                ours = best_s(lambda: _request(meter.session))
        finally:
            server.stop()
            thread.join()
    theirs = _echo_s()
    rate = f"{READS / ours:,.0f} reads/s"
    report(
        "read umi.1.1.0.0 over loopback TCP", rate, "bare TCP echo of the same sizes", ours / theirs
    )


def _echo_s() -> float:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_echo, args=(listener,))
        thread.start()
        with socket.create_connection(listener.getsockname()) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

            def exchange() -> None:
                for _ in range(READS):
                    connection.sendall(bytes(COMMAND_BYTES))
                    connection.recv(RESPONSE_BYTES)

            result = best_s(exchange)
        thread.join()
    return result


def _echo(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while connection.recv(COMMAND_BYTES):
            connection.sendall(bytes(RESPONSE_BYTES))


def bench_schemes() -> None:
    """Read under scheme 2 in process, and start a session, against what each needs at least."""
    times = {}
    for scheme in (0, 2):
        transport, session = _in_process(scheme)
        with transport:
            session.begin()
            session.identify()
            times[scheme] = best_s(lambda session=session: _request(session))  # type: ignore[misc]
    rate = f"{READS / times[2]:,.0f} reads/s"
    report(
        "read under scheme 2, in process", rate, "the same read under scheme 0", times[2] / times[0]
    )

    signature = ROOT_KEY.sign(b"certificate")

    def bare() -> None:  # both sides: one certificate to verify, one key to agree on
        for signer, peer in ((OWN, METER), (METER, OWN)):
            crypto.verify(ROOT_KEY.public_point, signature, b"certificate")
            signer.exchange(peer.public_point)

    transport, session = _in_process(2)
    with transport:
        session.begin()

        def start() -> None:
            session.restart()

        ours, theirs = best_s(start, 20), best_s(bare, 20)
    figure = f"{ours * 1000:.1f} ms"
    report(
        "start a scheme 2 session, both sides", figure, "OpenSSL: 2 verify, 2 ECDH", ours / theirs
    )


def _in_process(scheme: int) -> tuple[MemoryTransport, Session]:
    simulation = Simulation(SimOptions(), time.time())
    campaign.trust_each_other(simulation.meter.memory)
    transport = MemoryTransport(simulation.new_line("line"))
    return transport, campaign.session_under(scheme, transport)


def _request(session: Session) -> None:
    command = ReadObject(code=UmiCode.parse("umi.1.1.0.0"))
    for _ in range(READS):
        session.request(command)


def bench_optical() -> None:
    """Read 64 KiB and a cold `info` over paced optical lines, against what the wire could do."""
    for figures in bench_optical_lines():
        at = f"at {figures.baud} baud"
        report(
            f"64 KiB array, optical {at}",
            f"{figures.data_share:.1%} data",
            f"the raw 8N1 byte rate ({figures.idle_share:.1%} of the time idle)",
            figures.data_share,
        )
        report(
            f"ten elements at a time, optical {at}",
            f"{figures.one_frame_share:.1%} data",
            "the raw 8N1 byte rate",
            figures.one_frame_share,
        )
        report(
            f"cold info, optical {at}",
            f"{figures.info_s:.2f} s",
            f"its bytes on the wire and the standard's waits, {figures.info_least_s:.2f} s",
            figures.info_s / figures.info_least_s,
        )


def bench_spi() -> None:
    """Read 64 KiB over the genuine spidev and gpiod modules, against what is clocked for it."""
    figures = bench_spi_port()
    if isinstance(figures, str):
        print(f"64 KiB array, SPI: skipped, {figures}")
        return
    report(
        "64 KiB array, SPI",
        f"{figures.data_share:.1%} data",
        "the bits that are clocked for it",
        figures.data_share,
    )
    report(
        "64 KiB array, SPI, no time on the wire",
        f"{figures.data_bits_per_s:,.0f} data bit/s",
        f"a 1 MHz wire (ours takes no time, the Peripheral {PERIPHERAL_S * 1000:.1f} ms)",
        figures.data_bits_per_s / SPI_HZ,
    )
    report(
        "CPU time of an SPI exchange",
        f"{figures.exchange_cpu_s * 1000:.2f} ms",
        f"its bits at 1 MHz, {figures.exchange_wire_s * 1000:.2f} ms",
        figures.exchange_cpu_s / figures.exchange_wire_s,
    )


def bench_images_sent(*, full: bool) -> None:
    """Upload an image over an optical line that is simulated, and see what a long one takes."""
    for scheme in bench_images.SCHEMES:
        line = bench_images.measure_line(scheme)
        what = f"256 KiB image, optical at 9600, scheme {scheme}"
        report(
            what,
            f"{line.share:.1%} data",
            f"the raw 8N1 byte rate ({line.idle:.1%} of the time idle)",
            line.share,
        )
        report(
            f"the same, {bench_images.LOSS}",
            f"{line.lossy_share:.1%} data",
            "the raw 8N1 byte rate",
            line.lossy_share,
        )
    for memory in bench_images.measure_memory(full=full):
        (short_bytes, short), (long_bytes, long) = memory.bytes_and_peaks
        report(
            f"{memory.what}, {long_bytes >> 20} MiB",
            f"{long / bench_images.MIB:.1f} MiB at most",
            f"{short_bytes >> 20} MiB: {short / bench_images.MIB:.1f} MiB",
            memory.ratio,
        )


def bench_line() -> None:
    """Take units through a plan, at one station, at two, and over an optical line."""
    figures = bench_line_stations()
    one, two = figures.tcp_units_per_h, figures.two_tcp_units_per_h
    report(
        "a factory line, two stations on TCP", f"{two:,.0f} units/h", f"one: {one:,.0f}", two / one
    )
    optical = figures.optical_units_per_h
    report(
        "a station at an optical line, 9600 baud",
        f"{optical:,.0f} units/h",
        f"its time on the wire ({figures.journal_share:.1%} journal,"
        f" {figures.computing_share:.1%} computing)",
        figures.wire_share,
    )


def bench_start() -> None:
    """Start the command, and answer a shell that completes, against importing click."""
    plain = best_s(lambda: _run("-c", "import click"))
    for what, arguments in {
        "umi --version": ["--version"],
        "umi --help": ["--help"],
        "umi -p sim read umi.1.1.0.0/3": ["-p", "sim", "read", "umi.1.1.0.0/3"],
    }.items():
        ours = best_s(lambda arguments=arguments: _run("-m", "umi_cli", *arguments))  # type: ignore[misc]
        report(what, f"{ours * 1000:.0f} ms", 'python -c "import click"', ours / plain)
    for line in ("umi re", "umi -p ", "umi -p sim read manu"):
        ours = best_s(lambda line=line: _complete(line))  # type: ignore[misc]
        figure = f"{ours * 1000:.0f} ms"
        report(f"completion of {line!r}", figure, 'python -c "import click"', ours / plain)


def _run(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)


def _complete(line: str) -> None:
    asked = {"_UMI_COMPLETE": "zsh_complete", "COMP_WORDS": line}
    subprocess.run(
        [sys.executable, "-m", "umi_cli"],
        env={**os.environ, **asked},
        check=True,
        capture_output=True,
    )


def main() -> None:
    """Run every benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--full", action="store_true", help="an image of 256 MiB, too")
    full = parser.parse_args().full
    bench_frames()
    bench_tcp()
    bench_schemes()
    bench_start()
    bench_spi()
    bench_optical()
    bench_images_sent(full=full)
    bench_line()


if __name__ == "__main__":
    main()
