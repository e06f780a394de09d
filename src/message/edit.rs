//! Editing: a bounded list of (span, replacement), anywhere in the header.
//!
//! ```text
//! received   INVITE sip:a@b SIP/2.0<CRLF>|Via: …;rport|<CRLF>…Max-Forwards: |70|<CRLF>…
//! edits                                   ^ insert      ^ insert            ^ replace
//! ```
//!
//! The edits are applied in the memory that holds the message. What follows the last edit that
//! changes the length, and with it the body, stays where it is; what stands before it moves, and the
//! message begins elsewhere:
//!
//! ```text
//! before   ........|INVITE …|Via: …;rport|<CRLF>…
//! after    INVITE …|Via: ours|Via: …;rport|=5062<CRLF>…
//! ```

use std::ops::Range;

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
    text: Span,
}

impl Edit {
    /// How many bytes more there are after it.
    fn growth(self) -> isize {
        self.text.len().cast_signed() - self.span.len().cast_signed()
    }
}

/// The edits of one message.
#[derive(Debug)]
pub struct Edits {
    list: [Edit; EDITS_MAX],
    count: usize,
    text: Box<[u8; EDIT_TEXT_BYTES]>,
    text_len: usize,
    is_overfull: bool,
}

impl Default for Edits {
    fn default() -> Self {
        Self {
            list: [Edit::default(); EDITS_MAX],
            count: 0,
            text: Box::new([0; EDIT_TEXT_BYTES]),
            text_len: 0,
            is_overfull: false,
        }
    }
}

impl Edits {
    /// Removes all edits from the list.
    pub fn clear(&mut self) {
        self.count = 0;
        self.text_len = 0;
        self.is_overfull = false;
    }

    /// Removes what lies at `span`.
    pub fn remove(&mut self, span: Span) {
        // Adjacent rows are one edit, however many they are.
        if let Some(last) = self.list[..self.count].last_mut()
            && last.text.is_empty()
            && !last.span.is_empty()
            && last.span.end() == span.start()
        {
            last.span = Span::new(last.span.start(), span.end());
            return;
        }
        self.replace(span, &[]);
    }

    /// Replaces what lies at `span` with `text`.
    pub fn replace(&mut self, span: Span, text: &[u8]) {
        self.replace_with(span, |edits| edits.write(text));
    }

    /// Replaces what lies at `span` with what `write` writes with [`Edits::write`].
    #[inline]
    pub fn replace_with(&mut self, span: Span, write: impl FnOnce(&mut Self)) {
        let start = self.text_len;
        write(self);
        if self.count == EDITS_MAX {
            self.is_overfull = true;
            return;
        }
        self.list[self.count] = Edit { span, text: Span::new(start, self.text_len) };
        self.count += 1;
    }

    /// Adds to the text of the current edit.
    #[inline]
    pub fn write(&mut self, text: &[u8]) {
        let end = self.text_len + text.len();
        match self.text.get_mut(self.text_len..end) {
            Some(room) => {
                room.copy_from_slice(text);
                self.text_len = end;
            }
            None => self.is_overfull = true,
        }
    }

    /// Adds a text whose length is always the same.
    #[inline]
    pub(crate) fn write_fixed<const N: usize>(&mut self, text: &[u8; N]) {
        match self.text[self.text_len..].first_chunk_mut() {
            Some(room) => {
                *room = *text;
                self.text_len += N;
            }
            None => self.is_overfull = true,
        }
    }

    /// Adds a number to the text of the current edit.
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

    /// Puts the edits in order and returns how long the message at `place` of the datagram becomes;
    /// `None` if there were more edits or text than fits, or two of them overlap.
    ///
    /// Insertions at one place keep their order, and stand before what is removed there.
    pub fn len_after(&mut self, place: Span) -> Option<usize> {
        let edits = &mut self.list[..self.count];
        // Insertion sort: stable, in place, and the edits are made nearly in order.
        for at in 1..edits.len() {
            let edit = edits[at];
            let key = |edit: &Edit| (edit.span.start(), edit.span.end());
            let mut to = at;
            while to > 0 && key(&edits[to - 1]) > key(&edit) {
                edits[to] = edits[to - 1];
                to -= 1;
            }
            edits[to] = edit;
        }
        let (mut at, mut len) = (place.start(), place.len());
        for edit in edits.iter() {
            if edit.span.start() < at {
                return None;
            }
            at = edit.span.end();
            len = len + edit.text.len() - edit.span.len();
        }
        (at <= place.end() && !self.is_overfull).then_some(len)
    }

    /// Applies the edits to the message at `place` of the datagram that begins at `base` of `slot`;
    /// returns where in the slot the message lies then. `None`, and nothing is changed, if it would
    /// begin before the slot.
    ///
    /// [`Edits::len_after`] must have returned a length for this place.
    pub fn apply(&self, slot: &mut [u8], base: usize, place: Span) -> Option<Range<usize>> {
        let edits = &self.list[..self.count];
        let growth: isize = edits.iter().map(|edit| edit.growth()).sum();
        let new_start = (base + place.start()).checked_add_signed(-growth)?;
        // Part `at` stands before edit `at`, and moves left by what this edit and those behind it add,
        // right if that is negative.
        let move_part = |slot: &mut [u8], at: usize, left: isize| {
            let start = if at == 0 { place.start() } else { edits[at - 1].span.end() };
            let from = base + start..base + edits[at].span.start();
            let to = from.start.wrapping_add_signed(-left);
            slot.copy_within(from, to);
        };
        // A part that moves right overwrites only what stands behind it, one that moves left only
        // what stands before it. So those that move right go first, the last one at the front.
        let mut left = 0;
        for (at, edit) in edits.iter().enumerate().rev() {
            left += edit.growth();
            if left < 0 {
                move_part(slot, at, left);
            }
        }
        for (at, edit) in edits.iter().enumerate() {
            if left > 0 {
                move_part(slot, at, left);
            }
            left -= edit.growth();
            // It ends where the next part begins now, and reaches into no part that is yet to move.
            let end = (base + edit.span.end()).wrapping_add_signed(-left);
            let text = &self.text[edit.text.start()..edit.text.end()];
            slot[end - text.len()..end].copy_from_slice(text);
        }
        Some(new_start..base + place.end())
    }

    /// Writes the edited message to `put`, piece by piece, in order.
    ///
    /// [`Edits::len_after`] must have returned a length for this place.
    pub fn copy(&self, datagram: &[u8], place: Span, mut put: impl FnMut(&[u8])) {
        let mut at = place.start();
        for edit in &self.list[..self.count] {
            put(&datagram[at..edit.span.start()]);
            put(&self.text[edit.text.start()..edit.text.end()]);
            at = edit.span.end();
        }
        put(&datagram[at..place.end()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Applies edits `(start, end, text)` to "0123456789" in a slot, and checks that copying gives
    /// the same.
    fn edited(edits: &[(usize, usize, &str)], headroom: usize) -> Option<String> {
        let mut all = Edits::default();
        for (start, end, text) in edits {
            if text.is_empty() {
                all.remove(Span::new(*start, *end));
            } else {
                all.replace(Span::new(*start, *end), text.as_bytes());
            }
        }
        let datagram = b"0123456789";
        let place = Span::new(0, datagram.len());
        let len = all.len_after(place)?;
        let mut copy = Vec::new();
        all.copy(datagram, place, |piece| copy.extend_from_slice(piece));
        assert_eq!(copy.len(), len);
        let mut slot = vec![b'?'; headroom];
        slot.extend_from_slice(datagram);
        let range = all.apply(&mut slot, headroom, place)?;
        assert_eq!(range.end, slot.len(), "the end stays where it is");
        assert_eq!(slot[range], copy);
        String::from_utf8(copy).ok()
    }

    #[test]
    fn parts_move_to_where_they_belong() {
        struct Row {
            says: &'static str,
            edits: &'static [(usize, usize, &'static str)],
            wants: &'static str,
        }
        let rows = [
            Row { says: "nothing to do", edits: &[], wants: "0123456789" },
            Row { says: "an insertion", edits: &[(3, 3, "abc")], wants: "012abc3456789" },
            Row { says: "a removal", edits: &[(3, 6, "")], wants: "0126789" },
            Row { says: "as long as before", edits: &[(3, 5, "ab")], wants: "012ab56789" },
            Row { says: "all of it", edits: &[(0, 10, "x")], wants: "x" },
            Row {
                says: "insertions at one place keep their order",
                edits: &[(2, 2, "a"), (2, 2, "b")],
                wants: "01ab23456789",
            },
            Row {
                says: "an insertion before what is removed at its place",
                edits: &[(2, 4, ""), (2, 2, "b")],
                wants: "01b456789",
            },
            Row {
                says: "made in any order",
                edits: &[(8, 9, "yy"), (1, 1, "xx"), (4, 5, "")],
                wants: "0xx123567yy9",
            },
            Row {
                says: "growth before a removal that is longer",
                edits: &[(2, 2, "abcd"), (4, 10, "")],
                wants: "01abcd23",
            },
            Row {
                says: "a removal before growth that is longer",
                edits: &[(0, 4, ""), (6, 6, "abcdefgh"), (9, 9, "z")],
                wants: "45abcdefgh678z9",
            },
            Row {
                says: "right, left and right again",
                edits: &[(1, 2, "abcdef"), (3, 6, ""), (7, 7, "uvwxyz"), (8, 10, "")],
                wants: "0abcdef26uvwxyz7",
            },
            Row {
                says: "adjacent removals are one",
                edits: &[(1, 3, ""), (3, 5, ""), (5, 5, "x")],
                wants: "0x56789",
            },
        ];
        for row in rows {
            assert_eq!(edited(row.edits, 32).as_deref(), Some(row.wants), "{}", row.says);
        }
    }

    #[test]
    fn what_does_not_fit_the_headroom_changes_nothing() {
        assert_eq!(edited(&[(3, 3, "abc")], 3).as_deref(), Some("012abc3456789"));
        assert_eq!(edited(&[(3, 3, "abc")], 2), None);
        assert_eq!(edited(&[(0, 2, ""), (3, 3, "abc")], 1).as_deref(), Some("2abc3456789"));
    }

    #[test]
    fn overlaps_and_what_is_too_much_are_refused() {
        assert_eq!(edited(&[(3, 6, "a"), (5, 7, "b")], 32), None);
        assert_eq!(edited(&[(3, 6, ""), (4, 4, "b")], 32), None);
        let many: Vec<_> = (0..=EDITS_MAX).map(|_| (1, 1, "x")).collect();
        assert_eq!(edited(&many[1..], 64).map(|text| text.len()), Some(10 + EDITS_MAX));
        assert_eq!(edited(&many, 64), None);
        let mut edits = Edits::default();
        edits.replace(Span::new(0, 0), &[b'x'; EDIT_TEXT_BYTES]);
        assert_eq!(edits.len_after(Span::new(0, 1)), Some(EDIT_TEXT_BYTES + 1));
        edits.replace(Span::new(1, 1), b"y");
        assert_eq!(edits.len_after(Span::new(0, 1)), None);
        edits.clear();
        assert_eq!(edits.len_after(Span::new(0, 1)), Some(1));
        edits.write_fixed(&[b'x'; EDIT_TEXT_BYTES]);
        edits.write_fixed(b"y");
        assert_eq!(edits.len_after(Span::new(0, 1)), None);
    }
}
