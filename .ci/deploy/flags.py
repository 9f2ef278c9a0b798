"""The flags of programs, as their help lists them."""

import re
import subprocess
import sys


def flags(*command):
    """The long flags in the help of a command."""
    done = subprocess.run([*command, "--help"], capture_output=True, text=True, timeout=60)
    found = set(re.findall(r"(?<![\w-])--([a-z][a-z0-9.-]*[a-z0-9])", done.stdout + done.stderr))
    if not found:
        sys.exit(f"{' '.join(command)} --help lists no flags")
    return found


def unknown_variables(orders, names):
    """Those of these environment variables that set no flag of `orders serve`."""
    known = {"ORDERS_" + flag.replace("-", "_").upper() for flag in flags(orders, "serve")}
    return [name for name in names if name.startswith("ORDERS_") and name not in known]


def seconds(duration):
    """Seconds of a duration such as 30s or 1m."""
    number, unit = re.fullmatch(r"(\d+)(s|m)", duration).groups()
    return int(number) * {"s": 1, "m": 60}[unit]


class Findings:
    """What is wrong."""

    def __init__(self):
        self.found = []

    def expect(self, holds, what):
        if not holds:
            self.found.append(what)

    def stop(self):
        """Fails if something is wrong."""
        if self.found:
            sys.exit("\n".join(self.found))

    def end(self, passed):
        self.stop()
        print(passed)
