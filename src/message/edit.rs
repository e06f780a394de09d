//! Editing: a bounded list of (span, replacement), anywhere in the header.
//!
//! ```text
//! received   INVITE sip:a@b SIP/2.0<CRLF>|Via: …;rport|<CRLF>…Max-Forwards: |70|<CRLF>…
//! edits                                   ^ insert      ^ insert            ^ replace
//! ```

use super::span::Span;
use crate::limits::{EDIT_TEXT_BYTES, EDITS_MAX};

impl std::fmt::Write for Edits {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.write(text.as_bytes());
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Edit {
    span: Span,
    text_start: u16,
    text_end: u16,
}

/// The edits of one message.
#[derive(Debug)]
pub struct Edits {
    list: [Edit; EDITS_MAX],
    count: usize,
    text: Vec<u8>,
    is_overfull: bool,
}

impl Default for Edits {
    fn default() -> Self {
        Self {
            list: [Edit::default(); EDITS_MAX],
            count: 0,
            text: Vec::with_capacity(EDIT_TEXT_BYTES),
            is_overfull: false,
        }
    }
}

impl Edits {
    /// Forgets all edits.
    pub fn clear(&mut self) {
        self.count = 0;
        self.text.clear();
        self.is_overfull = false;
    }

    /// Leaves out what lies at `span`.
    pub fn remove(&mut self, span: Span) {
        // Rows that follow one another are one edit, however many they are.
        if let Some(last) = self.list[..self.count].last_mut()
            && last.text_start == last.text_end
            && !last.span.is_empty()
            && last.span.end() == span.start()
        {
            last.span = Span::new(last.span.start(), span.end());
            return;
        }
        self.replace(span, &[]);
    }

    /// Puts `text` in the place of what lies at `span`.
    pub fn replace(&mut self, span: Span, text: &[u8]) {
        let start = self.text.len();
        self.write(text);
        self.close(span, start);
    }

    /// Takes back the replacement of `span` or of a part of it, when there is one.
    pub fn retract(&mut self, span: Span) {
        if let Some(at) = self.list[..self.count]
            .iter()
            .position(|edit| span.start() <= edit.span.start() && edit.span.end() <= span.end())
        {
            self.list.copy_within(at + 1..self.count, at);
            self.count -= 1;
        }
    }

    /// Puts what `write` writes, with [`Edits::write`], in the place of what lies at `span`.
    pub fn replace_with(&mut self, span: Span, write: impl FnOnce(&mut Self)) {
        let start = self.text.len();
        write(self);
        self.close(span, start);
    }

    /// Adds to the text of the edit that is being made.
    pub fn write(&mut self, text: &[u8]) {
        if self.text.len() + text.len() > self.text.capacity() {
            self.is_overfull = true;
            return;
        }
        self.text.extend_from_slice(text);
    }

    /// Adds a number to the text of the edit that is being made.
    pub fn write_number(&mut self, number: u32) {
        let mut digits = [0; 10];
        let mut at = digits.len();
        let mut rest = number;
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.write(&digits[at..]);
    }

    /// Cuts the message `[start, end)` of the datagram along the edits: `keep` is called for what
    /// stays and `put` for what is new, in order. False when there were more edits or text than
    /// fits, or two of them overlap.
    pub fn apply<T>(
        &mut self,
        start: usize,
        end: usize,
        into: &mut T,
        mut keep: impl FnMut(&mut T, usize, usize),
        mut put: impl FnMut(&mut T, &[u8]),
    ) -> bool {
        let edits = &mut self.list[..self.count];
        // The sort is stable, so that insertions at one place stand in the order they were made,
        // and an insertion before what is removed at its place. The standard library sorts up to
        // 20 in place, without allocating.
        edits.sort_by_key(|edit| (edit.span.start(), edit.span.end()));
        let mut at = start;
        for edit in edits.iter() {
            if edit.span.start() < at {
                return false;
            }
            keep(into, at, edit.span.start());
            put(into, &self.text[usize::from(edit.text_start)..usize::from(edit.text_end)]);
            at = edit.span.end();
        }
        keep(into, at, end.max(at));
        !self.is_overfull
    }

    fn close(&mut self, span: Span, text_start: usize) {
        if self.count == EDITS_MAX {
            self.is_overfull = true;
            return;
        }
        self.list[self.count] =
            Edit { span, text_start: text_start as u16, text_end: self.text.len() as u16 };
        self.count += 1;
    }
}
