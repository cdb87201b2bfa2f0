"""From a post's text to its keywords.

A keyword is a hashtag or a word (one and the same: ``#Dance`` and ``dance`` are ``dance``) or an emoji, after Unicode
NFKC and case folding. Dropped are URLs, mentions, punctuation, bare digits, single Latin letters and the stop words of
some thirty languages; a stop word that its author wrote as a hashtag is kept.

Scripts without spaces: a run of Han or Hiragana becomes its overlapping character bigrams, as Lucene's CJK analyser
does; a run of Thai, Lao, Khmer or Burmese becomes overlapping trigrams of grapheme clusters (about a syllable and a
half). Hashtags stay whole, for their author has marked their ends.

Pieces of texts repeat, so what a piece between white space stands for is remembered: here for ``tokenise``, one text at a time,
and in ``transforms.lexicon`` for the hot path. There only new pieces come here, many at once, and only those that are not
plain are looked at by expressions.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import chain

import regex
import stopwordsiso

MAX_TEXT = 4_000
"""Characters of a text that are looked at; TikTok allows 2,200."""

MAX_KEYWORD = 64
"""Characters of the longest keyword; anything longer is noise."""

_STOP_WORD_LANGUAGES = (
    "ar bg bn cs da de el en es fa fi fr he hi hu id it ja ko ms nl no pl pt ro ru sv th tl tr uk ur vi zh".split()
)

STOP_WORDS: frozenset[str] = frozenset(
    unicodedata.normalize("NFKC", word).casefold() for word in stopwordsiso.stopwords(_STOP_WORD_LANGUAGES)
)
"""Stop words of the languages that TikTok's posts are written in, normalised as keywords are."""

_SKIP = r"(?i:https?://|www\.)\S+|[@＠][\w.]+|"
_EMOJI = r"\p{RI}\p{RI}|\p{Extended_Pictographic}[\uFE0F\p{EMod}]*(?:\u200D\p{Extended_Pictographic}[\uFE0F\p{EMod}]*)*"

WORD = r"\w[\w\u200c\u200d]*(?:['’]\w+)*"
"""Expression of ``regex`` for a word, and for a hashtag behind its sign."""

# Python's `re` is twice as fast as `regex`, but its \w knows no combining marks; for ASCII the two agree.
_ASCII_TOKENS = re.compile(_SKIP + r"(#?\w+(?:'\w+)*)", re.ASCII)
_TOKENS = regex.compile(_SKIP + "([#＃]?" + WORD + "|" + _EMOJI + ")")

_BIGRAM_SCRIPTS = r"\p{Han}\p{Hiragana}"
_TRIGRAM_SCRIPTS = r"\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_UNSPACED = regex.compile(f"[{_BIGRAM_SCRIPTS}{_TRIGRAM_SCRIPTS}]")
_SEGMENTS = regex.compile(
    f"(?P<bigrams>[{_BIGRAM_SCRIPTS}]+)|(?P<trigrams>[{_TRIGRAM_SCRIPTS}]+)|[^{_BIGRAM_SCRIPTS}{_TRIGRAM_SCRIPTS}]+"
)
_CLUSTERS = regex.compile(r"\X")
_IS_EMOJI = regex.compile(_EMOJI)
# Skin tones and variation selectors make one emoji many.
_EMOJI_VARIANTS = regex.compile(r"[\uFE0E\uFE0F\p{EMod}]")
# One apostrophe; no marks that make an emoji or a key cap (5️⃣) of a letter or digit.
_PLAIN = str.maketrans({"’": "'", "\ufe0e": None, "\ufe0f": None, "\u20e3": None})
# Signs that Unicode counts as pictographs and texts use as letters.
_NOT_EMOJI = frozenset("©®™‼⁉ℹ〰〽")


def tokenise(text: str) -> frozenset[str]:
    """Return the distinct keywords of a text.

    >>> sorted(tokenise("New #Dance with @friend, DANCE! https://example.org 2020 😂👍🏽"))
    ['dance', '👍', '😂']
    """
    return _NOTHING.union(*map(_keywords_of_piece, pieces(text)))


def typed_keywords(text: str) -> list[str]:
    """Return the keywords that posts with a typed text count for, in order: exactly one if the text is a keyword.

    Stop words, and words of scripts without spaces, are one keyword only where their author wrote a hashtag; alone they
    are taken for one.

    >>> typed_keywords("McDonald's"), typed_keywords("東京都"), typed_keywords("ramen noodles")
    (['mcdonald'], ['東京都'], ['noodles', 'ramen'])
    """
    found = sorted(tokenise(text))
    if len(found) != 1 and all(
        character == "_" or unicodedata.category(character)[0] in "LMN" for character in text.removeprefix("#")
    ):
        return sorted(tokenise(f"#{text}")) or found
    return found


def pieces(text: str) -> list[str]:
    """Return the parts of a text between white space: no token reaches across it, so each stands for itself.

    >>> pieces("New #Dance, DANCE!")
    ['New', '#Dance,', 'DANCE!']
    """
    return (text if len(text) <= MAX_TEXT else text[:MAX_TEXT]).split()


_NOTHING: frozenset[str] = frozenset()


def keywords_of_piece(piece: str) -> frozenset[str]:
    """Return the keywords that one piece of a text stands for; most often one, none for a stop word.

    A piece may hold white space.

    >>> sorted(keywords_of_piece("(#Dance,東京都"))
    ['dance', '京都', '東京']
    """
    # To Python's split more is white space than to expressions: a URL ends there too.
    parts = piece.split()
    tokens = chain.from_iterable((_ASCII_TOKENS if part.isascii() else _TOKENS).findall(part) for part in parts)
    return _NOTHING.union(*map(keywords_of, tokens))


_remembered = lru_cache(maxsize=1 << 18)(keywords_of_piece)
_LONGEST_REMEMBERED = 32
"""A longer piece, such as a whole text in Thai, hardly comes again, and what it stands for may take 40 kB."""


def _keywords_of_piece(piece: str) -> frozenset[str]:
    return _remembered(piece) if len(piece) <= _LONGEST_REMEMBERED else keywords_of_piece(piece)


def folded(text: str) -> str:
    """Return a text without the differences of case and form that keywords do not know.

    >>> folded("Groß ＡＢ")
    'gross ab'
    """
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def keywords_of(token: str) -> frozenset[str]:
    """Return the keywords that one raw token stands for.

    >>> sorted(keywords_of("東京都"))
    ['京都', '東京']
    """
    if not token:
        return _NOTHING
    if _IS_EMOJI.fullmatch(token):
        emoji = _EMOJI_VARIANTS.sub("", token)
        # Joiners chain any number of signs into one.
        return _NOTHING if emoji in _NOT_EMOJI or len(emoji) > MAX_KEYWORD else frozenset((emoji,))
    word = folded(token).translate(_PLAIN)
    if word.startswith("#"):
        tag = word.strip("#_")
        return frozenset((tag,)) if _is_keyword(tag) else _NOTHING
    if _UNSPACED.search(word):
        return frozenset(part for part in _split_unspaced(word) if _is_word(part))
    if word in STOP_WORDS:
        return _NOTHING
    word = _without_apostrophe(word).strip("_")
    return frozenset((word,)) if _is_word(word) else _NOTHING


def _is_keyword(word: str) -> bool:
    return 0 < len(word) <= MAX_KEYWORD and not word.isnumeric() and not (len(word) == 1 and word.isascii())


def _is_word(word: str) -> bool:
    return _is_keyword(word) and word not in STOP_WORDS


def _without_apostrophe(word: str) -> str:
    """Drop an English possessive and a Romance elision: ``zara's`` → ``zara``, ``l'amour`` → ``amour``."""
    head, apostrophe, tail = word.partition("'")
    if not apostrophe:
        return word
    if tail == "s":
        return head
    return tail if len(head) <= 2 else word


def _split_unspaced(word: str) -> list[str]:
    parts: list[str] = []
    for segment in _SEGMENTS.finditer(word):
        run = segment.group()
        match segment.lastgroup:
            case "bigrams":
                parts += _ngrams(list(run), 2)
            case "trigrams":
                parts += _ngrams(_CLUSTERS.findall(run), 3)
            case _:
                parts.append(run.strip("_'"))
    return parts


def _ngrams(units: list[str], n: int) -> list[str]:
    if len(units) <= n:
        return ["".join(units)]
    return ["".join(units[i : i + n]) for i in range(len(units) - n + 1)]
