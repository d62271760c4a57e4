//! What Japanese keyboards make of digits and dots is read as digits and dots.

use std::net::Ipv4Addr;

/// Full-width letters, digits and signs become half-width; ends are trimmed.
pub fn halved(text: &str) -> String {
    let half = |c: char| match c {
        // The full-width forms stand in Unicode in ASCII's own order.
        '！'..='～' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        '\u{3000}' => ' ',
        '。' | '｡' => '.',
        '、' | '､' => ',',
        'ー' | '−' | '‐' | '–' => '-',
        '\r' => '\n',
        other => other,
    };
    text.chars().map(half).collect::<String>().trim().to_owned()
}

/// Reads a mask in any way people write one: `255.255.255.0`, `/24`, `24`.
pub fn mask_prefix(text: &str) -> Option<u8> {
    let text = text.trim();
    let digits = text.strip_prefix('/').unwrap_or(text).trim();
    if let Ok(prefix) = digits.parse::<u8>() {
        return (prefix <= 32).then_some(prefix);
    }
    let mask = u32::from(text.parse::<Ipv4Addr>().ok()?);
    let prefix = mask.leading_ones();
    (mask.count_ones() == prefix).then(|| u8::try_from(prefix).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_width_is_read_as_half_width() {
        assert_eq!(halved("　１９２．１６８。１０｡９／２４ "), "192.168.10.9/24");
        assert_eq!(halved("１０、２０"), "10,20");
        assert_eq!(halved("ＴＥＮＰＯ－０００１"), "TENPO-0001");
        assert_eq!(halved("ひまわり薬局"), "ひまわり薬局");
    }

    #[test]
    fn a_mask_is_read_however_it_is_written() {
        for text in ["255.255.255.0", "/24", "24", " / 24"] {
            assert_eq!(mask_prefix(text), Some(24), "{text}");
        }
        assert_eq!(mask_prefix("255.255.255.255"), Some(32));
        assert_eq!(mask_prefix("0.0.0.0"), Some(0));
        for text in ["255.0.255.0", "33", "/x", "", "255.255.255"] {
            assert_eq!(mask_prefix(text), None, "{text}");
        }
    }
}
