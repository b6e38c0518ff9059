//! Texts of any number, the same for everyone, as large as MS MARCO's passages: `id TAB text` lines.
//!
//! Words are drawn from a vocabulary by Zipf's law (rank r with weight 1 / r), lengths evenly between
//! half and one and a half times the mean. Nobody should read them; tables, stores and lists that are
//! made of them have the sizes that those of real texts have.

use std::io::{BufWriter, Write};

use clap::Parser;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

#[derive(Debug, Parser)]
struct Args {
    /// Lines
    #[arg(long, default_value_t = 8_841_823)]
    documents: u64,
    /// Words of a text on average
    #[arg(long, default_value_t = 56)]
    words: usize,
    /// Different words
    #[arg(long, default_value_t = 500_000)]
    vocabulary: u32,
    #[arg(long, default_value_t = 42)]
    seed: u64,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut random = SmallRng::seed_from_u64(args.seed);
    let words: Vec<String> = (0..args.vocabulary.max(1)).map(word).collect();
    let mut out = BufWriter::with_capacity(1 << 20, std::io::stdout().lock());
    #[expect(clippy::cast_precision_loss, reason = "less than 2^32")]
    let span = (words.len() as f64).ln();
    for id in 0..args.documents {
        write!(out, "{id}\t")?;
        let length = args.words / 2 + random.random_range(0..=args.words);
        for at in 0..length.max(1) {
            // The inverse of the law's distribution, ranks taken as continuous.
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a rank from 0"
            )]
            let rank = ((random.random::<f64>() * span).exp() as usize - 1).min(words.len() - 1);
            if at > 0 {
                out.write_all(b" ")?;
            }
            out.write_all(words[rank].as_bytes())?;
        }
        out.write_all(b"\n")?;
    }
    out.flush()?;
    Ok(())
}

/// A word of its own for each number: syllables, the frequent ones short.
fn word(number: u32) -> String {
    const HEADS: &[u8] = b"bdfgklmnprstvz";
    const VOWELS: &[u8] = b"aeiou";
    let mut word = String::new();
    let mut left = number as usize;
    loop {
        word.push(char::from(HEADS[left % HEADS.len()]));
        left /= HEADS.len();
        word.push(char::from(VOWELS[left % VOWELS.len()]));
        left /= VOWELS.len();
        if left == 0 {
            break;
        }
        left -= 1;
    }
    word
}
