"""Reads OpenMetrics text from standard input with the parser of Prometheus' own client library, which refuses what has not its
form; writes families and samples as JSON."""

import json
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families

families = {}
for family in text_string_to_metric_families(sys.stdin.read()):
    if family.name in families:
        sys.exit(f"{family.name} is there twice")
    samples = [{"name": sample.name, "labels": sample.labels, "value": sample.value} for sample in family.samples]
    families[family.name] = {"type": family.type, "help": family.documentation, "unit": family.unit, "samples": samples}
json.dump(families, sys.stdout)
