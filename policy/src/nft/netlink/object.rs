// SPDX-License-Identifier: MIT OR Apache-2.0
//! Numbers of the attributes that describe tables, chains, rules, sets and elements, and the type
//! codes and user data by which the nft program prints them.

/// `enum nft_table_attributes` and table flags.
pub(crate) mod table {
    pub(crate) const NAME: u16 = 1;
    pub(crate) const FLAGS: u16 = 2;
    pub(crate) const USE: u16 = 3;
    pub(crate) const USERDATA: u16 = 6;
    pub(crate) const OWNER: u16 = 7;

    /// Only the owning socket may change the table.
    pub(crate) const F_OWNER: u32 = 2;
    /// The table outlives its owner. Kernel 6.9.
    pub(crate) const F_PERSIST: u32 = 4;
    /// User data of type comment.
    pub(crate) const UDATA_COMMENT: u8 = 0;
}

/// `enum nft_chain_attributes` and `enum nft_hook_attributes`.
pub(crate) mod chain {
    pub(crate) const TABLE: u16 = 1;
    pub(crate) const NAME: u16 = 3;
    pub(crate) const HOOK: u16 = 4;
    pub(crate) const POLICY: u16 = 5;
    pub(crate) const TYPE: u16 = 7;

    pub(crate) const HOOK_NUMBER: u16 = 1;
    pub(crate) const HOOK_PRIORITY: u16 = 2;
}

/// `enum nft_rule_attributes`.
pub(crate) mod rule {
    pub(crate) const TABLE: u16 = 1;
    pub(crate) const CHAIN: u16 = 2;
    pub(crate) const EXPRESSIONS: u16 = 4;
    pub(crate) const USERDATA: u16 = 7;

    /// User data of type comment.
    pub(crate) const UDATA_COMMENT: u8 = 0;
}

/// `enum nft_set_attributes` and set flags.
pub(crate) mod set {
    pub(crate) const TABLE: u16 = 1;
    pub(crate) const NAME: u16 = 2;
    pub(crate) const FLAGS: u16 = 3;
    pub(crate) const KEY_TYPE: u16 = 4;
    pub(crate) const KEY_LEN: u16 = 5;
    pub(crate) const DATA_TYPE: u16 = 6;
    pub(crate) const ID: u16 = 10;
    pub(crate) const USERDATA: u16 = 13;
    /// Number of elements, where the kernel says it.
    pub(crate) const COUNT: u16 = 20;

    pub(crate) const F_ANONYMOUS: u32 = 1;
    pub(crate) const F_INTERVAL: u32 = 4;
    pub(crate) const F_MAP: u32 = 8;

    /// Data type of a verdict map (`NFT_DATA_VERDICT`).
    pub(crate) const VERDICT: u32 = 0xffff_ff00;

    /// User data: byte order of the keys, without which nft prints them reversed.
    pub(crate) const UDATA_KEY_ORDER: u8 = 0;
    /// User data: comment.
    pub(crate) const UDATA_COMMENT: u8 = 7;
    /// nft's number for host byte order.
    pub(crate) const ORDER_HOST: u32 = 1;
    /// nft's number for network byte order.
    pub(crate) const ORDER_NETWORK: u32 = 2;
    /// nft's number for the mixed byte order of a concatenation.
    pub(crate) const ORDER_MIXED: u32 = 0;
}

/// `enum nft_set_elem_list_attributes` and `enum nft_set_elem_attributes`.
pub(crate) mod element {
    pub(crate) const TABLE: u16 = 1;
    pub(crate) const SET: u16 = 2;
    pub(crate) const ELEMENTS: u16 = 3;

    pub(crate) const KEY: u16 = 1;
    pub(crate) const DATA: u16 = 2;
    pub(crate) const FLAGS: u16 = 3;

    pub(crate) const USERDATA: u16 = 6;

    /// The element ends an interval; its key is the first value behind it.
    pub(crate) const F_INTERVAL_END: u32 = 1;

    /// User data: flags of nft.
    pub(crate) const UDATA_FLAGS: u8 = 1;
    /// nft's flag of an interval that reaches to the highest value.
    pub(crate) const UDATA_OPEN: u32 = 1;

    /// Raw value of a datum.
    pub(crate) const DATA_VALUE: u16 = 1;
    /// Verdict of a datum.
    pub(crate) const DATA_VERDICT: u16 = 2;
    /// Number of a verdict.
    pub(crate) const VERDICT_CODE: u16 = 1;
    /// Chain of a verdict.
    pub(crate) const VERDICT_CHAIN: u16 = 2;
}

/// Type codes of the nft program; the kernel only stores them.
pub(crate) mod datatype {
    pub(crate) const IPV4_ADDR: u32 = 7;
    pub(crate) const IPV6_ADDR: u32 = 8;
    pub(crate) const INET_SERVICE: u32 = 13;
    pub(crate) const IFNAME: u32 = 41;

    /// The code of a concatenation: six bits for each part.
    pub(crate) const fn pair(first: u32, second: u32) -> u32 {
        first << 6 | second
    }
}

/// User data is a list of type, length (8 bits each) and value.
pub(crate) fn push_userdata(buf: &mut Vec<u8>, kind: u8, value: &[u8]) {
    // Longer values cannot arise: integers, and comments that are cut to fit.
    let len = u8::try_from(value.len()).unwrap_or(u8::MAX);
    buf.push(kind);
    buf.push(len);
    buf.extend_from_slice(value.get(..usize::from(len)).unwrap_or(value));
}

/// Appends a comment to user data, as nft would accept it: cut, on one line and without quotes,
/// which its language cannot escape.
pub(crate) fn push_comment(buf: &mut Vec<u8>, kind: u8, text: &str) {
    let mut value: Vec<u8> = cut(text, MAX_COMMENT).bytes().map(printable).collect();
    value.push(0);
    push_userdata(buf, kind, &value);
}

/// The longest comment nft reads, without the NUL behind it.
pub(crate) const MAX_COMMENT: usize = 127;

/// The longest beginning of a text that fits into `max` bytes.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    let end = (0..=max.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default()).unwrap_or_default()
}

fn printable(byte: u8) -> u8 {
    match byte {
        b'"' => b'\'',
        0..=31 | 127 => b' ',
        other => other,
    }
}

/// The text of the first user datum of a type.
pub(crate) fn userdata_text(mut userdata: &[u8], kind: u8) -> Option<&str> {
    loop {
        let (&[found, len], rest) = userdata.split_first_chunk::<2>()?;
        let (value, behind) = rest.split_at_checked(usize::from(len))?;
        if found == kind {
            return std::str::from_utf8(value.strip_suffix(&[0]).unwrap_or(value)).ok();
        }
        userdata = behind;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_found_behind_other_user_data() {
        let mut buf = Vec::new();
        push_userdata(&mut buf, set::UDATA_KEY_ORDER, &set::ORDER_NETWORK.to_ne_bytes());
        push_comment(&mut buf, set::UDATA_COMMENT, "app == \"db\"");
        assert_eq!(userdata_text(&buf, set::UDATA_COMMENT), Some("app == 'db'"));
        assert_eq!(userdata_text(&buf, 9), None);
        for cut in 6..buf.len() {
            assert_eq!(userdata_text(&buf[..cut], set::UDATA_COMMENT), None, "cut at {cut}");
        }
    }

    #[test]
    fn long_comments_are_cut_at_a_character() {
        let mut buf = Vec::new();
        push_comment(&mut buf, 0, &"é".repeat(100));
        assert_eq!(userdata_text(&buf, 0), Some("é".repeat(63).as_str()));
    }
}
