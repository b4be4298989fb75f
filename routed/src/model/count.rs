// SPDX-License-Identifier: MIT OR Apache-2.0
//! Numbers for people.

use std::fmt::Display;

/// A number with its noun: `1 policy`, `2 policies`, `0 policies`.
pub(crate) fn count<N: Copy + Display + PartialEq + From<u8>>(
    n: N,
    one: &str,
    many: &str,
) -> String {
    let noun = if n == N::from(1) { one } else { many };
    format!("{n} {noun}")
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn only_one_is_singular() {
        let shown: Vec<String> = (0..3_usize).map(|n| count(n, "policy", "policies")).collect();
        assert_eq!(shown, ["0 policies", "1 policy", "2 policies"]);
    }
}
