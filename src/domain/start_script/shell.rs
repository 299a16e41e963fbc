//! The shell's quoting, as far as it must be known to change one word of a script.
//!
//! It tells for each byte whether it is code, how it is quoted, and to which word and statement it belongs.

#[cfg(test)]
mod tests;

/// How a byte is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quote {
    /// Not at all.
    None,
    /// Between `"` and `"`.
    Double,
    /// Between `'` and `'`.
    Single,
}

/// What is known of one byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spot {
    /// How it is quoted.
    pub quote: Quote,
    /// Whether it is code, and neither a comment nor the text of a here-document.
    pub code: bool,
    /// Where its word begins.
    pub word: usize,
    /// Where its statement begins.
    pub statement: usize,
    /// Whether it is outside all quotes, brackets and substitutions.
    pub outermost: bool,
    /// Whether it begins or ends a substitution, which is a part of its word.
    joint: bool,
}

/// A script with what is known of each byte.
pub struct Shell<'a> {
    text: &'a str,
    places: Vec<Spot>,
}

/// What was opened and not closed yet, with the word and the statement that go on behind it.
enum Open {
    Double,
    Brace,
    Bracket { word: usize, statement: usize, joint: bool },
    Backtick { word: usize, statement: usize },
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    word: usize,
    statement: usize,
    open: Vec<Open>,
    places: Vec<Spot>,
    here: Vec<(Vec<u8>, bool)>,
    joint: bool,
}

impl<'a> Shell<'a> {
    /// Reads a script.
    ///
    /// # Errors
    /// When quotes or brackets do not close, so that nothing certain can be said.
    pub fn read(text: &'a str) -> Result<Self, &'static str> {
        let mut reader = Reader {
            bytes: text.as_bytes(),
            at: 0,
            word: 0,
            statement: 0,
            open: Vec::new(),
            places: Vec::with_capacity(text.len()),
            here: Vec::new(),
            joint: false,
        };
        while reader.at < reader.bytes.len() {
            reader.step();
        }
        if reader.open.is_empty() {
            Ok(Self { text, places: reader.places })
        } else {
            Err("its quotes or brackets do not close")
        }
    }

    /// The place of a byte.
    #[must_use]
    pub fn place(&self, at: usize) -> Spot {
        self.places[at]
    }

    /// Where the code contains `word` as the beginning of an option.
    pub fn options<'s>(&'s self, option: &'s str) -> impl Iterator<Item = usize> + 's {
        let bytes = self.text.as_bytes();
        let ends =
            move |at: usize| bytes.get(at).is_none_or(|b| !(b.is_ascii_alphanumeric() || b"-_".contains(b)));
        let begins = move |at: usize| {
            at.checked_sub(1).is_none_or(|before| {
                !(bytes[before].is_ascii_alphanumeric() || b"-_/.".contains(&bytes[before]))
            })
        };
        self.text
            .match_indices(option)
            .map(|(at, _)| at)
            .filter(move |at| self.places[*at].code && begins(*at) && ends(at + option.len()))
    }

    /// The end of the option, or the word, that begins at `at`, in the same quotes.
    #[must_use]
    pub fn word_end(&self, at: usize) -> usize {
        let (first, bytes) = (self.places[at], self.text.as_bytes());
        let inside = |end: &usize| {
            let (place, byte) = (self.places[*end], bytes[*end]);
            if place.statement != first.statement {
                // Inside a substitution, or behind the one in which the word stands.
                return place.statement > first.statement;
            }
            let blank = byte.is_ascii_whitespace();
            match first.quote {
                Quote::None => place.joint || place.quote != Quote::None || !(blank || is_separator(byte)),
                Quote::Double => {
                    let escaped = bytes[end - 1] == b'\\';
                    place.quote == Quote::Double && !blank && (byte != b'"' || escaped)
                }
                Quote::Single => place.quote == Quote::Single && !blank && byte != b'\'',
            }
        };
        (at..bytes.len()).find(|end| *end > at && !inside(end)).unwrap_or(bytes.len())
    }

    /// The text of the statement that begins at `start`, to its last byte.
    #[must_use]
    pub fn statement(&self, start: usize) -> &'a str {
        let end =
            self.places.iter().rposition(|place| place.statement == start).map_or(start, |last| last + 1);
        &self.text[start..end]
    }

    /// The words of a statement as they are written, each with where it begins.
    #[must_use]
    pub fn words(&self, start: usize) -> Vec<(usize, &'a str)> {
        let (end, bytes) = (start + self.statement(start).len(), self.text.as_bytes());
        let mut out = Vec::new();
        let mut at = start;
        while at < end {
            let place = self.places[at];
            let between = !place.joint && (bytes[at].is_ascii_whitespace() || is_separator(bytes[at]));
            if !place.code || place.quote == Quote::None && between {
                at += 1;
                continue;
            }
            let word_end = self.whole_word_end(at).clamp(at + 1, end);
            out.push((at, &self.text[at..word_end]));
            at = word_end;
        }
        out
    }

    /// The end of the whole word that begins at `at`, whatever parts of it are quoted.
    fn whole_word_end(&self, at: usize) -> usize {
        let (statement, bytes) = (self.places[at].statement, self.text.as_bytes());
        let over = |end: &usize| {
            let place = self.places[*end];
            let between = !place.joint && (bytes[*end].is_ascii_whitespace() || is_separator(bytes[*end]));
            place.statement < statement
                || place.statement == statement && place.quote == Quote::None && between
        };
        (at..bytes.len()).find(over).unwrap_or(bytes.len())
    }

    /// Whether the word that begins at `word` sets a variable.
    #[must_use]
    pub fn is_assignment(&self, word: usize) -> bool {
        variable_of(&self.text[word..]).is_some()
    }
}

/// The name of the variable that `text` begins to set.
#[must_use]
pub fn variable_of(text: &str) -> Option<&str> {
    let (name, _) = text.split_once('=')?;
    let name = name.strip_suffix('+').unwrap_or(name);
    let is_name = !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    is_name.then_some(name)
}

fn is_separator(byte: u8) -> bool {
    b";&|()<>".contains(&byte)
}

impl Reader<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    /// Takes so many bytes.
    fn take(&mut self, count: usize, quote: Quote, code: bool) {
        let outermost = self.open.is_empty();
        for _ in 0..count.min(self.bytes.len() - self.at) {
            let (word, statement) = (self.word, self.statement);
            self.places.push(Spot { quote, code, word, statement, outermost, joint: self.joint });
            self.at += 1;
        }
    }

    /// Takes what begins a substitution.
    fn take_joint(&mut self, count: usize, quote: Quote) {
        self.joint = true;
        self.take(count, quote, true);
        self.joint = false;
    }

    fn new_word(&mut self) {
        self.word = self.at;
    }

    fn new_statement(&mut self) {
        (self.word, self.statement) = (self.at, self.at);
    }

    fn step(&mut self) {
        match self.open.last() {
            Some(Open::Double) => self.in_double(),
            Some(Open::Brace) => self.in_braces(),
            _ => self.in_plain(),
        }
    }

    /// How the next byte is quoted, if it is an ordinary one.
    fn quote(&self) -> Quote {
        for open in self.open.iter().rev() {
            match open {
                Open::Double => return Quote::Double,
                Open::Brace => {}
                Open::Bracket { .. } | Open::Backtick { .. } => return Quote::None,
            }
        }
        Quote::None
    }

    /// Between `${` and `}`.
    fn in_braces(&mut self) {
        match self.peek(0) {
            b'}' => {
                self.open.pop();
                self.take(1, self.quote(), true);
            }
            b'\\' => self.take(2, self.quote(), true),
            b'"' => {
                self.take(1, Quote::Double, true);
                self.open.push(Open::Double);
            }
            b'$' | b'`' => self.substitution(self.quote()),
            _ => self.take(1, self.quote(), true),
        }
    }

    fn in_double(&mut self) {
        match self.peek(0) {
            b'\\' => self.take(2, Quote::Double, true),
            b'"' => {
                self.take(1, Quote::Double, true);
                self.open.pop();
            }
            b'$' | b'`' => self.substitution(Quote::Double),
            _ => self.take(1, Quote::Double, true),
        }
    }

    /// A `$` or a backtick.
    fn substitution(&mut self, quote: Quote) {
        let (word, statement) = (self.word, self.statement);
        match (self.peek(0), self.peek(1)) {
            (b'`', _) if matches!(self.open.last(), Some(Open::Backtick { .. })) => {
                if let Some(Open::Backtick { word, statement }) = self.open.pop() {
                    (self.word, self.statement) = (word, statement);
                }
                self.take(1, self.quote(), true);
            }
            (b'`', _) => {
                self.take(1, quote, true);
                self.open.push(Open::Backtick { word, statement });
                self.new_statement();
            }
            (_, b'(') => {
                self.take_joint(2, quote);
                self.open.push(Open::Bracket { word, statement, joint: true });
                self.new_statement();
            }
            (_, b'{') => {
                self.take(2, quote, true);
                self.open.push(Open::Brace);
            }
            _ => self.take(1, quote, true),
        }
    }

    fn in_plain(&mut self) {
        let begins_word = self.word == self.at;
        match self.peek(0) {
            b'#' if begins_word => {
                let length = self.bytes[self.at..].iter().position(|b| *b == b'\n');
                self.take(length.unwrap_or(self.bytes.len() - self.at), Quote::None, false);
                self.new_word();
            }
            b'\\' => {
                self.take(2, Quote::None, true);
                if self.bytes.get(self.at - 1) == Some(&b'\n') && begins_word {
                    self.new_word();
                }
            }
            b'\'' => {
                let length = self.bytes[self.at + 1..].iter().position(|b| *b == b'\'');
                if let Some(length) = length {
                    self.take(length + 2, Quote::Single, true);
                } else {
                    self.take(self.bytes.len() - self.at, Quote::Single, true);
                    self.open.push(Open::Double);
                }
            }
            b'"' => {
                self.take(1, Quote::Double, true);
                self.open.push(Open::Double);
            }
            b'$' | b'`' => self.substitution(Quote::None),
            b'<' if self.peek(1) == b'<' => self.here_document(),
            b'\n' => {
                self.take(1, Quote::None, true);
                self.skip_here_documents();
                self.new_statement();
            }
            b'&' if self.at > 0 && b"<>".contains(&self.bytes[self.at - 1]) => {
                self.take(1, Quote::None, true);
            }
            b';' | b'|' | b'&' => {
                self.take(1, Quote::None, true);
                self.new_statement();
            }
            b'(' => {
                let (word, statement) = (self.word, self.statement);
                self.take(1, Quote::None, true);
                self.open.push(Open::Bracket { word, statement, joint: false });
                self.new_statement();
            }
            b')' => {
                if let Some(Open::Bracket { word, statement, joint }) = self.open.last() {
                    let joint = *joint;
                    (self.word, self.statement) = (*word, *statement);
                    self.open.pop();
                    self.joint = joint;
                    self.take(1, self.quote(), true);
                    self.joint = false;
                } else {
                    // The end of a pattern of `case`.
                    self.take(1, Quote::None, true);
                    self.new_statement();
                }
            }
            byte if byte.is_ascii_whitespace() => {
                let word = &self.bytes[self.word..self.at];
                let opens =
                    matches!(word, b"{" | b"then" | b"do" | b"else" | b"if" | b"elif" | b"!" | b"while");
                self.take(1, Quote::None, true);
                if opens {
                    self.new_statement();
                } else {
                    self.new_word();
                }
                if self.statement_is_blank() {
                    self.statement = self.at;
                }
            }
            _ => self.take(1, Quote::None, true),
        }
    }

    /// Whether nothing but blanks has come in the statement yet.
    fn statement_is_blank(&self) -> bool {
        self.bytes[self.statement..self.at].iter().all(u8::is_ascii_whitespace)
    }

    fn here_document(&mut self) {
        if self.peek(2) == b'<' {
            return self.take(3, Quote::None, true);
        }
        let strip = self.peek(2) == b'-';
        self.take(if strip { 3 } else { 2 }, Quote::None, true);
        while b" \t".contains(&self.peek(0)) && self.at < self.bytes.len() {
            self.take(1, Quote::None, true);
        }
        let rest = &self.bytes[self.at..];
        let quoted = rest.first().filter(|b| b"\"'".contains(b));
        let closes = quoted.and_then(|quote| rest[1..].iter().position(|b| b == quote));
        let length = if let Some(inside) = closes {
            inside + 2
        } else {
            let ends = |b: &u8| b.is_ascii_whitespace() || is_separator(*b);
            rest.iter().position(ends).unwrap_or(rest.len())
        };
        let word: Vec<u8> = rest[..length].iter().copied().filter(|b| !b"\"'\\".contains(b)).collect();
        self.take(length, Quote::None, true);
        // `1<<2` in arithmetic has no such word.
        if word.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_') {
            self.here.push((word, strip));
        }
    }

    fn skip_here_documents(&mut self) {
        for (word, strip) in std::mem::take(&mut self.here) {
            while self.at < self.bytes.len() {
                let rest = &self.bytes[self.at..];
                let length = rest.iter().position(|b| *b == b'\n').map_or(rest.len(), |end| end + 1);
                let mut line = rest[..length].strip_suffix(b"\n").unwrap_or(&rest[..length]);
                while strip && line.first() == Some(&b'\t') {
                    line = &line[1..];
                }
                let is_end = line == word;
                self.take(length, Quote::None, false);
                if is_end {
                    break;
                }
            }
        }
    }
}
