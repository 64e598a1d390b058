//! PASETO's pre-authentication encoding (paseto-standard/paseto-spec, "Common implementation details").

/// Joins pieces so that no two different lists give the same bytes: their number, then each one's length and bytes, all
/// numbers as 64 bits little-endian with the highest bit clear.
#[must_use]
pub fn pae(pieces: &[&[u8]]) -> Vec<u8> {
    let total = pieces.iter().map(|piece| 8 + piece.len()).sum::<usize>();
    let mut out = Vec::with_capacity(8 + total);
    out.extend_from_slice(&le64(pieces.len()));
    for piece in pieces {
        out.extend_from_slice(&le64(piece.len()));
        out.extend_from_slice(piece);
    }
    out
}

fn le64(n: usize) -> [u8; 8] {
    (n as u64 & (u64::MAX >> 1)).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::pae;

    /// The vectors of the PASETO specification.
    #[test]
    fn the_specification_s_vectors() {
        assert_eq!(pae(&[]), b"\0\0\0\0\0\0\0\0");
        assert_eq!(pae(&[b""]), b"\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        assert_eq!(pae(&[b"test"]), b"\x01\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0test");
    }

    #[test]
    fn where_a_piece_ends_matters() {
        assert_ne!(pae(&[b"ab", b"c"]), pae(&[b"a", b"bc"]));
        assert_ne!(pae(&[b"abc"]), pae(&[b"abc", b""]));
    }
}
