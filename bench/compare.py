"""How many answers differ between two evaluations of the same clips, such as one with --fast and one without.

python bench/compare.py EVALUATION OTHER_EVALUATION
"""

import json
import sys
from pathlib import Path


def main() -> None:
    """Print, for every system that both folders hold, how many answers are not the same text."""
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    first, other = (Path(name) / "predictions" for name in sys.argv[1:])
    for file in sorted(first.glob("*.jsonl")):
        ours, theirs = _answers(file), _answers(other / file.name)
        if ours.keys() != theirs.keys():
            sys.exit(f"{file} and {other / file.name} do not answer the same items")
        changed = sum(ours[item] != theirs[item] for item in ours)
        print(f"{file.stem}: {changed} of {len(ours)} differ ({changed / max(1, len(ours)):.1%})")


def _answers(file: Path) -> dict[str, str]:
    records = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return {record["id"]: record["response"] for record in records}


if __name__ == "__main__":
    main()
