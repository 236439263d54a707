//! Verifies webhooks of Posthorn. The body is the raw one, before anything parsed it.

use base64::{engine::general_purpose::STANDARD, Engine};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

const TOLERANCE_SECONDS: u64 = 300;

/// Format `standard`: the values of webhook-id, webhook-timestamp and webhook-signature; `now` in unix seconds.
pub fn standard(
    body: &[u8],
    id: &str,
    timestamp: &str,
    signatures: &str,
    secret: &str,
    now: u64,
) -> bool {
    let Ok(key) = STANDARD.decode(secret.strip_prefix("whsec_").unwrap_or(secret)) else {
        return false;
    };
    let head = format!("{id}.{timestamp}.");
    // Other versions than v1 are not for us.
    let decode = |signature: &str| STANDARD.decode(signature.strip_prefix("v1,")?).ok();
    is_fresh(timestamp, now) && is_among(signatures, decode, &key, head.as_bytes(), body)
}

/// Formats `grantex`, `grantiva`, `lexigram` (prefix `sha256=`) and `gravv` (no prefix): the value of the signature
/// header. While secrets rotate, try the header with `-Alternate` behind its name too.
pub fn body_signature(body: &[u8], signature: &str, prefix: &str, secret: &str) -> bool {
    is_hex_mac(signature, prefix, secret, b"", body)
}

/// X-Grantex-Signature-V2, which covers X-Grantex-Timestamp too: old requests cannot be replayed.
pub fn timestamped(body: &[u8], timestamp: &str, signature: &str, secret: &str, now: u64) -> bool {
    let head = format!("{timestamp}.");
    is_fresh(timestamp, now) && is_hex_mac(signature, "sha256=", secret, head.as_bytes(), body)
}

fn is_hex_mac(signature: &str, prefix: &str, secret: &str, head: &[u8], body: &[u8]) -> bool {
    let decode = |signature: &str| {
        let digits = signature.strip_prefix(prefix)?;
        // They are sent in lower case, and what is verified is what was sent.
        let is_lower = !digits.contains(|digit: char| digit.is_ascii_uppercase());
        is_lower.then(|| hex::decode(digits).ok()).flatten()
    };
    is_among(signature, decode, secret.as_bytes(), head, body)
}

/// While secrets rotate there are several signatures, parted by spaces.
fn is_among(
    signatures: &str,
    decode: impl Fn(&str) -> Option<Vec<u8>>,
    key: &[u8],
    head: &[u8],
    body: &[u8],
) -> bool {
    // A secret that was never set must not verify anything. A header that came twice is not ours; servers join the two.
    if key.is_empty() || signatures.contains(", ") {
        return false;
    }
    let Ok(mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return false;
    };
    let mac = mac.chain_update(head).chain_update(body);
    // verify_slice compares in constant time.
    signatures
        .split(' ')
        .filter_map(decode)
        .any(|given| mac.clone().verify_slice(&given).is_ok())
}

fn is_fresh(timestamp: &str, now: u64) -> bool {
    // As it is sent; `parse` alone would take a plus sign, and any number of zeros.
    let is_time = timestamp.len() <= 12 && timestamp.bytes().all(|byte| byte.is_ascii_digit());
    is_time
        && timestamp
            .parse::<u64>()
            .is_ok_and(|at| at.abs_diff(now) <= TOLERANCE_SECONDS)
}
