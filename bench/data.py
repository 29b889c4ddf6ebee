"""Speed of the data stages: one subcommand each, every one beside what people use or must reach.

    python bench/data.py annotate [--minutes 60] [--json]
    python bench/data.py respond [--clips 3000] [--json]
    python bench/data.py memory [--clips 1000000] [--json]

Each benchmark is a module of its own that adds its options and returns what it measured.
"""

import argparse
import importlib
import json
import os
import sys

from machine import processor

BENCHMARKS = {"annotate": "annotating", "respond": "responding", "memory": "remembering"}


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("benchmark", choices=BENCHMARKS)
    name = parser.parse_args(sys.argv[1:2]).benchmark
    # Imported only now: processes that a stage starts import this file again, and some modules take seconds.
    module = importlib.import_module(BENCHMARKS[name])
    verb = argparse.ArgumentParser(prog=f"{parser.prog} {name}", description=module.__doc__.splitlines()[0])
    verb.add_argument("--json", action="store_true", help="print one JSON object")
    module.add_options(verb)
    options = verb.parse_args(sys.argv[2:])
    result = {"machine": f"{processor()}, {os.cpu_count()} cores", **module.measure(options)}
    print(json.dumps(result) if options.json else f"{result['machine']}\n\n{module.table(result)}")


if __name__ == "__main__":
    main()
