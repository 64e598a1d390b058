//! Masking (RFC 6455 section 5.3): each payload byte is XORed with the key's byte at its position modulo four.

/// Masks or unmasks `bytes` in place. `position` is where `bytes` starts within the frame's payload.
pub(crate) fn apply(bytes: &mut [u8], mut key: [u8; 4], position: usize) {
    key.rotate_left(position & 3);
    let word = u32::from_ne_bytes(key);
    let wide = u64::from(word) << 32 | u64::from(word);
    // Fixed-size chunks of whole words: the compiler turns them into vector instructions without unsafe code.
    let (blocks, rest) = bytes.as_chunks_mut::<32>();
    for block in blocks {
        for lane in block.as_chunks_mut::<8>().0 {
            *lane = (u64::from_ne_bytes(*lane) ^ wide).to_ne_bytes();
        }
    }
    let (lanes, tail) = rest.as_chunks_mut::<8>();
    for lane in lanes {
        *lane = (u64::from_ne_bytes(*lane) ^ wide).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(wide.to_ne_bytes()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_the_definition(bytes: Vec<u8>, key: [u8; 4], position in 0usize..9) {
            let expected: Vec<u8> =
                bytes.iter().enumerate().map(|(i, byte)| byte ^ key[(i + position) % 4]).collect();
            let mut actual = bytes;
            apply(&mut actual, key, position);
            prop_assert_eq!(actual, expected);
        }
    }
}
