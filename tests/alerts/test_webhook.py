"""Signatures after Standard Webhooks."""

from __future__ import annotations

import base64

import pytest

from alerts.webhook import SigningKeys

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER = "whsec_" + base64.b64encode(bytes(range(64, 0, -1))).decode()


def test_the_signature_is_that_of_the_specifications_own_libraries() -> None:
    # Key, id, time and body of the example in the reference libraries' tests, and what they make of it.
    keys = SigningKeys.parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signature = keys.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_during_a_change_of_keys_both_sign() -> None:
    first, second = (SigningKeys.parse(text).sign("id", 1, b"{}") for text in (SECRET, OTHER))
    assert SigningKeys.parse(f"{SECRET} {OTHER}").sign("id", 1, b"{}") == f"{first} {second}"
    assert first != second


@pytest.mark.parametrize("part", [("other", 1, b"{}"), ("id", 2, b"{}"), ("id", 1, b"{ }")])
def test_everything_is_signed(part: tuple[str, int, bytes]) -> None:
    keys = SigningKeys.parse(SECRET)
    assert keys.sign(*part) != keys.sign("id", 1, b"{}")


@pytest.mark.parametrize(
    "text",
    ["", "passphrase", "whsec_!!!", "whsec_c2hvcnQ=", base64.b64encode(bytes(32)).decode(), f"{SECRET} x"],
)
def test_what_is_no_secret_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ValueError, match="python -m alerts secret") as refusal:
        SigningKeys.parse(text)
    assert not text or text not in str(refusal.value)


def test_keys_are_not_printed() -> None:
    assert repr(SigningKeys.parse(SECRET)) == "SigningKeys()"
