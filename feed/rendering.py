"""From a draft to the JSON of a post, in the nesting of the TikTok dump.

What authors, hashtags and sounds look like is rendered once each and kept; only ``itemInfos`` is new in each post.
"""

from __future__ import annotations

import random
from typing import Any

import msgspec
import numpy as np

from feed.composition import ORIGINAL_SOUND, Draft
from feed.lexicon import LANGUAGES, SUBJECTS
from feed.vocabulary import IntArray

_HEX_PER_POST = 386
_MAX_POSTS = 10_000_000
"""Posts of one run whose ids differ from those of the days before and after."""

_HOST = "https://p16.cdn.example.com"
_encode = msgspec.json.Encoder().encode

_ITEM = (
    b'{"authorInfos":%b,"challengeInfoList":[%b],"itemInfos":{"authorId":"%d","commentCount":%d,'
    b'"covers":["%b/obj/tos-maliva-p-0068/%b~c5_300x400.jpeg?x-expires=%d&x-signature=%b"],'
    b'"coversDynamic":["%b/obj/tos-maliva-p-0068/%b_dynamic.webp"],'
    b'"coversOrigin":["%b/obj/tos-maliva-p-0068/%b~noop.jpeg?x-expires=%d&x-signature=%b"],"createTime":"%d",'
    b'"diggCount":%d,"id":"%d","isActivityItem":%b,"musicId":"%d","shareCount":%d,"text":%b,"video":{"url":'
    b'["https://v16.cdn.example.com/video/tos/useast2a/tos-useast2a-ve-0068c003/%b/?a=1233&br=%d&bt=%d&cr=0&cs=0&dr=0'
    b"&ds=3&er=&l=%b&lr=tiktok_m&mime_type=video_mp4&qs=0&rc=%b&vl=&vr=&expire=%d&signature=%b&policy=2"
    b'","https://v19.cdn.example.com/%b/%b/video/tos/useast2a/tos-useast2a-ve-0068c003/%b/?a=1233&br=%d&bt=%d&cr=0&cs=0'
    b'&dr=0&ds=3&er=&l=%b&lr=tiktok_m&mime_type=video_mp4&qs=0&vl=&vr=",'
    b'"https://api.example.com/aweme/v1/play/?video_id=v09044%b&line=0&ratio=540p&media_type=4&vr_type=0"],'
    b'"videoMeta":{"Duration":%d,"height":%d,"ratio":%d,"width":%d}}},"musicInfos":%b,"time_stamp":%.3f}'
)
_FRAMES = ((1024, 576), (960, 540), (1280, 720), (720, 720))


class Renderer:
    """Renders posts; what it renders depends on the seed and the drafts alone.

    Args:
        seed: of names and addresses.
        midnight: start of the day, epoch seconds.
    """

    def __init__(self, seed: int, midnight: int) -> None:
        self._midnight = midnight
        self._cached: dict[tuple[str, str | int], bytes] = {}
        # Posts of neighbouring days may have been created in the same second.
        self._serial = midnight // 86_400 % 400 * _MAX_POSTS
        self._salt = seed * 40_503

    def render(self, drafts: list[Draft], rng: np.random.Generator) -> list[tuple[float, bytes, bool]]:
        """Return (second of the day, JSON, belongs to an event) of each draft; seconds are those of the drafts."""
        count = len(drafts)
        # Heavy tails; about a hundred likes for one comment or share.
        likes = np.minimum(rng.lognormal(4, 2.2, count), 5e6)
        rows = zip(
            drafts,
            likes.astype(int).tolist(),
            (likes * rng.lognormal(-4.5, 0.8, count)).astype(int).tolist(),
            (likes * rng.lognormal(-4.8, 1.0, count)).astype(int).tolist(),
            self._ages(count, rng).tolist(),
            rng.integers(5, 60, count).tolist(),
            rng.integers(0, 1 << 20, count).tolist(),
            strict=True,
        )
        # Fresh digits for each post: repeated ones would compress far better than real addresses do.
        digits = rng.bytes(count * _HEX_PER_POST // 2).hex().encode()
        return [
            (
                draft.second,
                self._post(
                    draft,
                    like,
                    comments,
                    shares,
                    age,
                    length,
                    bits,
                    digits[i * _HEX_PER_POST : (i + 1) * _HEX_PER_POST],
                ),
                draft.event,
            )
            for i, (draft, like, comments, shares, age, length, bits) in enumerate(rows)
        ]

    @staticmethod
    def _ages(count: int, rng: np.random.Generator) -> IntArray:
        return np.minimum(rng.lognormal(5, 1.5, count), 86_400 * 3).astype(np.int64)

    def _post(
        self, draft: Draft, likes: int, comments: int, shares: int, age: int, length: int, bits: int, digits: bytes
    ) -> bytes:
        time_stamp = self._midnight + draft.second
        created = int(time_stamp) - age
        self._serial += 1
        # Like TikTok's own: seconds, then 32 bits; an odd factor makes these distinct for 2³² posts.
        post_id = created << 32 | (self._serial * 2_654_435_761 + self._salt) & 0xFFFF_FFFF
        height, width = _FRAMES[bits & 3]
        host = _HOST.encode()
        picture = digits[:32]
        expires = created + 86_400
        bit_rate = 500 + bits % 3000
        return _ITEM % (
            self._author(draft.author, draft.language),
            b",".join([self._tag(tag) for tag in draft.tags]),
            _author_id(draft.author),
            comments,
            host, picture, expires, digits[32:59],
            host, picture,
            host, picture, expires, digits[59:86],
            created,
            likes,
            post_id,
            b"true" if bits % 50 == 0 else b"false",
            _sound_id(draft.sound, draft.author),
            shares,
            _encode(draft.text),
            digits[86:118], bit_rate, bit_rate // 2, digits[118:152], digits[152:216], expires, digits[216:248],
            digits[248:280], digits[280:288], digits[288:320], bit_rate, bit_rate // 2, digits[320:354], digits[354:386],
            length, height, 14 if height > width else 11, width,
            self._sound(draft.sound, draft.author, draft.language),
            time_stamp,
        )  # fmt: skip

    def _author(self, author: int, language: int) -> bytes:
        key = ("author", author)
        if key not in self._cached:
            chooser = random.Random(f"author {author}")
            words = LANGUAGES[language].words[author % len(SUBJECTS)].split()
            name = chooser.choice(words)
            self._cached[key] = _encode(
                {
                    **self._pictures(f"author {author}", "720x720", "1080x1080", "100x100"),
                    "nickName": f"{name.title()} {chooser.choice(('✨', '', '🔥', 'official', str(author % 100)))}".strip(),
                    "secUid": f"MS4wLjABAAAA{chooser.getrandbits(280):070x}",
                    "signature": " ".join(chooser.sample(words, chooser.randint(0, len(words)))),
                    "uniqueId": f"user.{author * 7919 % 9_999_991}",
                    "userId": str(_author_id(author)),
                }
            )
        return self._cached[key]

    def _tag(self, tag: str) -> bytes:
        key = ("tag", tag)
        if key not in self._cached:
            name = tag.removeprefix("#")
            chooser = random.Random(f"tag {tag}")
            self._cached[key] = _encode(
                {
                    "challengeId": str(10_000 + chooser.getrandbits(40)),
                    "challengeName": name,
                    "covers": [],
                    "coversLarger": [],
                    "coversMedium": [],
                    "isCommerce": chooser.random() < 0.02,
                    "text": "" if chooser.random() < 0.7 else f"Show us your {name}! Tag your posts with {tag}",
                }
            )
        return self._cached[key]

    def _sound(self, sound: int, author: int, language: int) -> bytes:
        original = sound == ORIGINAL_SOUND
        key = ("original", author) if original else ("sound", sound)
        if key not in self._cached:
            chooser = random.Random(f"{key}")
            words = " ".join(LANGUAGES[language].words).split()
            artist = f"user.{author * 7919 % 9_999_991}" if original else chooser.choice(words).title()
            name = "original sound" if original else " ".join(chooser.sample(words, 2)).title()
            token = f"{chooser.getrandbits(128):032x}"
            self._cached[key] = _encode(
                {
                    "authorName": artist,
                    **self._pictures(f"{key}", "720x720", "1080x1080", "200x200"),
                    "musicId": str(_sound_id(sound, author)),
                    "musicName": name,
                    "original": original,
                    "playUrl": [f"https://sf16.cdn.example.com/obj/tiktok-obj/{token}.mp3"],
                }
            )
        return self._cached[key]

    def _pictures(self, of: str, *sizes: str) -> dict[str, Any]:
        token = f"{random.Random(of).getrandbits(128):032x}"
        names = ("covers", "coversLarger", "coversMedium")
        return {
            name: [f"{_HOST}/img/musically-maliva-obj/{token}~c5_{size}.jpeg"]
            for name, size in zip(names, sizes, strict=True)
        }


def _author_id(author: int) -> int:
    return 6_500_000_000_000_000_000 + author * 1_000_003


def _sound_id(sound: int, author: int) -> int:
    if sound == ORIGINAL_SOUND:
        return 6_600_000_000_000_000_000 + author * 1_000_003
    return 6_700_000_000_000_000_000 + sound * 1_000_003
