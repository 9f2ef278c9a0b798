"""Prometheus' text format, read strictly."""

import collections
import sys

from prometheus_client.parser import text_string_to_metric_families


def samples(text):
    """All samples by name and labels."""
    found = collections.defaultdict(dict)
    families = set()
    for family in text_string_to_metric_families(text):
        if family.name in families:
            sys.exit(f"the family {family.name} is there twice")
        families.add(family.name)
        if family.type == "unknown":
            sys.exit(f"the family {family.name} has no type")
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            if labels in found[sample.name]:
                sys.exit(f"{sample.name} {labels} is there twice")
            found[sample.name][labels] = sample.value
    return found
