"""Reads a scrape strictly from standard input: a series that is there twice, or that is not of the
family before it, is an error.

Usage: parse.py <SCRAPE
"""

import sys

from strict import samples

families = samples(sys.stdin.read())
print(f"{len(families)} names, {sum(map(len, families.values()))} series")
