"""Both checks against the definition, on every history of a few operations over one or two keys.

`python -m tests.check.test_brute_force` tries many more (some minutes).
"""

from __future__ import annotations

import pytest

from tests.check.alphabets import (
    REGISTER,
    REVISIONS,
    TWO_KEYS,
    Letters,
    by_definition,
    by_definition_with_revisions,
    by_exact_search,
    by_revisions,
    by_search,
    compare,
)

SMALL: list[tuple[str, Letters, int]] = [
    ("register", REGISTER, 2),
    ("register", REGISTER[:11], 3),
    ("register", REGISTER[:5], 4),
    ("register", [REGISTER[0], REGISTER[2]], 5),
    ("two keys", TWO_KEYS, 2),
    ("two keys", TWO_KEYS[:10], 3),
    ("two keys", TWO_KEYS[:4], 4),
]
SMALL_REVISIONS: list[tuple[str, Letters, int]] = [
    ("revisions", REVISIONS, 2),
    ("revisions", REVISIONS[:11], 3),
    ("revisions", REVISIONS[:5], 4),
]
LARGE: list[tuple[str, Letters, int]] = [
    ("register", REGISTER, 3),
    ("register", REGISTER[:10], 4),
    ("register", REGISTER[:5], 5),
    ("two keys", TWO_KEYS, 3),
    ("two keys", TWO_KEYS[:9], 4),
]
LARGE_REVISIONS: list[tuple[str, Letters, int]] = [
    ("revisions", REVISIONS, 3),
    ("revisions", REVISIONS[:10], 4),
    ("revisions", REVISIONS[:4], 5),
]


@pytest.mark.parametrize(("name", "letters", "count"), SMALL)
def test_search_agrees_with_the_definition(name: str, letters: Letters, count: int) -> None:
    total, good = compare(letters, count, by_definition, by_search)
    print(f"{name}: {total} histories of {count}, {good} linearizable, 0 disagreements")
    assert 0 < good < total


@pytest.mark.parametrize(("name", "letters", "count"), SMALL_REVISIONS)
def test_revisions_agree_with_the_definition(name: str, letters: Letters, count: int) -> None:
    total, good = compare(
        letters, count, by_definition_with_revisions, by_revisions, by_exact_search
    )
    print(f"{name}: {total} histories of {count}, {good} linearizable, 0 disagreements")
    assert 0 < good < total


def main() -> None:
    for name, letters, count in LARGE:
        total, good = compare(letters, count, by_definition, by_search)
        print(f"{name}: {total} histories of {count}, {good} linearizable, 0 disagreements")
    for name, letters, count in LARGE_REVISIONS:
        total, good = compare(
            letters, count, by_definition_with_revisions, by_revisions, by_exact_search
        )
        print(f"{name}: {total} histories of {count}, {good} linearizable, 0 disagreements")


if __name__ == "__main__":
    main()
