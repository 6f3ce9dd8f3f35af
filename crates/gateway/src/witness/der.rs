//! As much of DER (X.690) as a time stamp needs.

/// Tags.
pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTETS: u8 = 0x04;
pub(super) const NULL: u8 = 0x05;
pub(super) const OID: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
/// `[0]`, around a value.
pub(super) const FIRST: u8 = 0xa0;

/// Writes one value.
pub(super) fn value(tag: u8, contents: &[&[u8]]) -> Vec<u8> {
    let length: usize = contents.iter().map(|part| part.len()).sum();
    let mut out = vec![tag];
    if let Ok(short @ 0..=0x7f) = u8::try_from(length) {
        out.push(short);
    } else {
        let bytes = length.to_be_bytes();
        let bytes = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
        out.push(0x80 | bytes.len() as u8);
        out.extend_from_slice(bytes);
    }
    for part in contents {
        out.extend_from_slice(part);
    }
    out
}

/// Writes a number that is not negative.
pub(super) fn integer(bytes: &[u8]) -> Vec<u8> {
    let bytes = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
    let sign: &[u8] = if bytes.first().is_none_or(|first| *first >= 0x80) { &[0] } else { &[] };
    value(INTEGER, &[sign, bytes])
}

/// Takes the next value: its tag and its contents.
pub(super) fn next<'a>(input: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&tag, rest) = input.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let length = if first < 0x80 {
        usize::from(first)
    } else {
        let count = usize::from(first & 0x7f);
        let (digits, after) = rest.split_at_checked(count).filter(|_| (1..=4).contains(&count))?;
        rest = after;
        digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit))
    };
    let (contents, after) = rest.split_at_checked(length)?;
    *input = after;
    Some((tag, contents))
}

/// Takes the next value if it has this tag.
pub(super) fn take<'a>(input: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    next(input).filter(|(found, _)| *found == tag).map(|(_, contents)| contents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_every_length_are_read_as_they_were_written() {
        for length in [0, 1, 127, 128, 255, 256, 70_000] {
            let contents = vec![7; length];
            let written = value(OCTETS, &[&contents]);
            let mut input = written.as_slice();
            assert_eq!(take(&mut input, OCTETS), Some(contents.as_slice()), "{length}");
            assert!(input.is_empty());
            for cut in 0..written.len().min(300) {
                assert_eq!(next(&mut &written[..cut]), None, "{length} cut to {cut}");
            }
        }
        assert_eq!(integer(&[0, 0, 1]), [2, 1, 1]);
        assert_eq!(integer(&[0x80]), [2, 2, 0, 0x80]);
        assert_eq!(integer(&[0]), [2, 1, 0]);
        // Longer than anything there is, and of a length that nobody says.
        for bad in [&[4, 0x84, 0xff, 0xff, 0xff, 0xff][..], &[4, 0x80, 0, 0], &[4, 0x89, 1, 1, 1, 1, 1, 1, 1, 1, 1]] {
            assert_eq!(next(&mut &*bad), None);
        }
    }
}
