//! Chance changes to inputs, from one number: the same seed makes the same inputs.

/// xorshift64*, good enough to pick bytes.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// From a seed; zero is as good as any.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut chance = Self(seed ^ 0x9e37_79b9_7f4a_7c15);
        chance.0 = chance.0.max(1);
        for _ in 0..8 {
            chance.draw();
        }
        chance
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// One of `0..n`; 0 for an empty range.
    pub fn below(&mut self, n: usize) -> usize {
        if n == 0 { 0 } else { (self.draw() % n as u64) as usize }
    }
}

/// Numbers at which length and count checks go wrong, as the wire has them.
const EDGES: [i32; 14] =
    [0, 1, -1, -2, 4, 5, 7, 0x7f, 0xff, 0xffff, 0x10_0000, i32::MAX - 4, i32::MAX, i32::MIN];

/// Inputs longer than this are cut: speed matters more than size here.
const LONGEST: usize = 64 * 1024;

/// Changes `input` in one to eight ways. `others` lend pieces.
pub fn change(chance: &mut Chance, input: &mut Vec<u8>, others: &[Vec<u8>]) {
    for _ in 0..=chance.below(8) {
        let at = chance.below(input.len() + 1);
        let span = chance.below((input.len() - at).min(40) + 1);
        match chance.below(12) {
            0 if !input.is_empty() => {
                let at = chance.below(input.len());
                input[at] ^= 1 << chance.below(8);
            }
            1 if !input.is_empty() => {
                let at = chance.below(input.len());
                input[at] = chance.draw() as u8;
            }
            2 => {
                input.drain(at..at + span);
            }
            3 => {
                let piece: Vec<u8> = (0..chance.below(16)).map(|_| chance.draw() as u8).collect();
                input.splice(at..at, piece);
            }
            4 => {
                let piece = input[at..at + span].to_vec();
                let to = chance.below(input.len() + 1);
                input.splice(to..to, piece);
            }
            5 | 6 => {
                let edge = EDGES[chance.below(EDGES.len())].to_be_bytes();
                let end = (at + 4).min(input.len());
                input.splice(at..end, edge);
            }
            7 => {
                let aligned = at & !3;
                let end = (aligned + 8).min(input.len());
                let edge = i64::from(EDGES[chance.below(EDGES.len())]) << chance.below(33);
                input.splice(aligned..end, edge.to_be_bytes());
            }
            8 => input.truncate(at),
            9 if !others.is_empty() => {
                let other = &others[chance.below(others.len())];
                let from = chance.below(other.len() + 1);
                let till = from + chance.below(other.len() - from + 1);
                input.splice(at..at + span, other[from..till].iter().copied());
            }
            10 => {
                // Text: digits grow, separators multiply.
                let words: [&[u8]; 12] =
                    [b"9", b"-", b".", b":", b";", b"=", b"\n", b"\\", b"/", b"[", b"\xed\xa0\x80", b"\0"];
                let word = words[chance.below(words.len())];
                let many = word.repeat(1 + chance.below(6));
                input.splice(at..at, many);
            }
            _ => {
                // A number nearby: lengths off by one.
                if let Some(byte) = input.get_mut(at) {
                    *byte = byte.wrapping_add([1, 255, 2, 254][chance.below(4)]);
                }
            }
        }
        input.truncate(LONGEST);
    }
}
