//! Small JSON pieces that the dialects share: strings and numbers out, depth in.

/// Appends a JSON string.
pub fn write_str(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut from = 0;
    for (at, &b) in bytes.iter().enumerate() {
        if b >= 0x20 && b != b'"' && b != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[from..at]);
        from = at + 1;
        match b {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(b >> 4)]);
                out.push(HEX[usize::from(b & 15)]);
            }
        }
    }
    out.extend_from_slice(&bytes[from..]);
    out.push(b'"');
}

/// Appends an unsigned integer.
pub fn write_u64(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Whether a valid JSON text nests deeper than `max` levels.
pub fn is_deeper_than(text: &str, max: usize) -> bool {
    if !text.starts_with(['{', '[']) || crate::scan::brackets(text) <= max {
        return false; // the usual case, one vectorised pass at most
    }
    crate::scan::facts(text).depth > max
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_come_back() {
        for text in ["", "plain", "\"q\"\\", "\u{0}\u{1f}\n\r\t\u{7f}", "é漢😀"] {
            let mut out = Vec::new();
            write_str(&mut out, text);
            assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }

    #[test]
    fn depth_ignores_brackets_in_strings() {
        let nest = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(!is_deeper_than(&nest(128), 128));
        assert!(is_deeper_than(&nest(129), 128));
        assert!(!is_deeper_than(&format!("[{:?}]", "[{".repeat(200)), 128));
        assert!(!is_deeper_than(r#"["\"[[[[", {"a":[1]}]"#, 3));
        assert!(!is_deeper_than(&format!("[{}]", vec!["[]"; 200].join(",")), 2));
    }

    #[test]
    fn numbers() {
        for n in [0, 7, 10, u64::MAX] {
            let mut out = Vec::new();
            write_u64(&mut out, n);
            assert_eq!(out, n.to_string().as_bytes());
        }
    }
}
