//! Long texts in passages.

use proptest::prelude::*;
use quarry_encoders::{DocumentOptions, EncoderError, Model, PassageSplitter};
use quarry_vectors::SplitText;
use tokenizers::Tokenizer;

use crate::common::bundled;

fn splitter(model: &Model, tokens: u32, overlap: u32) -> Result<PassageSplitter, EncoderError> {
    model.splitter(tokens, overlap, &DocumentOptions::default())
}

#[test]
fn a_short_text_is_one_passage_and_lengths_are_checked() {
    let model = bundled();
    let split = splitter(&model, 64, 8).unwrap();
    assert_eq!(split.split("", "").unwrap(), vec![0..0; 1]);
    assert_eq!(split.split("a title", "some words").unwrap(), vec![0..10; 1]);
    for (tokens, fits) in [(15, false), (16, true), (256, true), (257, false)] {
        assert_eq!(splitter(&model, tokens, 8).is_ok(), fits, "{tokens}");
    }
}

#[test]
fn neighbours_share_words_and_cut_none() {
    let text: Vec<String> = (0..300).map(|n| format!("word{n}")).collect();
    let text = text.join(" ");
    let ranges = splitter(&bundled(), 50, 12).unwrap().split("", &text).unwrap();
    assert!(ranges.len() > 5, "{ranges:?}");
    for pair in ranges.windows(2) {
        assert!(pair[1].start < pair[0].end, "{pair:?}");
        assert!(text[pair[1].start..].starts_with("word"), "{pair:?}");
        assert!(text[..pair[0].end].ends_with(' '), "{pair:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn passages_cover_the_text_and_fit(
        words in prop::collection::vec("[a-zA-Zäß,.😀中]{1,9}[ \n]{1,2}", 0..200),
        title in "([a-z]{1,8} ){0,30}",
        tokens in 16u32..80,
        overlap in 0u32..100,
    ) {
        let model = bundled();
        let text = words.concat();
        let ranges = splitter(&model, tokens, overlap).unwrap().split(&title, &text).unwrap();
        prop_assert_eq!(ranges[0].start, 0);
        prop_assert_eq!(ranges.last().unwrap().end, text.len());
        let json = model.tokenizer_json();
        let mut tokenizer = Tokenizer::from_bytes(json).unwrap();
        tokenizer.with_truncation(None).unwrap();
        tokenizer.with_padding(None);
        let above = tokenizer.encode(format!("{title}. "), false).unwrap().len();
        for pair in ranges.windows(2) {
            prop_assert!(pair[0].start < pair[1].start && pair[1].start <= pair[0].end);
            prop_assert!(pair[0].end < pair[1].end);
        }
        for range in &ranges {
            let passage = &text[range.clone()];
            let found = tokenizer.encode(passage, true).unwrap().len();
            let most = (tokens as usize).max(3 + (tokens as usize - 2) / 4);
            prop_assert!(found <= most, "{} tokens in {:?}", found, passage);
            if above <= (tokens as usize - 2) / 2 && !title.is_empty() {
                let whole = tokenizer.encode(format!("{title}. {passage}"), true).unwrap().len();
                // A border inside a word that is longer than the window makes one token more of it.
                prop_assert!(whole <= tokens as usize + 1, "{} tokens", whole);
            }
        }
    }
}
