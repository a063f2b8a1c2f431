"""What every test process needs before its tests run."""

import signal

# A shell makes its background jobs ignore SIGINT, children inherit that, and some tests interrupt theirs.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
