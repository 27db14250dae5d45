//! How the vocabulary of a tokenizer spells bytes: the letters of byte-level tokenizers, the signs of `SentencePiece`, or plain text.

/// What stands for what in the texts of a vocabulary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spelling {
    /// Each byte is a letter of its own, as in GPT-2.
    pub by_letters: bool,
    /// What stands for a space, `▁` in `SentencePiece`.
    pub space: Option<String>,
    /// `<0xE4>` is a byte.
    pub by_numbers: bool,
}

impl Spelling {
    /// The bytes that a token of the vocabulary stands for.
    pub fn bytes(&self, token: &str) -> Vec<u8> {
        let letters = || token.chars().map(byte_of_letter).collect::<Option<Vec<u8>>>();
        let number = || numbered(token).map(|byte| vec![byte]);
        let by_letters = if self.by_letters { letters() } else { None };
        by_letters
            .or_else(|| if self.by_numbers { number() } else { None })
            .unwrap_or_else(|| self.added(token))
    }

    /// The bytes of a token that was added to the vocabulary, which is spelled as it stands in a text but for its spaces.
    pub fn added(&self, token: &str) -> Vec<u8> {
        match self.space.as_deref().filter(|_| !self.by_letters) {
            Some(space) if !space.is_empty() => token.replace(space, " ").into_bytes(),
            _ => token.as_bytes().to_vec(),
        }
    }
}

/// The byte that a letter of GPT-2's vocabulary stands for: 188 bytes are themselves, and the other 68 are the letters from
/// U+0100 on, in order.
fn byte_of_letter(letter: char) -> Option<u8> {
    let byte = match u32::from(letter) {
        code @ (33..=126 | 161..=172 | 174..=255) => code,
        code @ 0x100..=0x120 => code - 0x100,
        code @ 0x121..=0x142 => code - 0x121 + 127,
        0x143 => 173,
        _ => return None,
    };
    u8::try_from(byte).ok()
}

/// The byte of `<0xE4>`.
fn numbered(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    let is_hex = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    u8::from_str_radix(digits, 16).ok().filter(|_| is_hex)
}
