//! The sections of a PEM file, all of them or an error: a skipped section would be a certificate that is not sent.
//!
//! RFC 7468 parsers ignore every line outside a section, so a `BEGIN` that is indented, joined to the previous line or
//! after a byte order mark is skipped silently. [`sections`] counts the boundaries first and rejects a file in which
//! one of them would not be read.

use rustls::pki_types::pem::{PemObject, SectionKind};

/// Labels of sections that tools write beside a key and that are not needed here.
const PARAMETERS: [&str; 2] = ["EC PARAMETERS", "DH PARAMETERS"];

/// A section that was read.
#[derive(Debug)]
pub(super) struct Section {
    /// The kind that its label names.
    pub(super) kind: SectionKind,
    /// The line of its `BEGIN`, from 1.
    pub(super) line: usize,
    /// The decoded bytes.
    pub(super) der: Vec<u8>,
}

/// All sections of a file except parameters; the error names the fault and its line.
pub(super) fn sections(file: &[u8]) -> Result<Vec<Section>, String> {
    if file.starts_with(b"\xef\xbb\xbf") {
        return Err("begins with a byte order mark; save it as UTF-8 without one".into());
    }
    if file.starts_with(b"\xff\xfe") || file.starts_with(b"\xfe\xff") {
        return Err("is UTF-16; save it as plain text".into());
    }
    let mut found = Vec::new();
    let mut open: Option<(String, usize, Vec<u8>)> = None;
    for (at, line) in lines(file).enumerate() {
        let number = at + 1;
        match (boundary(line, number)?, open.take()) {
            (Some(Boundary::Begin(label)), None) => open = Some((label, number, with_end(line))),
            (Some(Boundary::Begin(_)), Some((label, from, _))) => {
                return Err(format!("has no END of the section {label} that begins on line {from}"));
            }
            (Some(Boundary::End(end)), Some((label, from, mut text))) if end == label => {
                text.extend(with_end(line));
                found.extend(section(&label, from, &text)?);
            }
            (Some(Boundary::End(end)), _) => {
                return Err(format!("has an END of {end} on line {number} without its BEGIN"));
            }
            (None, Some((label, from, mut text))) => {
                text.extend(with_end(line));
                open = Some((label, from, text));
            }
            (None, None) => {}
        }
    }
    match open {
        Some((label, from, _)) => {
            Err(format!("has no END of the section {label} that begins on line {from}"))
        }
        None => Ok(found),
    }
}

enum Boundary {
    Begin(String),
    End(String),
}

/// The boundary on a line, if it is one; a boundary that parsers would not recognise is an error.
fn boundary(line: &[u8], number: usize) -> Result<Option<Boundary>, String> {
    let line = String::from_utf8_lossy(line);
    if !line.contains("-BEGIN ") && !line.contains("-END ") {
        return Ok(None);
    }
    let label = |word: &str| {
        let label = line.strip_prefix(word)?.trim_end().strip_suffix("-----")?;
        (!label.is_empty() && !label.contains('-')).then(|| label.to_owned())
    };
    match (label("-----BEGIN "), label("-----END ")) {
        (Some(label), _) => Ok(Some(Boundary::Begin(label))),
        (_, Some(label)) => Ok(Some(Boundary::End(label))),
        _ => Err(format!(
            "has a BEGIN or END on line {number} that does not stand alone on its line (-----BEGIN LABEL-----)"
        )),
    }
}

fn section(label: &str, line: usize, text: &[u8]) -> Result<Option<Section>, String> {
    if PARAMETERS.contains(&label) {
        return Ok(None);
    }
    let read = <(SectionKind, Vec<u8>)>::pem_slice_iter(text).next().transpose();
    match read {
        Ok(Some((kind, der))) => Ok(Some(Section { kind, line, der })),
        Ok(None) if label.starts_with("ENCRYPTED") => {
            Err(format!("has a section {label} on line {line}; store the key without a password"))
        }
        Ok(None) => Err(format!("has a section {label} on line {line}, which is not used here; remove it")),
        Err(error) => Err(format!("has a section {label} on line {line} that is not PEM: {error}")),
    }
}

fn lines(file: &[u8]) -> impl Iterator<Item = &[u8]> {
    file.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

fn with_end(line: &[u8]) -> Vec<u8> {
    [line, b"\n"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

    fn refused(file: impl AsRef<[u8]>) -> String {
        sections(file.as_ref()).expect_err("it was read")
    }

    #[test]
    fn every_section_is_read_with_text_and_either_line_end_between() {
        let file = format!("Certificate:\n    Data: x\n{ONE}\n\n# next\n{ONE}").replace("# next", "s:/CN=x");
        for file in [file.clone(), file.replace('\n', "\r\n"), file.trim_end().to_owned()] {
            let found = sections(file.as_bytes()).unwrap();
            let lines: Vec<_> = found.iter().map(|s| (s.kind, s.line, s.der.len())).collect();
            let kind = SectionKind::Certificate;
            assert_eq!(lines, [(kind, 3, 3), (kind, 9, 3)], "{file}");
        }
        let ec = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
        assert_eq!(sections(format!("{ec}{ONE}").as_bytes()).unwrap().len(), 1);
        assert!(sections(b"no section at all").unwrap().is_empty());
    }

    #[test]
    fn a_section_that_would_be_skipped_is_an_error_with_its_line() {
        let glued = format!("{}{ONE}", ONE.trim_end());
        for (file, says) in [
            (glued, "line 3"),
            (format!("{ONE}  {ONE}"), "line 4"),
            (format!("{ONE}x{ONE}"), "line 4"),
            (format!("{ONE}-{ONE}"), "line 4"),
            (ONE.replace("-----BEGIN", "----BEGIN"), "line 1"),
            (ONE.replace("CERTIFICATE-----\nA", "CERTIFICATE----\nA"), "line 1"),
            (ONE.replace("CERTIFICATE-----\nA", "CERTIFICATE-----x\nA"), "line 1"),
            (format!("\u{feff}{ONE}"), "byte order mark"),
            (ONE.replace("-----END CERTIFICATE-----", ""), "no END of the section CERTIFICATE"),
            (ONE.replace("END CERT", "END X509 CERT"), "line 3 without its BEGIN"),
            (format!("{ONE}-----END CERTIFICATE-----\n"), "line 4 without its BEGIN"),
            (ONE.replace("-----END CERTIFICATE-----\n", ONE), "no END of the section CERTIFICATE"),
            (ONE.replace("CERTIFICATE", "TRUSTED CERTIFICATE"), "TRUSTED CERTIFICATE on line 1"),
            (ONE.replace("CERTIFICATE", "X509 CERTIFICATE"), "X509 CERTIFICATE on line 1"),
            (ONE.replace("AAAA", "A!A"), "line 1 that is not PEM"),
        ] {
            let said = refused(&file);
            assert!(said.contains(says), "{file}: {said}");
        }
        let utf_16: Vec<u8> = ONE.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(refused([&b"\xff\xfe"[..], &utf_16].concat()).contains("UTF-16"));
    }
}
