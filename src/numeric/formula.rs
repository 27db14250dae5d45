//! Formulas of named numbers: `+ - * / ^`, `ln()`, parentheses.

/// The value of a formula, e.g. `(1 + task.alpha)^2 / 2 * ln(task.w)`; `number` gives those that are named.
///
/// # Errors
/// A sentence: what was read and what was expected.
pub fn value(text: &str, number: &dyn Fn(&str) -> Option<f64>) -> Result<f64, String> {
    let mut reader = Reader { text, at: 0, number, depth: 0 };
    let value = reader.sum()?;
    match reader.peek() {
        None => Ok(value),
        Some(_) => Err(reader.wrong("an operator or the end")),
    }
}

/// Parentheses within each other, and signs before each other, at most.
const DEEPEST: usize = 64;

struct Reader<'a> {
    text: &'a str,
    at: usize,
    number: &'a dyn Fn(&str) -> Option<f64>,
    depth: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.text[self.at..].trim_start()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn wrong(&self, expected: &str) -> String {
        let rest = self.rest();
        let read = if rest.is_empty() { "the end".to_owned() } else { format!("\"{rest}\"") };
        format!("formula \"{}\": read {read}, expected {expected}", self.text)
    }

    /// Goes on behind so many bytes of what is left.
    fn skip(&mut self, bytes: usize) {
        self.at = self.text.len() - self.rest().len() + bytes;
    }

    /// Goes on behind a sign if it comes next.
    fn takes(&mut self, sign: char) -> bool {
        let there = self.peek() == Some(sign);
        if there {
            self.skip(sign.len_utf8());
        }
        there
    }

    fn sum(&mut self) -> Result<f64, String> {
        let mut value = self.product()?;
        loop {
            if self.takes('+') {
                value += self.product()?;
            } else if self.takes('-') {
                value -= self.product()?;
            } else {
                return Ok(value);
            }
        }
    }

    fn product(&mut self) -> Result<f64, String> {
        let mut value = self.power()?;
        loop {
            if self.takes('*') {
                value *= self.power()?;
            } else if self.takes('/') {
                value /= self.power()?;
            } else {
                return Ok(value);
            }
        }
    }

    /// A sign belongs to all of a power: `-2^2` is -4.
    fn power(&mut self) -> Result<f64, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.wrong(&format!("at most {DEEPEST} parts within each other")));
        }
        let value = if self.takes('-') {
            -self.power()?
        } else {
            let base = self.atom()?;
            if self.takes('^') { base.powf(self.power()?) } else { base }
        };
        self.depth -= 1;
        Ok(value)
    }

    fn atom(&mut self) -> Result<f64, String> {
        if self.takes('(') {
            return self.closed();
        }
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_');
        let rest = self.rest();
        let word = rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())].to_owned();
        if word.is_empty() {
            return Err(self.wrong("a number, a name, ln or a parenthesis"));
        }
        if word == "ln" {
            self.skip(word.len());
            let is_open = self.takes('(');
            return if is_open {
                self.closed().map(f64::ln)
            } else {
                Err(self.wrong("( after ln"))
            };
        }
        let known = word.parse().ok().or_else(|| (self.number)(&word));
        let value = known.ok_or_else(|| self.wrong("a number or the name of one"))?;
        self.skip(word.len());
        Ok(value)
    }

    /// What stands in parentheses, of which the first was read.
    fn closed(&mut self) -> Result<f64, String> {
        let value = self.sum()?;
        if self.takes(')') { Ok(value) } else { Err(self.wrong("a closing parenthesis")) }
    }
}
