//! Test vectors from outside this project: Wycheproof, the RFCs, and the lists of dangerous points.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::montgomery::MontgomeryPoint;
use ed25519_dalek::{Signer as _, SigningKey};
use fanfare_e2ee::{EncryptionKey, IdentityKey, KeyError, verify};
use wycheproof::{TestResult, eddsa, xdh};

fn hex<const N: usize>(text: &str) -> [u8; N] {
    let bytes: Vec<u8> =
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect();
    bytes.try_into().unwrap()
}

#[test]
fn wycheproof_ed25519() {
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    let mut judged = 0;
    for group in set.test_groups {
        let key = IdentityKey::new(group.key.pk.to_vec().try_into().unwrap()).unwrap();
        for test in group.tests {
            let signature: Result<[u8; 64], _> = test.sig.to_vec().try_into();
            // A signature of another length cannot be passed to `verify`.
            let holds = signature.is_ok_and(|signature| verify(&key, &test.msg, &signature));
            assert_eq!(holds, test.result == TestResult::Valid, "test {}: {}", test.tc_id, test.comment);
            judged += 1;
        }
    }
    assert!(judged >= 150, "{judged}");
}

/// The key check agrees with the exchange: it rejects exactly the keys that make a shared secret zero.
#[test]
fn wycheproof_x25519() {
    let set = xdh::TestSet::load(xdh::TestName::X25519).unwrap();
    let (mut judged, mut refused) = (0, 0);
    for test in set.test_groups.into_iter().flat_map(|group| group.tests) {
        let Ok(public) = <[u8; 32]>::try_from(test.public_key.to_vec()) else { continue };
        let private: [u8; 32] = test.private_key.to_vec().try_into().unwrap();
        let shared = MontgomeryPoint(public).mul_clamped(private).to_bytes();
        assert_eq!(shared[..], test.shared_secret[..], "test {}: {}", test.tc_id, test.comment);
        assert_eq!(EncryptionKey::new(public).is_err(), shared == [0; 32], "test {}", test.tc_id);
        judged += 1;
        refused += usize::from(shared == [0; 32]);
    }
    assert!(judged >= 500 && refused >= 30, "{judged} {refused}");
}

/// RFC 8032 section 7.1, tests 1 and 2.
#[test]
fn rfc_8032() {
    let cases = [
        (
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            &b""[..],
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            b"\x72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
    ];
    for (key, message, signature) in cases {
        let key = IdentityKey::new(hex(key)).unwrap();
        assert!(verify(&key, message, &hex(signature)));
        assert!(!verify(&key, b"other", &hex(signature)));
    }
}

/// The points of small order, in each encoding that decompresses ("Taming the many EdDSAs", table 1).
#[test]
fn small_order_identity_keys_are_weak() {
    let ends = |first: &str, middle: &str, last: &str| format!("{first}{}{last}", middle.repeat(30));
    let y8 = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc";
    let minus_y8 = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03";
    let points = [
        ends("01", "00", "00"),
        ends("01", "00", "80"),
        ends("00", "00", "00"),
        ends("00", "00", "80"),
        ends("ec", "ff", "7f"),
        ends("ec", "ff", "ff"),
        ends("ed", "ff", "7f"),
        ends("ed", "ff", "ff"),
        ends("ee", "ff", "7f"),
        ends("ee", "ff", "ff"),
        format!("{y8}05"),
        format!("{y8}85"),
        format!("{minus_y8}7a"),
        format!("{minus_y8}fa"),
    ];
    for point in points {
        assert_eq!(IdentityKey::new(hex(&point)), Err(KeyError::Weak), "{point}");
    }
}

#[test]
fn identity_keys_with_a_small_order_part_are_weak() {
    let key = SigningKey::from_bytes(&[7; 32]).verifying_key().to_bytes();
    assert!(IdentityKey::new(key).is_ok());
    let point = CompressedEdwardsY(key).decompress().unwrap();
    for torsion in &EIGHT_TORSION[1..] {
        assert_eq!(IdentityKey::new((point + torsion).compress().to_bytes()), Err(KeyError::Weak));
    }
}

#[test]
fn non_canonical_and_impossible_identity_keys_are_refused() {
    // y from p to 2^255 - 1 has a second, smaller spelling; where it is a point at all it is weak.
    for low in 0xed..=0xff_u8 {
        for high in [0x7f, 0xff] {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (low, high);
            assert!(IdentityKey::new(bytes).is_err(), "{low:x} {high:x}");
        }
    }
    let mut two = [0; 32];
    two[0] = 2;
    assert_eq!(IdentityKey::new(two), Err(KeyError::Malformed), "y = 2 is no point");
}

/// The low-order points of Curve25519 and its twist in each encoding (cr.yp.to/ecdh.html), also with the ignored top bit.
#[test]
fn low_order_encryption_keys_are_weak() {
    let ends = |first: &str, middle: &str, last: &str| format!("{first}{}{last}", middle.repeat(30));
    let points = [
        ends("00", "00", "00"),
        ends("01", "00", "00"),
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800".into(),
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157".into(),
        ends("ec", "ff", "7f"),
        ends("ed", "ff", "7f"),
        ends("ee", "ff", "7f"),
    ];
    for point in points {
        let mut bytes: [u8; 32] = hex(&point);
        assert_eq!(EncryptionKey::new(bytes), Err(KeyError::Weak), "{point}");
        bytes[31] |= 0x80;
        assert_eq!(EncryptionKey::new(bytes), Err(KeyError::Weak), "{point} with the top bit");
    }
    let mut base = [0; 32];
    base[0] = 9;
    assert!(EncryptionKey::new(base).is_ok());
}

/// A signature whose `R` is of small order does not prove its author: plain verification accepts some, strict
/// verification none.
#[test]
fn verification_is_strict() {
    let signing = SigningKey::from_bytes(&[7; 32]);
    let key = IdentityKey::new(signing.verifying_key().to_bytes()).unwrap();
    let valid = signing.sign(b"m").to_bytes();
    assert!(verify(&key, b"m", &valid));
    for torsion in &EIGHT_TORSION[1..] {
        let mut signature = valid;
        let r = CompressedEdwardsY(valid[..32].try_into().unwrap()).decompress().unwrap();
        signature[..32].copy_from_slice(&(r + torsion).compress().to_bytes());
        assert!(!verify(&key, b"m", &signature));
        signature[..32].copy_from_slice(&torsion.compress().to_bytes());
        assert!(!verify(&key, b"m", &signature));
    }
}
