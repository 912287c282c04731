"""How passwords are stored and what they must be like."""

import pytest

from pce.access.passwords import POLICY, is_password_of, password_hash, password_problems

STORED = password_hash("Correct horse 1", b"0123456789abcdef")


def test_a_hash_knows_its_password_and_no_other() -> None:
    assert is_password_of(STORED, "Correct horse 1")
    assert not is_password_of(STORED, "correct horse 1")
    assert not is_password_of(None, "Correct horse 1")
    assert not is_password_of(None, "")


def test_two_salts_give_two_hashes_without_the_password() -> None:
    """Nobody sees that two people chose the same one."""
    other = password_hash("Correct horse 1", b"fedcba9876543210")
    assert other != STORED and "horse" not in STORED
    assert STORED.startswith("scrypt$15$8$3$")


@pytest.mark.parametrize(
    ("password", "what"),
    [
        ("Sh0rt", "8 to 128"),
        ("A" * 129 + "a1", "8 to 128"),
        ("lower case 1", "upper-case"),
        ("UPPER CASE 1", "lower-case"),
        ("No digits here", "digit"),
        ("Ann.Lee is 1", "user's name"),
        ("Correct horse 1", "last 5"),
    ],
)
def test_what_the_policy_refuses(password: str, what: str) -> None:
    """Each rule is named."""
    problems = list(password_problems(password, "ann.lee@example.com", POLICY, [STORED]))
    assert any(what in problem.message for problem in problems), problems


def test_what_the_policy_takes() -> None:
    policy = {**POLICY, "require_type_symbol": True}
    assert not list(password_problems("Grüße-an-7", "ann@example.com", policy, []))
    [problem] = password_problems("Gruesse7an", "ann@example.com", policy, [])
    assert "neither letter nor digit" in problem.message
