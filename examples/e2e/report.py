"""What a client says of its run: one line of JSON, which `run` compares with the counts of the server."""

import collections
import json
import sys


class Report:
    """The checks and the codes that one client saw."""

    def __init__(self, name):
        self.name, self.checks, self.codes = name, 0, collections.Counter()

    def code(self, name, count=1):
        """Calls that ended with this code."""
        self.codes[name] += count

    def expect(self, what, seen, expected):
        """Ends the program if something else was expected."""
        self.checks += 1
        if seen != expected:
            sys.exit(f"{what}: {seen!r}, and not {expected!r}")

    def done(self, more=""):
        """The last line of the program."""
        print(json.dumps({"client": self.name, "checks": self.checks, "codes": self.codes, "more": more}))
