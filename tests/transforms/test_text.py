"""Keywords of texts."""

from __future__ import annotations

import doctest
import unicodedata

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms import lexicon
from transforms import text as module
from transforms.lexicon import plain_keywords
from transforms.text import MAX_KEYWORD, MAX_TEXT, STOP_WORDS, keywords_of_piece, tokenise, typed_keywords


def test_examples_of_the_documentation():
    result = doctest.testmod(module)
    assert result.attempted >= 2
    assert result.failed == 0
    result = doctest.testmod(lexicon)
    assert result.attempted >= 1
    assert result.failed == 0


@pytest.mark.parametrize(
    ("text", "keywords"),
    [
        ("#Dance dance DANCE", {"dance"}),
        ("Привет МИР #весна", {"привет", "мир", "весна"} - STOP_WORDS),
        ("한국어 노래", {"한국어", "노래"}),
        ("नमस्ते दुनिया", {"नमस्ते", "दुनिया"}),
        ("مرحبا بالعالم", {"مرحبا", "بالعالم"}),
        ("Straße STRASSE", {"strasse"}),
        ("café cafe\u0301 CAFÉ", {"café"}),
        ("ｒａｍｅｎ ramen", {"ramen"}),
    ],
)
def test_words_of_spaced_scripts_are_folded(text, keywords):
    assert tokenise(text) == keywords


def test_han_and_hiragana_become_bigrams_and_katakana_stays_whole():
    assert tokenise("東京都に行く") == {"東京", "京都", "都に", "に行", "行く"}
    assert tokenise("カラオケ") == {"カラオケ"}
    assert tokenise("ramenラーメン東京") >= {"東京"}


def test_thai_and_burmese_become_trigrams_of_clusters():
    assert tokenise("สวัสดีครับ") == {"สวัส", "วัสดี", "สดีค", "ดีครั", "ครับ"}
    assert tokenise("ကမ္ဘာ") == {"ကမ္ဘာ"}


def test_a_long_run_without_spaces_is_no_giant_token():
    assert tokenise("東京大阪名古屋" * 100)
    assert max(map(len, tokenise("東京大阪名古屋" * 100))) == 2


def test_hashtags_stay_whole_in_every_script():
    assert tokenise("#東京タワー ＃ｔａｇ #สวัสดีครับ #1stday") == {"東京タワー", "tag", "สวัสดีครับ", "1stday"}


def test_stop_words_are_dropped_unless_their_author_tagged_them():
    assert tokenise("the und и con y") == frozenset()
    assert tokenise("#the and") == {"the"}


@pytest.mark.parametrize(
    ("text", "keywords"),
    [
        ("👍🏽👍👍🏿", {"👍"}),
        ("❤️❤", {"❤"}),
        ("👨‍👩‍👧", {"👨‍👩‍👧"}),
        ("🇩🇪🇫🇷", {"🇩🇪", "🇫🇷"}),
        ("😂dance😂", {"😂", "dance"}),
        ("© ™ ® ‼ ℹ", set()),
        ("5️⃣", set()),
    ],
)
def test_emoji_are_keywords_whatever_their_variant(text, keywords):
    assert tokenise(text) == keywords


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n\t",
        "https://a.b/dance?x=dance",
        "WWW.dance.com/dance",
        "@dance ＠dance @a.dance",
        "2020 #2020 ２０２０",
        "a #b Z",
        "!?,.;:…—",
    ],
)
def test_what_is_no_keyword(text):
    assert tokenise(text) == frozenset()


def test_apostrophes():
    assert tokenise("l'amour zara's zara’s d’accord") == {"amour", "zara", "accord"}


def test_underscores_around_a_word_are_dropped():
    assert tokenise("foo_bar __ramen__ #_dance_ #___") == {"foo_bar", "ramen", "dance"}


def test_long_pieces_are_not_remembered():
    before = module._remembered.cache_info().currsize
    assert len(tokenise("東京都渋谷区" * 20)) == 6
    assert module._remembered.cache_info().currsize == before


def test_limits_of_length():
    assert tokenise("y" * MAX_KEYWORD) == {"y" * MAX_KEYWORD}
    assert tokenise("y" * (MAX_KEYWORD + 1)) == frozenset()
    assert tokenise("-" * MAX_TEXT + " dance") == frozenset()
    family = "\u200d".join("👩" * 32)
    assert tokenise(family) == {family}
    assert tokenise(family + "\u200d👩") == frozenset()


@given(st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("👩🏽\u200d\ufe0f"), max_size=400))
def test_keywords_of_any_text_are_normal_and_short_and_hold_no_white_space(text):
    for keyword in tokenise(text):
        assert 0 < len(keyword) <= MAX_KEYWORD
        assert len(keyword.split()) == 1
        assert "#" not in keyword[:1]
        assert not keyword.isdecimal()


@given(
    st.lists(st.sampled_from(["the", "A", "dance", "Zara", "2020", "9", "y" * 60, *"#'_@.,-z"]), min_size=1).map(
        "".join
    )
)
def test_short_cuts_for_ascii_agree_with_what_holds_for_any_text(piece):
    assert keywords_of_piece(piece) == keywords_of_piece(piece + "😂") - {"😂"}
    (plain,) = plain_keywords(pa.array([piece])).to_pylist()
    if plain is not None:
        assert keywords_of_piece(piece) == ({plain} if plain else set())


def test_only_what_is_ascii_is_plain():
    assert plain_keywords(pa.array(["é", "é1", "#東京", "ª", "٧", "İstanbul", ""])).null_count == 7


@given(st.text("éÀßçñĳﬁ" + "abcxyz", min_size=2, max_size=20))
def test_composed_and_decomposed_texts_have_the_same_keywords(text):
    assert tokenise(unicodedata.normalize("NFD", text)) == tokenise(unicodedata.normalize("NFC", text))


@pytest.mark.parametrize(
    ("text", "keywords"),
    [
        ("McDonald's", ["mcdonald"]),
        ("#McDonald's", ["mcdonald's"]),
        ("l’amour", ["amour"]),
        ("the", ["the"]),
        ("東京都", ["東京都"]),
        ("👍🏽", ["👍"]),
        ("ramen noodles", ["noodles", "ramen"]),
        ("!!!", []),
    ],
)
def test_a_typed_text_is_the_keyword_that_posts_with_it_count_for(text, keywords):
    assert typed_keywords(text) == keywords
