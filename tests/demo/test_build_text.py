"""The demo model's vocabulary."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from controlstack.demo.build_text import MAX_TOKENS, learn_merges, text_encoder, write_tokenizer


def test_frequent_pairs_merge_first_until_words_are_whole() -> None:
    assert learn_merges(Counter({"ab": 1, "cb": 3})) == [("c", "b</w>"), ("a", "b</w>")]
    assert learn_merges(Counter({"aa": 1, "aaa": 1}))[-1][0] + "a</w>" in {"aaa</w>", "aa</w>"}


def test_a_caption_word_is_one_token_and_other_words_are_spelt(tmp_path: Path) -> None:
    from transformers import CLIPTokenizer

    write_tokenizer(tmp_path, ["a red ball, a blue box"])
    tokenizer = CLIPTokenizer.from_pretrained(tmp_path)
    start, *words, end = tokenizer("a blue ball, a red box")["input_ids"]
    assert len(words) == 7
    assert (start, end) == (len(tokenizer) - 2, len(tokenizer) - 1)
    spelt = tokenizer("zebra")["input_ids"][1:-1]
    assert len(spelt) >= 4
    assert tokenizer.decode(spelt).strip() == "zebra"
    assert len(tokenizer("", padding="max_length")["input_ids"]) == MAX_TOKENS


def test_the_encoder_is_causal_and_as_long_as_clips() -> None:
    import torch

    encoder = text_encoder(40).eval()
    tokens = torch.randint(0, 38, (1, MAX_TOKENS))
    other = tokens.clone()
    other[0, 10:] = 39
    with torch.no_grad():
        one, two = (encoder(t).last_hidden_state for t in (tokens, other))
    assert torch.allclose(one[0, :10], two[0, :10], atol=1e-5)
    assert not torch.allclose(one[0, 10:], two[0, 10:], atol=1e-3)
