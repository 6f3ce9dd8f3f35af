//! Messages in the binary form of Protocol Buffers: as much of it as OTLP needs.

use super::trace::Value;

/// A message that is being written.
#[derive(Default)]
pub struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    /// A field of wire type 0.
    pub fn number(&mut self, field: u64, number: u64) -> &mut Self {
        self.varint(field << 3);
        self.varint(number);
        self
    }

    /// A field of wire type 1.
    pub fn fixed64(&mut self, field: u64, number: u64) -> &mut Self {
        self.varint((field << 3) | 1);
        self.0.extend(number.to_le_bytes());
        self
    }

    /// A field of wire type 5.
    pub fn fixed32(&mut self, field: u64, number: u32) -> &mut Self {
        self.varint((field << 3) | 5);
        self.0.extend(number.to_le_bytes());
        self
    }

    /// A field of wire type 2: a text, bytes, or a message that is written already.
    pub fn bytes(&mut self, field: u64, bytes: &[u8]) -> &mut Self {
        self.varint((field << 3) | 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
        self
    }

    /// A field that is a message.
    pub fn message(&mut self, field: u64, write: impl FnOnce(&mut Self)) -> &mut Self {
        let mut inner = Self::default();
        write(&mut inner);
        self.bytes(field, &inner.0)
    }

    /// A `KeyValue` of OTLP.
    pub fn attribute(&mut self, field: u64, key: &str, value: &Value) -> &mut Self {
        self.message(field, |pair| {
            pair.bytes(1, key.as_bytes()).message(2, |any| {
                match value {
                    Value::Text(text) => any.bytes(1, text.as_bytes()),
                    Value::Number(number) => any.number(3, *number as u64),
                };
            });
        })
    }

    /// The message, written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// The first field of a message that has this number and is a number or bytes; `None` also where the message is none.
pub fn field(mut message: &[u8], wanted: u64) -> Option<Field<'_>> {
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        let found = match tag & 7 {
            0 => Field::Number(varint(&mut message)?),
            1 => Field::Bytes(take(&mut message, 8)?),
            2 => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                Field::Bytes(take(&mut message, length)?)
            }
            5 => Field::Bytes(take(&mut message, 4)?),
            _ => return None,
        };
        if tag >> 3 == wanted {
            return Some(found);
        }
    }
    None
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field<'m> {
    /// Of wire type 0.
    Number(u64),
    /// Of any other.
    Bytes(&'m [u8]),
}

fn take<'m>(message: &mut &'m [u8], length: usize) -> Option<&'m [u8]> {
    let (taken, rest) = message.split_at_checked(length)?;
    *message = rest;
    Some(taken)
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for place in 0..10 {
        let byte = take(message, 1)?[0];
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_the_wire_form_of_protocol_buffers_and_are_found_again() {
        let mut message = Message::default();
        message.number(1, 300).fixed64(7, 1).fixed32(16, 1).bytes(5, b"x");
        let bytes = message.into_bytes();
        assert_eq!(bytes, [0x08, 0xac, 0x02, 0x39, 1, 0, 0, 0, 0, 0, 0, 0, 0x85, 0x01, 1, 0, 0, 0, 0x2a, 1, b'x']);
        assert_eq!(field(&bytes, 1), Some(Field::Number(300)));
        assert_eq!(field(&bytes, 5), Some(Field::Bytes(b"x")));
        assert_eq!(field(&bytes, 2), None);
        // Whatever is not a message is read without a panic.
        for end in 0..bytes.len() {
            field(&bytes[..end], 5);
        }
        assert_eq!(field(&[0xff; 20], 5), None);
        assert_eq!(field(&[0x2a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], 5), None);
    }
}
