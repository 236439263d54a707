//! Puts the recipe to the test. Each line of stdin is one request: format, seconds now, and in base64 the secret, the
//! body and six headers (`-` where one is missing). Each line of stdout is `true` or `false`.

use base64::{engine::general_purpose::STANDARD, Engine};
use std::io::stdin;
use verify::{body_signature, standard, timestamped};

fn main() {
    for line in stdin().lines() {
        let line = line.expect("a line");
        let fields: Vec<&str> = line.split('\t').collect();
        let text = |i: usize| -> Option<String> {
            (fields[i] != "-").then(|| String::from_utf8(bytes(fields[i])).expect("UTF-8"))
        };
        let now = fields[1].parse().expect("seconds");
        let secret = text(2).expect("a secret");
        let body = bytes(fields[3]);
        println!(
            "{}",
            check(
                fields[0],
                now,
                &secret,
                &body,
                [text(4), text(5), text(6), text(7), text(8), text(9)]
            )
        );
    }
}

type Headers = [Option<String>; 6];

fn check(format: &str, now: u64, secret: &str, body: &[u8], headers: Headers) -> bool {
    let [id, timestamp, signature, alternate, second, second_alternate] = headers;
    if format == "standard" {
        return match (id, timestamp, signature) {
            (Some(id), Some(timestamp), Some(signature)) => {
                standard(body, &id, &timestamp, &signature, secret, now)
            }
            _ => false,
        };
    }
    let prefix = if format == "gravv" { "" } else { "sha256=" };
    let (Some(signature), alternate) = (signature, alternate.unwrap_or_default()) else {
        return false;
    };
    if !body_signature(body, &signature, prefix, secret)
        && !body_signature(body, &alternate, prefix, secret)
    {
        return false;
    }
    if format != "grantex" {
        return true;
    }
    let (Some(timestamp), Some(second)) = (timestamp, second) else {
        return false;
    };
    timestamped(body, &timestamp, &second, secret, now)
        || timestamped(
            body,
            &timestamp,
            &second_alternate.unwrap_or_default(),
            secret,
            now,
        )
}

fn bytes(text: &str) -> Vec<u8> {
    STANDARD.decode(text).expect("base64")
}
