//! Small choices read off the front of an input; where it ends they are 0.

/// The rest of an input.
#[derive(Clone, Copy)]
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A number below `count`.
    pub(crate) fn below(&mut self, count: u8) -> u8 {
        self.byte() % count
    }

    pub(crate) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[usize::from(self.byte()) % items.len()]
    }

    /// A little-endian number of `bytes` bytes.
    pub(crate) fn number(&mut self, bytes: usize) -> usize {
        (0..bytes).fold(0, |number, place| number | usize::from(self.byte()) << (8 * place))
    }

    /// The next `length` bytes, or what is left.
    pub(crate) fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A piece with its length before it, as [`framed`] writes it.
    pub(crate) fn piece(&mut self) -> &'a [u8] {
        let length = self.number(2);
        self.take(length)
    }
}

/// A piece with its length before it.
pub(crate) fn framed(piece: &[u8]) -> Vec<u8> {
    let length = u16::try_from(piece.len()).unwrap_or(u16::MAX);
    [&length.to_le_bytes()[..], &piece[..usize::from(length)]].concat()
}
