"""Where the process of `umi` begins, as a program or with `python -m umi_cli`."""

try:
    from umi_cli.cli.orders import Orders
except KeyboardInterrupt:  # before anything has begun, not even a way to report it
    raise SystemExit(130) from None


def main() -> None:
    """Run `umi` and end the process with its exit code."""
    orders = Orders()
    orders.hold()  # to import the rest takes a moment, in which somebody may press Ctrl-C
    from umi_cli.cli.main import main as begin

    begin(orders=orders)


if __name__ == "__main__":
    main()
