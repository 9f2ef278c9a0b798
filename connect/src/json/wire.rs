//! The wire format of protobuf.

pub(super) const VARINT: u8 = 0;
pub(super) const FIXED64: u8 = 1;
pub(super) const LEN: u8 = 2;
pub(super) const GROUP: u8 = 3;
pub(super) const GROUP_END: u8 = 4;
pub(super) const FIXED32: u8 = 5;

/// How deep groups may be nested in a field that is skipped.
const MAX_GROUPS: usize = 100;

/// Writes protobuf front to back, though a message's length comes before it: one byte is left for each length, and
/// those that need more are widened at the end, in one pass. So no byte moves more than once.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    out: &'a mut Vec<u8>,
    /// Where a length needs more than one byte, and the length.
    wide: Vec<(usize, usize)>,
    /// The bytes by which `wide` will lengthen the output.
    widening: usize,
}

/// A message whose end is not written yet.
#[derive(Debug)]
pub(super) struct Open {
    at: usize,
    widening: usize,
}

impl<'a> Writer<'a> {
    /// Appends to `out`.
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, wide: Vec::new(), widening: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.out.len()
    }

    /// What was written between these places.
    pub(super) fn between(&self, start: usize, end: usize) -> &[u8] {
        &self.out[start..end]
    }

    /// Takes back what was written since then; nothing of it may have been closed with a wide length.
    pub(super) fn truncate(&mut self, len: usize) {
        self.out.truncate(len);
    }

    pub(super) fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }

    pub(super) fn tag(&mut self, number: u32, wire: u8) {
        self.varint(u64::from(number) << 3 | u64::from(wire));
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Bytes after their length.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.varint(bytes.len() as u64);
        self.raw(bytes);
    }

    pub(super) fn open(&mut self) -> Open {
        self.out.push(0);
        Open { at: self.out.len() - 1, widening: self.widening }
    }

    pub(super) fn close(&mut self, open: &Open) {
        let len = self.out.len() - open.at - 1 + (self.widening - open.widening);
        match u8::try_from(len) {
            Ok(len @ 0..0x80) => self.out[open.at] = len,
            _ => {
                self.wide.push((open.at, len));
                self.widening += varint_len(len) - 1;
            }
        }
    }

    pub(super) fn finish(mut self) {
        if self.wide.is_empty() {
            return;
        }
        self.wide.sort_unstable();
        let mut from = self.out.len();
        let mut to = from + self.widening;
        self.out.resize(to, 0);
        for &(at, len) in self.wide.iter().rev() {
            to -= from - (at + 1);
            self.out.copy_within(at + 1..from, to);
            let width = varint_len(len);
            to -= width;
            let mut rest = len;
            for byte in &mut self.out[to..to + width - 1] {
                *byte = rest as u8 | 0x80;
                rest >>= 7;
            }
            self.out[to + width - 1] = rest as u8;
            from = at;
        }
    }
}

fn varint_len(value: usize) -> usize {
    (usize::BITS - (value | 1).leading_zeros()).div_ceil(7) as usize
}

/// A message is not protobuf.
#[derive(Debug)]
pub(super) struct Malformed;

/// Takes a varint off the front.
pub(super) fn varint(data: &mut &[u8]) -> Result<u64, Malformed> {
    if let [byte @ 0..0x80, rest @ ..] = *data {
        *data = rest;
        return Ok((*byte).into());
    }
    let mut value = 0;
    for (index, &byte) in data.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            if index == 9 && byte > 1 {
                return Err(Malformed);
            }
            *data = &data[index + 1..];
            return Ok(value);
        }
    }
    Err(Malformed)
}

/// Takes a tag off the front: number and wire type.
pub(super) fn tag(data: &mut &[u8]) -> Result<(u32, u8), Malformed> {
    let tag = u32::try_from(varint(data)?).map_err(|_| Malformed)?;
    if tag < 8 {
        return Err(Malformed);
    }
    Ok((tag >> 3, (tag & 7) as u8))
}

/// Takes the value of a field off the front; of a message or of bytes without their length, of a group without its end.
pub(super) fn value<'a>(data: &mut &'a [u8], number: u32, wire: u8) -> Result<&'a [u8], Malformed> {
    let all = *data;
    let len = match wire {
        VARINT => {
            varint(data)?;
            return Ok(&all[..all.len() - data.len()]);
        }
        FIXED64 => 8,
        FIXED32 => 4,
        LEN => usize::try_from(varint(data)?).map_err(|_| Malformed)?,
        GROUP => return group(data, number),
        _ => return Err(Malformed),
    };
    let (value, rest) = data.split_at_checked(len).ok_or(Malformed)?;
    *data = rest;
    Ok(value)
}

fn group<'a>(data: &mut &'a [u8], number: u32) -> Result<&'a [u8], Malformed> {
    let all = *data;
    let mut around = vec![number];
    loop {
        let end = all.len() - data.len();
        let (number, wire) = tag(data)?;
        match wire {
            GROUP if around.len() < MAX_GROUPS => around.push(number),
            GROUP => return Err(Malformed),
            GROUP_END if around.pop() != Some(number) => return Err(Malformed),
            GROUP_END if around.is_empty() => return Ok(&all[..end]),
            GROUP_END => {}
            _ => drop(value(data, number, wire)?),
        }
    }
}

/// The fields of a message.
pub(super) fn fields(mut data: &[u8]) -> impl Iterator<Item = Result<(u32, u8, &[u8]), Malformed>> {
    std::iter::from_fn(move || {
        if data.is_empty() {
            return None;
        }
        let field = tag(&mut data)
            .and_then(|(number, wire)| Ok((number, wire, value(&mut data, number, wire)?)));
        if field.is_err() {
            data = &[];
        }
        Some(field)
    })
}
